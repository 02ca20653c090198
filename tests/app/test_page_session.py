"""The page's way in: codes over the control listener, what its token opens and what not, the command that opens it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from airelays.app.viewer import bars
from airelays.upstream.chatgpt.usage import shape_usage
from tests.host.test_live_control import airelays, control, journal
from tests.live import ROOT, Relay, Reply, program, running, wait_for

LIMITS = {"AIRELAYS_RATE_LIMIT_PER_MINUTE": "100000", "AIRELAYS_RATE_LIMIT_BURST": "100000"}
NOT_FOR_PAGES = [
    ("GET", "/v1/models"),
    ("POST", "/v1/chat/completions"),
    ("POST", "/v1/responses"),
    ("POST", "/v1/messages"),
    ("POST", "/v1/embeddings"),
    ("GET", "/v1/files"),
    ("GET", "/v1/files/file-1/content"),
    ("DELETE", "/v1/files/file-1"),
    ("POST", "/v1/conversations"),
    ("GET", "/v1/responses/resp_1"),
    ("GET", "/v1/relay/logging"),
    ("PUT", "/v1/relay/logging"),
    ("GET", "/v1/relay/metrics"),
    ("GET", "/metrics"),
    ("GET", "/v1/subscription/status"),
    ("POST", "/v1/relay/page-session"),
    ("POST", "/v1/relay/status"),
    ("GET", "/v1/nothing"),
]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("page"), env=LIMITS) as one:
        yield one


@pytest.fixture(scope="module")
def opened(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("open"), "--no-auth", env=LIMITS, token=None) as one:
        yield one


def own(relay: Relay) -> dict[str, str]:
    """What the browser adds to a request of the relay's own page."""
    return {"Origin": f"http://127.0.0.1:{relay.port}", "Sec-Fetch-Site": "same-origin"}


def new_code(relay: Relay) -> str:
    code: str = control(relay.home, "POST", "/page-code").json()["code"]
    return code


def session(relay: Relay, code: str, **headers: str) -> Reply:
    fields = {**own(relay), **headers}
    return relay.send("POST", "/v1/relay/page-session", token=code, headers=fields)


def page_token(relay: Relay) -> str:
    reply = session(relay, new_code(relay))
    assert reply.status == 200, reply.body
    token: str = reply.json()["token"]
    return token


def asked(relay: Relay, method: str, path: str, token: str, body: Any = None) -> Reply:
    return relay.send(method, path, body, token=token, headers=own(relay))


def failures(relay: Relay, token: str | None = "") -> int:
    facts = relay.send("GET", "/v1/relay/status", token=token).json()
    count: int = facts["security"]["client"]["failed_auth_attempts"]
    return count


def test_a_code_becomes_a_token_once(relay: Relay) -> None:
    code = new_code(relay)
    reply = session(relay, code)
    facts = reply.json()
    assert reply.status == 200 and reply.headers["cache-control"] == "no-store"
    assert facts["expires_in"] == 12 * 3600 and facts["idle_seconds"] == 1800
    assert asked(relay, "GET", "/v1/relay/status", facts["token"]).status == 200
    before = failures(relay)
    again = session(relay, code)
    assert (again.status, again.error["code"]) == (401, "page_code_wrong")
    assert "airelays" in again.error["message"] and code not in again.error["message"]
    assert failures(relay) == before + 1
    relay.send("GET", "/v1/relay/status")
    airelays(relay.home, "unblock")


def test_no_code_and_no_token_are_in_the_log(relay: Relay) -> None:
    code = new_code(relay)
    token = session(relay, code).json()["token"]
    session(relay, code)
    asked(relay, "GET", "/v1/files", token)
    wait_for(lambda: "page_route" in journal(relay.home))
    written = journal(relay.home)
    assert code not in written and token not in written and "page_session" in written
    airelays(relay.home, "unblock")


def test_no_token_is_in_the_log_where_bodies_are(tmp_path: Path) -> None:
    with running(tmp_path, env={**LIMITS, "AIRELAYS_LOG_BODIES": "redacted"}) as relay:
        token = page_token(relay)
        assert asked(relay, "GET", "/docs", token).status == 200
        assert relay.stop() == 0
        written = journal(tmp_path)
        assert '"route":"page_session"' in written and '"route":"docs"' in written
        assert token not in written and "expires_in" not in written


def test_the_token_reads_what_the_page_shows(relay: Relay) -> None:
    token = page_token(relay)
    for path in ("status", "usage", "requests", "models", "windows", "blocks"):
        reply = asked(relay, "GET", f"/v1/relay/{path}", token)
        assert reply.status == 200, (path, reply.body)
    assert b"Documentation" in asked(relay, "GET", "/docs", token).body
    assert asked(relay, "GET", "/docs/security", token).status == 200
    names = [one["id"] for one in asked(relay, "GET", "/v1/relay/models", token).json()["data"]]
    assert "demo" in names


@pytest.mark.parametrize(("method", "path"), NOT_FOR_PAGES)
def test_the_token_opens_nothing_else(relay: Relay, method: str, path: str) -> None:
    token = page_token(relay)
    before = failures(relay)
    body = {"model": "demo"} if method in ("POST", "PUT") else None
    reply = asked(relay, method, path, token, body)
    assert (reply.status, reply.error["code"]) == (403, "route_not_allowed")
    assert failures(relay) == before


def test_the_token_is_nothing_to_the_control_listener(relay: Relay) -> None:
    fields = {"x-airelays-control": page_token(relay)}
    assert control(relay.home, "GET", "/status", **fields).status == 401
    assert relay.send("POST", "/page-code", token=page_token(relay)).status in (403, 404)


@pytest.mark.parametrize(
    "fields",
    [
        {"Origin": "http://evil.example"},
        {"Origin": "http://localhost:1"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
    ],
)
def test_the_token_is_good_for_the_relays_own_page_only(
    relay: Relay, fields: dict[str, str]
) -> None:
    token = page_token(relay)
    reply = relay.send("GET", "/v1/relay/status", token=token, headers=fields)
    assert (reply.status, reply.error["code"]) == (403, "origin_not_allowed")


def test_an_origin_that_may_call_the_api_may_not_use_the_page(tmp_path: Path) -> None:
    env = {**LIMITS, "AIRELAYS_ALLOWED_ORIGINS": "http://friend.example"}
    with running(tmp_path, env=env) as relay:
        friend = {"Origin": "http://friend.example"}
        assert relay.send("GET", "/v1/models", headers=friend).status == 200
        token = page_token(relay)
        assert relay.send("GET", "/v1/relay/status", token=token, headers=friend).status == 403


def test_a_wrong_code_is_a_failed_attempt_and_a_right_one_passes_the_block(tmp_path: Path) -> None:
    with running(tmp_path, env=LIMITS) as relay:
        statuses = [session(relay, "x" * 43).status for _ in range(9)]
        assert statuses == [401] * 8 + [429]
        token = page_token(relay)
        blocks = asked(relay, "GET", "/v1/relay/blocks", token).json()["data"]
        assert [one["client"] for one in blocks] == ["127.0.0.1"] and blocks[0]["seconds"] > 800
        lifted = asked(relay, "POST", "/v1/relay/unblock", token, {"client": "127.0.0.1"})
        assert lifted.json() == {"lifted": 1}
        assert session(relay, "x" * 43).status == 401
        wait_for(lambda: "endpoint_unblocked" in journal(tmp_path))


def test_lifting_needs_an_address(relay: Relay) -> None:
    token = page_token(relay)
    for body in ({}, {"client": 7}, {"client": "evil"}, {"client": ""}):
        reply = asked(relay, "POST", "/v1/relay/unblock", token, body)
        assert reply.status == 400 and "is not an IP address" in reply.error["message"]
    good = asked(relay, "POST", "/v1/relay/unblock", token, {"client": "2001:db8::/64"})
    assert good.json() == {"lifted": 0}


def test_the_relay_token_is_not_a_code(relay: Relay) -> None:
    before = failures(relay)
    reply = session(relay, relay.token)
    assert (reply.status, reply.error["code"]) == (401, "page_code_wrong")
    assert failures(relay) == before


def test_a_new_relay_token_ends_the_page(tmp_path: Path) -> None:
    with running(tmp_path, env=LIMITS, token=None) as relay:
        token, code = page_token(relay), new_code(relay)
        assert asked(relay, "GET", "/v1/relay/status", token).status == 200
        assert airelays(tmp_path, "token", "rotate").returncode == 0
        reply = asked(relay, "GET", "/v1/relay/status", token)
        assert (reply.status, reply.error["code"]) == (401, "page_session_ended")
        assert "open" in reply.error["message"]
        assert session(relay, code).status == 401


def test_a_restart_ends_the_page(tmp_path: Path) -> None:
    with running(tmp_path, env=LIMITS) as relay:
        token = page_token(relay)
    with running(tmp_path, env=LIMITS) as relay:
        reply = asked(relay, "GET", "/v1/relay/status", token)
        assert (reply.status, reply.error["code"]) == (401, "page_session_ended")


def test_sixteen_pages_at_most(relay: Relay) -> None:
    tokens = [page_token(relay) for _ in range(17)]
    statuses = [asked(relay, "GET", "/v1/relay/blocks", one).status for one in tokens]
    assert statuses == [401] + [200] * 16
    airelays(relay.home, "unblock")


def test_an_open_relay_is_read_without_a_token_and_lifts_blocks_only_with_it(
    opened: Relay,
) -> None:
    site = own(opened)
    assert opened.send("GET", "/v1/relay/status", token=None, headers=site).status == 200
    body = {"client": "10.0.0.1"}
    for placeholder in (None, "anything", "airp_" + "x" * 43):
        reply = opened.send("POST", "/v1/relay/unblock", body, token=placeholder, headers=site)
        assert (reply.status, reply.error["code"]) == (401, "page_session_needed")
    token = page_token(opened)
    assert asked(opened, "POST", "/v1/relay/unblock", token, body).json() == {"lifted": 0}
    assert asked(opened, "POST", "/v1/chat/completions", token, {"model": "demo"}).status == 403


def test_a_wrong_code_is_nothing_to_an_open_relay(opened: Relay) -> None:
    for _ in range(12):
        reply = session(opened, "x" * 43)
        assert (reply.status, reply.error["code"]) == (401, "page_code_wrong")
    assert failures(opened, None) == 0


def test_behind_a_proxy_the_own_origin_has_its_scheme(tmp_path: Path) -> None:
    env = {
        **LIMITS,
        "AIRELAYS_TRUST_X_FORWARDED_FOR": "true",
        "AIRELAYS_TRUSTED_PROXIES": "127.0.0.1/32",
        "AIRELAYS_ALLOWED_HOSTS": "relay.example",
    }
    with running(tmp_path, env=env) as relay:
        by_tls = {
            "Host": "relay.example",
            "Origin": "https://relay.example",
            "Sec-Fetch-Site": "same-origin",
            "X-Forwarded-For": "127.0.0.1",
        }
        told = {**by_tls, "X-Forwarded-Proto": "https"}
        token = session(relay, new_code(relay), **told).json()["token"]
        path = "/v1/relay/status"
        assert relay.send("GET", path, token=token, headers=told).status == 200
        assert relay.send("GET", path, token=token, headers=by_tls).status == 403
        several = {**by_tls, "X-Forwarded-Proto": "https, http"}
        assert relay.send("GET", path, token=token, headers=several).status == 403


def test_without_a_trusted_proxy_nobody_names_the_scheme(relay: Relay) -> None:
    token = page_token(relay)
    fields = {"Origin": f"https://127.0.0.1:{relay.port}", "X-Forwarded-Proto": "https"}
    assert relay.send("GET", "/v1/relay/status", token=token, headers=fields).status == 403


def test_windows_are_one_list_of_bars() -> None:
    window = {"used_percent": 41.5, "limit_window_seconds": 18000, "reset_at": 1_800_000_000}
    payload = {
        "plan_type": "plus",
        "rate_limit": {"primary_window": window, "secondary_window": {"used_percent": "odd"}},
        "additional_rate_limits": [
            {
                "limit_name": "Spark",
                "rate_limit": {"secondary_window": {**window, "used_percent": 3}},
            }
        ],
    }
    found = bars(shape_usage(payload, now_s=0.0, path="/x"))
    assert [(one["name"], one["label"], one["used_percent"]) for one in found] == [
        ("", "5h", 41.5),
        ("Spark", "5h", 3.0),
    ]
    assert found[0]["reset_at"] == 1_800_000_000 and bars({"rate_limits": None}) == []


# ---- the command


def browser(folder: Path, script: str) -> dict[str, str]:
    """Return the environment in which `script` is what opens a page; its argument is "$1"."""
    tool = folder / "bin" / "xdg-open"
    tool.parent.mkdir()
    tool.write_text(f"#!/bin/sh\n{script}\n")
    tool.chmod(0o755)
    return {"PATH": f"{tool.parent}:{os.environ['PATH']}", "DISPLAY": ":7"}


def opening(home: Path, *words: str, **env: str) -> subprocess.Popen[str]:
    found = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    return subprocess.Popen(
        [*program(), "open", *words],
        env=found,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def pages_in(home: Path) -> list[Path]:
    return list((home / ".airelays").glob("open-*"))


def test_open_prints_the_address_for_a_browser_elsewhere(relay: Relay) -> None:
    done = airelays(relay.home, "open", "--print")
    found = re.search(rf"http://127\.0\.0\.1:{relay.port}/#([\w-]{{43}})\n", done.stdout)
    assert done.returncode == 0 and found, done.stdout + done.stderr
    assert session(relay, found[1]).status == 200
    assert not pages_in(relay.home)


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="xdg-open")
def test_open_hands_over_a_private_file_that_is_gone_afterwards(
    relay: Relay, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    env = browser(tmp_path, f'stat -c %a "$1" > "{seen}.p"; cat "$1" >> "{seen}.p"; echo "$@" >> "{seen}.p"; '
                            f'mv "{seen}.p" "{seen}"')  # fmt: skip
    process = opening(relay.home, **env)
    wait_for(seen.exists)
    text = seen.read_text()
    code = re.search(r"/#([\w-]{43})", text)
    assert code and text.startswith("600\n") and "location.replace" in text
    argument = text.splitlines()[-1]
    assert argument.startswith(str(relay.home)) and code[1] not in argument
    words = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert code[1].encode() not in words
    assert session(relay, code[1]).status == 200
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    assert code[1] not in out + err and not pages_in(relay.home)


@pytest.mark.skipif(os.name != "posix" or os.uname().sysname == "Darwin", reason="xdg-open")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_open_leaves_no_file_when_it_is_interrupted(
    relay: Relay, tmp_path: Path, number: int
) -> None:
    process = opening(relay.home, **browser(tmp_path, "exit 0"))
    wait_for(lambda: pages_in(relay.home))
    process.send_signal(number)
    out, err = process.communicate(timeout=20)
    assert process.returncode in (130, 143) and "Traceback" not in err
    assert not pages_in(relay.home) and "/#" not in out + err


def test_open_shows_the_address_where_no_browser_is_likely(relay: Relay) -> None:
    old = relay.home / ".airelays" / "open-0123456789abcdef.html"
    old.write_text("of a command that was killed")
    os.utime(old, (time.time() - 100, time.time() - 100))
    process = opening(relay.home, SSH_CONNECTION="1")
    assert process.stdout is not None
    line = ""
    while "/#" not in line:
        line = process.stdout.readline()
    assert session(relay, line.partition("/#")[2].strip()).status == 200
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0 and "The page is open" in out, err
    assert not pages_in(relay.home)


def test_open_needs_a_relay_that_runs(tmp_path: Path) -> None:
    done = airelays(tmp_path, "open")
    assert done.returncode == 1 and "no relay is using" in done.stderr and "serve" in done.stderr


def test_a_named_key_does_not_see_requests_of_others(relay: Relay) -> None:
    made = json.loads(
        airelays(relay.home, "key", "create", "all", "--routes", "all", "--json").stdout
    )
    for path in ("feed", "requests", "models", "windows", "blocks"):
        with relay.connect() as wire:
            wire.send(relay.request("GET", f"/v1/relay/{path}", token=made["key"]))
            assert wire.head().status == 403, path
    reply = relay.send("POST", "/v1/relay/unblock", {"client": "::1"}, token=made["key"])
    assert reply.status == 403
    assert session(relay, made["key"]).status == 403
