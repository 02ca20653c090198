"""Requests without any credential: what counts as a failed attempt, and what only finds nothing (A1, A3)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airelays.app.routes import family_of
from tests.live import Relay, Reply, running, wait_for

NAVIGATE = {"Sec-Fetch-Mode": "navigate", "Sec-Fetch-Site": "none", "Sec-Fetch-Dest": "document"}
# The table of A1 and A3: method, path, further header fields, status, whether it counts.
CASES: list[tuple[str, str, dict[str, str], int, bool]] = [
    ("GET", "/favicon.ico", {}, 404, False),
    ("GET", "/robots.txt", {}, 404, False),
    ("GET", "/api/hello", {}, 404, False),
    ("GET", "/models", {}, 404, False),
    ("GET", "/files", {}, 404, False),
    ("GET", "/files/file-1/content", {}, 404, False),
    ("GET", "/no-tools/models", {}, 404, False),
    ("GET", "/relay/status", {}, 404, False),
    ("GET", "/v1beta/models", {}, 404, False),
    ("GET", "/V1/models", {}, 404, False),
    ("GET", "/docsify", {}, 404, False),
    ("GET", "/metrics-of-mine", {}, 404, False),
    ("GET", "/x", NAVIGATE, 404, False),
    ("HEAD", "/favicon.ico", {}, 404, False),
    ("HEAD", "/models", {}, 404, False),
    ("GET", "/docs", NAVIGATE, 404, False),
    ("GET", "/docs/", NAVIGATE, 404, False),
    ("GET", "/docs/security", NAVIGATE, 404, False),
    ("HEAD", "/docs", NAVIGATE, 404, False),
    ("GET", "/", {}, 200, False),
    ("GET", "/healthz", {}, 200, False),
    ("HEAD", "/healthz", {}, 200, False),
    ("POST", "/favicon.ico", {}, 401, True),
    ("POST", "/models", {}, 401, True),
    ("POST", "/chat/completions", {}, 401, True),
    ("DELETE", "/files/file-1", {}, 401, True),
    ("PUT", "/x", {}, 401, True),
    ("GET", "/v1", {}, 401, True),
    ("GET", "/v1/", {}, 401, True),
    ("GET", "/v1/models", {}, 401, True),
    ("GET", "/v1/nothing", {}, 401, True),
    ("HEAD", "/v1/nothing", {}, 401, True),
    ("GET", "//v1/models", {}, 401, True),
    ("GET", "/v1//models", {}, 401, True),
    ("GET", "/v1/models", NAVIGATE, 401, True),
    ("GET", "/no-tools/v1/models", {}, 401, True),
    ("GET", "/no-tools/v1/nothing", {}, 401, True),
    ("GET", "/metrics", {}, 401, True),
    ("GET", "/metrics/", {}, 401, True),
    ("GET", "/metrics/x", NAVIGATE, 401, True),
    ("GET", "/docs", {}, 401, True),
    ("GET", "/docs/nothing", {}, 401, True),
    ("GET", "/docs", {"Sec-Fetch-Mode": "cors"}, 401, True),
    ("POST", "/docs", NAVIGATE, 401, True),
    ("GET", "/favicon.ico", {"Authorization": "Bearer wrong"}, 401, True),
    ("GET", "/models", {"x-api-key": "wrong"}, 401, True),
    ("GET", "/x", {"Authorization": "Basic eDp5"}, 401, True),
    ("GET", "/docs", {**NAVIGATE, "api-key": "wrong"}, 401, True),
]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    env = {"AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "1000", "AIRELAYS_RATE_LIMIT_BURST": "1000"}
    with running(tmp_path_factory.mktemp("home"), env=env) as one:
        yield one


def attempts(relay: Relay) -> int:
    client = relay.get("/v1/relay/status").json()["security"]["client"]
    found: int = client["failed_auth_attempts"]
    return found


def record_of(relay: Relay, reply: Reply) -> dict[str, Any]:
    """Return the one record of a request that the gate refused."""

    def look() -> list[dict[str, Any]]:
        lines = [
            json.loads(line)
            for path in (relay.home / ".airelays" / "logs").glob("*/*/*.jsonl")
            for line in path.read_text().splitlines()
        ]
        return [one for one in lines if one["request_id"] == reply.headers["x-request-id"]]

    [record] = wait_for(look)
    return record  # type: ignore[no-any-return]  # it comes from JSON


@pytest.mark.parametrize(("method", "path", "fields", "status", "counts"), CASES)
def test_what_counts_as_a_failed_attempt(
    relay: Relay, method: str, path: str, fields: dict[str, str], status: int, counts: bool
) -> None:
    before = attempts(relay)
    reply = relay.send(method, path, token=None, headers=fields)
    assert reply.status == status
    assert attempts(relay) - before == counts
    if status == 200:
        return
    record = record_of(relay, reply)
    assert record["path"] == path and record["client_ip"] == "127.0.0.1"
    if counts:
        assert record["phase"] == "endpoint_auth_failed"
        assert reply.headers["www-authenticate"] == 'Bearer realm="airelays"'
    else:
        assert (record["phase"], record["status_code"]) == ("endpoint_rejected", 404)
        assert "www-authenticate" not in reply.headers


def test_one_answer_for_all_paths_outside(relay: Relay) -> None:
    bodies = {relay.send("GET", path, token=None).body for path in ("/x", "/models", "/files/y")}
    assert len(bodies) == 1
    error = json.loads(bodies.pop())["error"]
    assert error["code"] == "unknown_route" and "relay token" in error["message"]


def test_a_browser_is_told_how_to_read_the_documentation(relay: Relay) -> None:
    page = relay.send("GET", "/docs", token=None, headers=NAVIGATE)
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = page.body.decode()
    assert "airelays docs TOPIC</code>" in text and "airelays token show" in text
    assert f"http://127.0.0.1:{relay.port}/docs" in text
    assert relay.token not in text
    assert relay.send("GET", "/docs", headers=NAVIGATE).status == 200


def test_rejects_are_counted_like_any_other(relay: Relay) -> None:
    def rejects() -> dict[str, float]:
        lines = relay.get("/metrics").body.decode().splitlines()
        pairs = [line.split(" ") for line in lines if line.startswith("airelays_rejects_total{")]
        return {name: float(count) for name, count in pairs}

    name = 'airelays_rejects_total{reason="path_without_token"}'
    before = rejects().get(name, 0)
    relay.send("GET", "/favicon.ico", token=None)
    assert rejects()[name] == before + 1


def test_a_thousand_icons_block_nobody(tmp_path: Path) -> None:
    with running(tmp_path) as strict:
        with strict.connect() as wire:
            for _ in range(1000):
                wire.send(strict.request("GET", "/favicon.ico", token=None))
                assert wire.reply().status == 404
        assert strict.send("GET", "/v1/models", token=None).status == 401
        assert strict.get("/v1/models").status == 200


def test_open_mode_is_as_it_was(tmp_path: Path) -> None:
    with running(tmp_path, "--no-auth", token=None) as opened:
        assert opened.send("GET", "/models", token=None).status == 200
        assert opened.send("GET", "/docs", token=None, headers=NAVIGATE).status == 200
        reply = opened.send("GET", "/favicon.ico", token="wrong")
        assert (reply.status, reply.error["code"]) == (404, "unknown_route")


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/v1", "/v1"),
        ("/v1/x", "/v1"),
        ("//v1/x", "/v1"),
        ("/v1x", ""),
        ("/x/v1/", ""),
        ("///v1/x", ""),
        ("/no-tools/v1", "/no-tools/v1"),
        ("/no-tools/x", ""),
        ("/docs/x", "/docs"),
        ("/metrics/", "/metrics"),
        ("/", ""),
        ("*", ""),
    ],
)
def test_the_family_of_a_path(path: str, family: str) -> None:
    assert family_of(path) == family
