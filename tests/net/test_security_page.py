"""Each sentence of the security page, black box, against a real process."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import ROOT, TOKEN, Relay, program, running, start

PROTECTED = [
    "/v1/models",
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/completions",
    "/v1/files",
    "/v1/conversations",
    "/v1/relay/status",
    "/v1/subscription/status",
    "/v1/unknown",
    "/no-tools/v1/models",
    "/no-tools/v1/chat/completions",
    "/no-tools/v1/responses",
    "/no-tools/v1/unknown",
    "/metrics",
]


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def command(
    home: Path, *words: str, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    variables = {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        **(env or {}),
    }
    return subprocess.run(
        [*program(), *words], env=variables, capture_output=True, text=True, timeout=30, check=False
    )


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with running(tmp_path) as one:
        yield one


# ---- protected routes


def test_protected_families_need_the_token_and_public_routes_do_not(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "1000"}) as relay:
        for path in PROTECTED:
            for method in ("GET", "POST", "DELETE", "HEAD"):
                assert relay.send(method, path, token=None).status == 401, (method, path)
        for path in ("/", "/healthz"):
            assert relay.send("GET", path, token=None).status == 200


def test_healthz_is_minimal(relay: Relay) -> None:
    assert set(relay.send("GET", "/healthz", token=None).json()) == {"ok", "app_name", "version"}


def test_the_status_route_gives_the_details(relay: Relay) -> None:
    status = relay.send("GET", "/v1/relay/status").json()
    assert status["object"] == "relay.status"
    assert status["security"]["client"]["ip"] == "127.0.0.1"
    assert status["relay"]["rate_limit_per_minute"] == 120
    assert status["security"]["rate_limit_burst"] == 40
    assert TOKEN not in json.dumps(status)


# ---- the relay token


def test_init_makes_a_strong_token_that_only_the_owner_can_read(tmp_path: Path) -> None:
    done = command(tmp_path, "init")
    path = tmp_path / ".airelays" / "relay-token"
    token = path.read_text().strip()
    assert done.returncode == 0
    assert len(token) == 43
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    again = command(tmp_path, "init")
    assert again.returncode == 0
    assert path.read_text().strip() == token
    assert token not in again.stdout
    assert token in command(tmp_path, "token", "show").stdout


def test_a_token_from_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    command(tmp_path, "init")
    in_file = (tmp_path / ".airelays" / "relay-token").read_text().strip()
    with running(tmp_path, token="a-token-from-the-environment-0123456789") as relay:
        assert relay.send("GET", "/v1/models").status == 200
        assert relay.send("GET", "/v1/models", token=in_file).status == 401


def test_a_token_file_can_be_named(tmp_path: Path) -> None:
    path = tmp_path / "elsewhere"
    path.write_text("a-token-in-another-file-0123456789-abc\n")
    path.chmod(0o600)
    with running(tmp_path, "--bearer-token-file", str(path), token=None) as relay:
        assert (
            relay.send("GET", "/v1/models", token="a-token-in-another-file-0123456789-abc").status
            == 200
        )


def test_a_rotation_counts_at_once_on_a_running_server(tmp_path: Path) -> None:
    command(tmp_path, "init")
    path = tmp_path / ".airelays" / "relay-token"
    old = path.read_text().strip()
    with running(tmp_path, token=None) as relay:
        assert relay.send("GET", "/v1/models", token=old).status == 200
        assert command(tmp_path, "token", "rotate").returncode == 0
        new = path.read_text().strip()
        assert new != old
        assert relay.send("GET", "/v1/models", token=new).status == 200
        assert relay.send("GET", "/v1/models", token=old).status == 401


def test_without_a_token_serve_says_what_to_run(tmp_path: Path) -> None:
    process, _ = start(tmp_path, token=None, demo=False)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "airelays init" in err
    assert "Traceback" not in out + err


def test_a_demo_needs_no_earlier_step(tmp_path: Path) -> None:
    with running(tmp_path, token=None) as relay:
        token = (tmp_path / ".airelays" / "relay-token").read_text().strip()
        assert relay.send("POST", "/v1/chat/completions", chat("hi"), token=token).status == 200


def test_the_token_is_taken_from_three_fields_and_never_from_the_url(relay: Relay) -> None:
    for fields in (
        {"Authorization": f"bearer {TOKEN}"},
        {"Authorization": f"BEARER {TOKEN}"},
        {"x-api-key": TOKEN},
        {"api-key": TOKEN},
        {"Authorization": f"Bearer {TOKEN}", "x-api-key": TOKEN},
    ):
        assert relay.send("GET", "/v1/models", token=None, headers=fields).status == 200
    for path in (
        f"/v1/models?api_key={TOKEN}",
        f"/v1/models?token={TOKEN}",
        f"/v1/models?key={TOKEN}",
    ):
        assert relay.send("GET", path, token=None).status == 401
    assert (
        relay.send("GET", "/v1/models", token=None, headers={"Cookie": f"token={TOKEN}"}).status
        == 401
    )


@pytest.mark.parametrize(
    "wrong", ["wrong", TOKEN[:-1], TOKEN + "x", TOKEN.upper(), '"' + TOKEN + '"']
)
def test_a_wrong_token_gets_what_no_token_gets(relay: Relay, wrong: str) -> None:
    reply, none = (relay.send("GET", "/v1/models", token=token) for token in (wrong, None))
    assert reply.status == 401
    assert reply.headers["www-authenticate"].startswith("Bearer")
    assert reply.body == none.body


def test_a_token_that_is_not_ascii_is_wrong_and_no_crash(relay: Relay) -> None:
    raw = relay.request("GET", "/v1/models", token=None)
    raw = raw.replace(b"\r\n\r\n", b"\r\nAuthorization: Bearer \xff\xfe\xc3\xa4\r\n\r\n")
    with relay.connect() as wire:
        wire.send(raw)
        assert wire.reply().status == 401


# ---- open mode


def test_open_mode_needs_no_token_and_keeps_limits(tmp_path: Path) -> None:
    assert command(tmp_path, "init", "--no-auth").returncode == 0
    with running(tmp_path, "--no-auth", token=None) as relay:
        assert relay.send("GET", "/v1/relay/status", token=None).status == 200
        assert relay.send("GET", "/v1/models", token="any-placeholder").status == 200
        assert (
            relay.send("POST", "/no-tools/v1/chat/completions", chat("a"), token=None).status == 200
        )
        replies = [relay.send("GET", "/v1/models", token=None) for _ in range(60)]
        assert [r.status for r in replies if r.status != 200] == [429] * sum(
            r.status != 200 for r in replies
        )
        assert replies[-1].status == 429


def test_open_mode_by_environment(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_REQUIRE_BEARER_AUTH": "false"}, token=None) as relay:
        assert relay.send("GET", "/v1/models", token=None).status == 200


def test_open_mode_refuses_to_bind_wide_unless_told_twice(tmp_path: Path) -> None:
    process, _ = start(tmp_path, "--no-auth", "--host", "0.0.0.0", token=None)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert "0.0.0.0" in err and "Traceback" not in out + err
    with running(
        tmp_path, "--no-auth", "--host", "0.0.0.0", "--i-know-this-is-open", token=None
    ) as relay:
        assert relay.send("GET", "/v1/models", token=None).status == 200


def test_open_mode_is_closed_to_web_pages(tmp_path: Path) -> None:
    with running(tmp_path, "--no-auth", token=None) as relay:
        body = json.dumps(chat("hi")).encode()
        page = {"Origin": "https://evil.example"}
        send = relay.send
        path = "/v1/chat/completions"
        assert (
            send("POST", path, body, token=None, headers={"Content-Type": "text/plain"}).status
            == 415
        )
        assert send("POST", path, body, token=None, headers=page).status == 403
        assert (
            send("GET", "/v1/models", token=None, headers={"Sec-Fetch-Site": "cross-site"}).status
            == 403
        )
        assert send("GET", "/v1/models", token=None, headers={"Host": "evil.example"}).status == 421
        preflight = send(
            "OPTIONS", path, token=None, headers={**page, "Access-Control-Request-Method": "POST"}
        )
        assert preflight.status == 403
        assert not [n for n in preflight.headers if n.startswith("access-control")]
        assert send("POST", path, body, token=None).status == 200


# ---- limits


def test_the_burst_is_40_and_the_wait_is_true(relay: Relay) -> None:
    with relay.connect() as wire:
        statuses = []
        for _ in range(45):
            wire.send(relay.request("GET", "/v1/models"))
            reply = wire.reply()
            statuses.append(reply.status)
    assert statuses[:40] == [200] * 40
    assert 429 in statuses[40:]
    reply = relay.send("GET", "/v1/models")
    assert (reply.status, reply.error["code"]) == (429, "rate_limit_exceeded")
    assert reply.headers["retry-after"] == "1"


def test_eight_run_at_once_and_a_stream_holds_its_slot(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_QUEUE_SECONDS": "0"}) as relay:
        hold_eight(relay)


def hold_eight(relay: Relay) -> None:
    wires = [relay.connect() for _ in range(8)]
    body = chat("a b demo:stall", stream=True)
    for wire in wires:
        wire.send(relay.request("POST", "/v1/chat/completions", body))
        wire.until(b"data:")
    reply = relay.send("GET", "/v1/models")
    assert (reply.status, reply.error["code"]) == (429, "too_many_concurrent_requests")
    assert reply.headers["retry-after"] == "1"
    wires.pop().sock.close()
    end_s = time.monotonic() + 10
    while relay.send("GET", "/v1/models").status != 200:
        assert time.monotonic() < end_s
    for wire in wires:
        wire.sock.close()


@pytest.mark.parametrize("wrong", [None, "wrong"])
def test_eight_failures_then_a_block_of_900_seconds(relay: Relay, wrong: str | None) -> None:
    replies = [relay.send("GET", "/v1/models", token=wrong) for _ in range(10)]
    assert [r.status for r in replies] == [401] * 8 + [429] * 2
    assert replies[8].error["code"] == "ip_temporarily_blocked"
    assert 890 <= int(replies[8].headers["retry-after"]) <= 900
    assert relay.send("GET", "/v1/models").status == 200


def test_other_addresses_are_not_blocked_with_it(relay: Relay) -> None:
    for _ in range(9):
        relay.send("GET", "/v1/models", token="wrong")
    with socket.socket() as other:
        other.bind(("127.0.0.2", 0))
        other.connect(("127.0.0.1", relay.port))
        other.sendall(relay.request("GET", "/v1/models", token="wrong"))
        assert other.recv(65536).startswith(b"HTTP/1.1 401 ")


def test_limits_are_configurable(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[security]\nfailed_auth_max_attempts = 2\nfailed_auth_block_seconds = 60\n")
    env = {"AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "1", "AIRELAYS_RATE_LIMIT_BURST": "3"}
    with running(tmp_path, "--config", str(config), env=env) as relay:
        statuses = [relay.send("GET", "/v1/models", token=None).status for _ in range(3)]
        assert statuses == [401, 401, 429]
        assert [relay.send("GET", "/v1/models").status for _ in range(4)] == [200, 200, 200, 429]


def test_forwarded_addresses_are_believed_only_when_told(tmp_path: Path) -> None:
    fields = {"X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
    with running(tmp_path) as relay:
        status = relay.send("GET", "/v1/relay/status", headers=fields).json()
        assert status["security"]["client"]["ip"] == "127.0.0.1"
    env = {
        "AIRELAYS_TRUST_X_FORWARDED_FOR": "true",
        "AIRELAYS_NETWORK_SCOPE": "any",
        "AIRELAYS_ALLOWED_HOSTS": "127.0.0.1",
    }
    with running(tmp_path, "--host", "0.0.0.0", env=env) as relay:
        status = relay.send("GET", "/v1/relay/status", headers=fields).json()
        assert status["security"]["client"]["ip"] == "192.0.2.7"


# ---- browsers in protected mode


def test_a_page_can_neither_call_nor_lock_out(relay: Relay) -> None:
    for _ in range(12):
        assert (
            relay.send("GET", "/v1/models", token=None, headers={"Origin": "https://evil"}).status
            == 403
        )
        assert (
            relay.send(
                "GET", "/v1/models", token=None, headers={"Sec-Fetch-Site": "cross-site"}
            ).status
            == 403
        )
        assert (
            relay.send(
                "OPTIONS", "/v1/models", token=None, headers={"Origin": "https://evil"}
            ).status
            == 403
        )
    assert relay.send("GET", "/v1/models").status == 200
    assert relay.send("GET", "/v1/models", token="wrong").status == 401


def test_a_listed_origin_gets_a_grant_and_still_needs_the_token(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_ALLOWED_ORIGINS": "app://obsidian.md,null"}) as relay:
        for origin in ("app://obsidian.md", "null"):
            asked = {
                "Origin": origin,
                "Access-Control-Request-Method": "POST",
                "Access-Control-Request-Headers": "authorization, x-stainless-os",
                "Access-Control-Request-Private-Network": "true",
            }
            preflight = relay.send("OPTIONS", "/v1/chat/completions", token=None, headers=asked)
            assert preflight.status == 204
            assert preflight.headers["access-control-allow-origin"] == origin
            assert (
                preflight.headers["access-control-allow-headers"] == "authorization, x-stainless-os"
            )
            assert preflight.headers["access-control-allow-private-network"] == "true"
            assert preflight.headers["vary"] == "origin"
            reply = relay.send("GET", "/v1/models", headers={"Origin": origin})
            assert (reply.status, reply.headers["access-control-allow-origin"]) == (200, origin)
            refused = relay.send("GET", "/v1/models", token=None, headers={"Origin": origin})
            assert (refused.status, refused.headers["access-control-allow-origin"]) == (401, origin)


def test_the_page_is_static_and_gives_nothing_away(relay: Relay) -> None:
    reply = relay.send("GET", "/", token=None)
    text = reply.body.decode()
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    assert "frame-ancestors 'none'" in reply.headers["content-security-policy"]
    assert "unsafe" not in reply.headers["content-security-policy"]
    assert text.count("<script") == 1 and "<script>" in text and TOKEN not in text
    again = relay.send("GET", "/", headers={"User-Agent": "another"})
    assert again.body == reply.body, "the same for everybody, with the token too"
    assert str(relay.home) not in text and "1.0.0" not in text
    assert f"http://127.0.0.1:{relay.port}/v1" in text


# ---- tools


@pytest.mark.parametrize(
    ("path", "body"),
    [
        (
            "/no-tools/v1/chat/completions",
            chat("a", tools=[{"type": "function", "function": {"name": "f"}}]),
        ),
        ("/no-tools/v1/chat/completions", chat("a", functions=[{"name": "f"}])),
        ("/no-tools/v1/chat/completions", chat("a", tool_choice="auto")),
        (
            "/no-tools/v1/responses",
            {"model": "demo", "input": "a", "tools": [{"type": "function", "name": "f"}]},
        ),
    ],
)
def test_no_tools_routes_refuse_tools(relay: Relay, path: str, body: dict[str, Any]) -> None:
    assert relay.send("POST", path, body).status == 400
    assert relay.send("POST", path.removeprefix("/no-tools"), body).status in (200, 400)


def test_no_tools_routes_answer_without_tools(relay: Relay) -> None:
    assert relay.send("POST", "/no-tools/v1/chat/completions", chat("a")).status == 200
    assert relay.send("GET", "/no-tools/v1/models").status == 200
