"""`usage reset` against a backend that grants resets, with and without a relay; and `usage` where there is none."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from airelays.upstream.chatgpt.resets import shape_redeemed, shape_resets
from tests.app.keyed import run
from tests.fakes.backend import FakeBackend
from tests.live import running
from tests.net.test_live_wire import WIDE

CONSUME = "/consume"


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        backend.resets = ["first", "second"]
        yield backend


def config(home: Path, backend: FakeBackend) -> Path:
    """Sign in at `backend` in the usual data folder; return a config file that names it."""
    backend.sign_in(home / ".airelays")
    path = home / "config.toml"
    path.write_text(
        f'[upstream]\nbase_url = "{backend.base_url}"\nissuer_base_url = "{backend.issuer_url}"\n'
    )
    return path


def test_a_reset_is_redeemed_once_and_only_when_confirmed(
    tmp_path: Path, backend: FakeBackend
) -> None:
    path = config(tmp_path, backend)
    refused = run(tmp_path, "usage", "reset", config=path)
    assert refused.returncode == 2 and "usage reset --yes" in refused.stderr
    assert backend.calls(CONSUME) == []
    done = run(tmp_path, "usage", "reset", "--yes", "--credit", "second", config=path)
    assert (done.returncode, done.stdout) == (0, "The windows were reset.\n"), done.stderr
    asked = backend.calls(CONSUME)[0].json
    assert asked["credit_id"] == "second" and backend.resets == ["first"]
    again = ("usage", "reset", "--yes", "--request-id", asked["redeem_request_id"])
    repeated = run(tmp_path, *again, "--json", config=path)
    assert repeated.returncode == 1 and json.loads(repeated.stdout)["outcome"] == "already_redeemed"
    assert backend.resets == ["first"]
    unknown = run(tmp_path, "usage", "reset", "--yes", "--credit", "third", config=path)
    assert unknown.returncode == 1 and "No reset is available" in unknown.stdout


def test_the_relay_that_runs_redeems_and_says_so_in_its_log(
    tmp_path: Path, backend: FakeBackend
) -> None:
    path = config(tmp_path, backend)
    with running(tmp_path, "--config", str(path), env=WIDE, demo=False) as relay:
        listed = relay.get("/v1/relay/accounts/resets").json()
        assert listed["available_count"] == 2
        assert listed["accounts"][0]["resets"]["credits"][0]["expires_at"].startswith("2096-")
        wrong = {"credit_id": "a b"}
        reply = relay.send("POST", "/v1/relay/accounts/resets/redeem", wrong)
        assert (reply.status, reply.error["param"]) == (422, "credit_id")
        reply = relay.send("POST", "/v1/relay/accounts/resets/redeem", {"account": "other"})
        assert reply.status == 404
        assert run(tmp_path, "usage", "reset", "--yes", config=path).returncode == 0
        backend.resets = []
        none = run(tmp_path, "usage", "reset", "--yes", config=path)
        assert (none.returncode, none.stdout) == (1, "You have no earned resets.\n")
        relay.stop()
    log = "".join(f.read_text() for f in (tmp_path / ".airelays/logs").rglob("*.jsonl"))
    assert '"reset_credit_redeem"' in log and '"outcome":"reset"' in log


def test_usage_without_a_subscription_shows_the_book(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        assert relay.get("/v1/models").status == 200
        told = run(tmp_path, "usage")
        assert told.returncode == 0 and "does not have a subscription" in told.stdout
        found = json.loads(run(tmp_path, "usage", "--json").stdout)
        assert found["openai"] is None and found["book"]["total"]["requests"] == 1
        refused = run(tmp_path, "usage", "reset", "--yes")
        assert refused.returncode == 1 and "does not offer earned resets" in refused.stderr


def test_values_of_the_wrong_type_become_null() -> None:
    found = shape_resets(
        {"credits": [{"id": 5, "expires_at": "soon"}, 7], "available_count": True}, 1e9
    )
    assert (found["available_count"], found["credits"][0]["id"]) == (1, None)
    assert found["credits"][0]["expires_in_seconds"] is None and len(found["credits"]) == 1
    past = shape_resets({"credits": [{"id": "a", "expires_at": "2001-01-01T00:00:00Z"}]}, 1e9)
    assert past["credits"][0]["expired"] and past["available_count"] == 0
    assert shape_resets({}, 1e9)["credits"] == []
    odd = shape_redeemed({"outcome": 5}, "c", "r")
    assert (odd["outcome"], odd["known_outcome"], odd["reset_applied"]) == ("unknown", False, False)
