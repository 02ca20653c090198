"""The journal of a real relay: what is written of each request, what never is, and a disk that fails."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from tests.disks import tiny_disk
from tests.journal.test_redact import FORMS, traces
from tests.live import (
    DEADLINE_S,
    ROOT,
    TOKEN,
    Relay,
    Wire,
    program,
    running,
    start,
    wait_for,
    wait_ready,
)

GENEROUS = {
    "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1000000",
    "AIRELAYS_RATE_LIMIT_BURST": "1000000",
    "AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "1000000",
    "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "100",
}
# TEST_SECRET_REQUESTS=10000 is the full number; the property is the same with fewer.
SECRET_REQUESTS = int(os.environ.get("TEST_SECRET_REQUESTS", "1200"))


def chat(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def logs_of(relay: Relay) -> Path:
    return relay.home / ".airelays" / "logs"


def journal_of(relay: Relay) -> dict[str, Any]:
    journal: dict[str, Any] = relay.get("/v1/relay/status").json()["journal"]
    return journal


def records(logs: Path) -> list[dict[str, Any]]:
    found = []
    for path in sorted(logs.glob("*/*/*.jsonl")):
        found += [json.loads(line) for line in path.read_text().splitlines()]
    return found


def of_request(relay: Relay, request_id: str) -> dict[str, dict[str, Any]]:
    """Return the records of one request by phase, as soon as its last one is there."""

    def look() -> dict[str, dict[str, Any]]:
        found = {r["phase"]: r for r in records(logs_of(relay)) if r["request_id"] == request_id}
        ended = {"outbound_response", "endpoint_rejected", "endpoint_auth_failed"}
        return found if ended & found.keys() else {}

    found: dict[str, dict[str, Any]] = wait_for(look)
    return found


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


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("journal"), env=GENEROUS) as one:
        yield one


# ---- what is written


def test_the_start_is_recorded_with_the_state_of_the_token(relay: Relay) -> None:
    first = wait_for(lambda: records(logs_of(relay)))[0]
    assert first["phase"] == "endpoint_security_ready"
    assert first["request_id"] == "startup"
    assert first["require_bearer_auth"] is True
    assert first["bearer_token_created"] is False
    assert first["rate_limit_per_minute"] == 1_000_000


def test_a_token_made_at_start_is_recorded_and_not_shown(tmp_path: Path) -> None:
    with running(tmp_path, token=None) as one:
        first = wait_for(lambda: records(logs_of(one)))[0]
        token = (tmp_path / ".airelays" / "relay-token").read_text().strip()
    assert first["bearer_token_created"] is True
    assert token not in json.dumps(first)


@pytest.mark.parametrize("stream", [False, True])
def test_one_id_goes_through_all_records_of_a_request(relay: Relay, stream: bool) -> None:
    reply = relay.send("POST", "/v1/chat/completions", chat("hello there", stream=stream))
    found = of_request(relay, reply.headers["x-request-id"])
    assert set(found) == {"inbound_request", "upstream_response", "outbound_response"}
    begin, end = found["inbound_request"], found["outbound_response"]
    assert begin["method"] == "POST"
    assert begin["path"] == "/v1/chat/completions"
    assert begin["client_ip"] == "127.0.0.1"
    assert begin["headers"]["authorization"] == "[REDACTED]"
    assert begin["headers"]["content-type"] == "application/json"
    assert end["status_code"] == 200
    assert end["outcome"] == "ok"
    assert end["model"] == "demo"
    assert end["upstream"] == "demo"
    assert end["stream"] is stream
    assert end["usage"]["output_tokens"] > 0
    assert end["bytes_in"] > 0 and end["bytes_out"] > 0
    times = end["timings_ms"]
    assert 0 <= times["gate"] <= times["first_byte"] <= times["total"]
    assert ("first_token" in times) is stream
    assert times["longest_gap"] >= 0


def test_no_prompt_and_no_answer_is_written_by_default(relay: Relay) -> None:
    words = "violet umbrellas sleep furiously"
    for stream in (False, True):
        reply = relay.send("POST", "/v1/chat/completions", chat(words, stream=stream))
        of_request(relay, reply.headers["x-request-id"])
    written = b"".join(p.read_bytes() for p in logs_of(relay).rglob("*.jsonl"))
    for word in (b"violet", b"umbrellas", b"furiously"):
        assert word not in written


def test_the_longest_silence_of_a_stream_is_measured(relay: Relay) -> None:
    text = "demo:pace=40 demo:words=5"
    reply = relay.send("POST", "/v1/chat/completions", chat(text, stream=True))
    end = of_request(relay, reply.headers["x-request-id"])["outbound_response"]
    assert 30 <= end["timings_ms"]["longest_gap"] <= end["timings_ms"]["total"]


@pytest.mark.parametrize(
    ("switch", "status", "outcome", "phase", "code"),
    [
        ("quota", 429, "failed_upstream", "upstream_response_error", "usage_limit_reached"),
        ("overload", 503, "failed_upstream", "upstream_response_error", "server_is_overloaded"),
        ("cut", 200, "cut_by_upstream", "upstream_stream_error", "incomplete_stream"),
        ("fail", 200, "failed_upstream", "upstream_stream_error", "server_error"),
    ],
)
def test_where_and_why_the_upstream_failed_is_written(
    relay: Relay, switch: str, status: int, outcome: str, phase: str, code: str
) -> None:
    text = f"one two three four five six demo:{switch}"
    reply = relay.send("POST", "/v1/chat/completions", chat(text, stream=True))
    assert reply.status == status
    found = of_request(relay, reply.headers["x-request-id"])
    end = found["outbound_response"]
    assert end["outcome"] == outcome
    assert end["error"]["code"] == code
    assert found[phase]["error"]["code"] == code
    assert found[phase]["upstream"] == "demo"


def test_a_client_that_leaves_is_written_as_such(relay: Relay) -> None:
    text = "demo:pace=200 demo:words=100"
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", chat(text, stream=True)))
        request_id = wire.head().headers["x-request-id"]
        wire.until(b"data: ")
    end = of_request(relay, request_id)["outbound_response"]
    assert end["outcome"] == "client_left"
    assert end["status_code"] == 200


def test_a_client_that_leaves_before_its_answer_is_written_too(relay: Relay) -> None:
    text = "demo:pace=10000 demo:words=100"
    with relay.connect() as wire:
        wire.send(relay.request("POST", "/v1/chat/completions", chat(text)))
        wait_for(lambda: relay.get("/v1/relay/status").json()["requests_open"] > 1)
    end = wait_for(
        lambda: (
            [r for r in records(logs_of(relay)) if r.get("outcome") == "client_left"][1:]
            or [r for r in records(logs_of(relay)) if r.get("status_code") == 0]
        )
    )[-1]
    assert end["outcome"] == "client_left"


def test_a_bad_request_is_written_with_its_reason(relay: Relay) -> None:
    reply = relay.send("POST", "/v1/chat/completions", b"{")
    end = of_request(relay, reply.headers["x-request-id"])["outbound_response"]
    assert (end["status_code"], end["outcome"]) == (400, "bad_request")
    assert end["error"]["message"]


def test_a_failed_attempt_leaves_a_fingerprint_only(relay: Relay) -> None:
    wrong = "wrong-token-9876543210-zyxwvutsrq"
    reply = relay.send("GET", "/v1/models?key=" + wrong, token=wrong)
    found = of_request(relay, reply.headers["x-request-id"])
    assert set(found) == {"endpoint_auth_failed"}
    failed = found["endpoint_auth_failed"]
    assert len(failed["token_fingerprint"]) == 12
    assert failed["blocked"] is False
    assert wrong not in json.dumps(found)


def test_the_relay_token_is_cut_out_of_a_request_that_does_not_present_it(relay: Relay) -> None:
    reply = relay.send("GET", "/v1/models", token=None, headers={"User-Agent": f"x {TOKEN}"})
    failed = of_request(relay, reply.headers["x-request-id"])["endpoint_auth_failed"]
    assert failed["headers"]["user-agent"] == "x [REDACTED]"
    assert TOKEN not in json.dumps(failed)


def test_refusals_are_written_with_their_reason(relay: Relay) -> None:
    reply = relay.send("GET", "/v1/models", headers={"Host": "rebound.example"})
    found = of_request(relay, reply.headers["x-request-id"])
    assert found["endpoint_rejected"]["reason"] == "host"
    assert found["endpoint_rejected"]["status_code"] == 421


def test_a_malformed_head_is_written_without_its_bytes(relay: Relay) -> None:
    with relay.connect() as wire:
        wire.send(b"GET /v1/models HTTP/1.1\r\nHost: x\r\nBad Name: forged\r\n\r\n")
        reply = wire.reply()
    found = of_request(relay, reply.headers["x-request-id"])["endpoint_rejected"]
    assert found["reason"] == "malformed_request"
    assert found["status_code"] == reply.status == 400


def test_no_client_can_write_a_line_of_its_own(relay: Relay) -> None:
    agent = 'x"}\\n{"phase":"forged"} \x7f'.replace("\x7f", "")
    body = chat("x", model='m"}\n{"phase":"forged"}\u2028\x1b[2J')
    reply = relay.send("POST", "/v1/chat/completions", body, headers={"User-Agent": agent})
    of_request(relay, reply.headers["x-request-id"])
    assert not [r for r in records(logs_of(relay)) if r["phase"] == "forged"]
    for path in logs_of(relay).rglob("*.jsonl"):
        assert b"\x1b" not in path.read_bytes()


def test_health_and_status_are_not_written_while_they_succeed(relay: Relay) -> None:
    ids = {
        relay.get(path).headers["x-request-id"]
        for path in ("/healthz", "/v1/relay/status", "/metrics", "/v1/relay/logging")
    }
    last = relay.get("/v1/models").headers["x-request-id"]
    of_request(relay, last)
    assert not ids & {r["request_id"] for r in records(logs_of(relay))}


def test_files_and_folders_are_private_whatever_the_umask(relay: Relay) -> None:
    wait_for(lambda: records(logs_of(relay)))
    for path in [logs_of(relay), *logs_of(relay).rglob("*")]:
        wanted = 0o700 if path.is_dir() else 0o600
        assert stat.S_IMODE(path.stat().st_mode) == wanted, path


def test_a_stopped_relay_has_written_everything_and_says_who_was_cut(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_DRAIN_SECONDS": "0"}) as one:
        with one.connect() as wire:
            text = "demo:pace=500 demo:words=100"
            wire.send(one.request("POST", "/v1/chat/completions", chat(text, stream=True)))
            request_id = wire.head().headers["x-request-id"]
            wire.until(b"data: ")
            assert one.stop() == 0
        end = [r for r in records(logs_of(one)) if r["request_id"] == request_id][-1]
    assert (end["phase"], end["outcome"]) == ("outbound_response", "shut_down")
    assert end["error"]["code"] == "relay_shutting_down"


def test_the_last_records_before_a_stop_are_written(tmp_path: Path) -> None:
    with running(tmp_path, env=GENEROUS) as one:
        with one.connect() as wire:
            wire.send(one.request("GET", "/v1/models") * 300)
            ids = {wire.reply().headers["x-request-id"] for _ in range(300)}
        assert one.stop() == 0
    ended = {r["request_id"] for r in records(logs_of(one)) if r["phase"] == "outbound_response"}
    assert ids <= ended


def test_a_killed_relay_leaves_a_log_that_the_next_one_goes_on_with(tmp_path: Path) -> None:
    for turn in range(2):
        with running(tmp_path, env=GENEROUS) as one:
            for _ in range(30):
                reply = one.get("/v1/models")
            of_request(one, reply.headers["x-request-id"])
            for _ in range(50):
                one.get("/v1/models")
            one.process.kill()
            one.process.wait()
        torn = 0
        for path in logs_of(one).rglob("*.jsonl"):
            for line in path.read_bytes().split(b"\n"):
                try:
                    line and json.loads(line)
                except ValueError:
                    torn += 1
        assert torn <= turn + 1


def test_the_log_can_be_switched_off(tmp_path: Path) -> None:
    with running(tmp_path, env={"AIRELAYS_LOG_ENABLED": "false"}) as one:
        assert one.get("/v1/models").status == 200
        assert journal_of(one) == {"enabled": False}
    assert not logs_of(one).exists()


# ---- bodies


def test_bodies_are_added_without_secrets_when_asked_for(tmp_path: Path) -> None:
    env = {**GENEROUS, "AIRELAYS_LOG_BODIES": "redacted", "AIRELAYS_LOG_STREAM_LINES": "true"}
    with running(tmp_path, env=env) as one:
        body = chat(f"violet {TOKEN}", metadata={"password": "hunter22", "kind": "plain"})
        whole = one.send("POST", "/v1/chat/completions", body)
        stream = one.send("POST", "/v1/chat/completions", {**body, "stream": True})
        found = of_request(one, whole.headers["x-request-id"])
        streamed = of_request(one, stream.headers["x-request-id"])
        one.stop()
        written = b"".join(p.read_bytes() for p in logs_of(one).rglob("*.jsonl"))
    sent = found["inbound_request"]["body"]
    assert sent["kind"] == "json" and len(sent["sha256"]) == 64
    assert sent["json"]["messages"][0]["content"] == "violet [REDACTED]"
    assert sent["json"]["metadata"] == {"password": "[REDACTED]", "kind": "plain"}
    assert found["upstream_request"]["body"]["json"]["input"]
    answer = found["outbound_response"]["body"]["json"]["choices"][0]["message"]["content"]
    assert "violet" in answer
    assert streamed["outbound_response"]["body"]["kind"] == "stream"
    assert "violet" in streamed["outbound_response"]["body"]["text"]["content"]
    assert b"upstream_stream_line" in written
    assert TOKEN.encode() not in written and b"hunter22" not in written


def test_large_bodies_leave_their_digest(tmp_path: Path) -> None:
    with running(tmp_path, env={**GENEROUS, "AIRELAYS_LOG_BODIES": "redacted"}) as one:
        for size in (200_000, 2_000_000):
            reply = one.send(
                "POST", "/v1/chat/completions", chat("demo:words=3 " + "word " * (size // 5))
            )
            found = of_request(one, reply.headers["x-request-id"])
            body = found["inbound_request"]["body"]
            assert body["bytes"] > size
            assert len(body["sha256"]) == 64
            assert len(json.dumps(found["inbound_request"])) < 65536


# ---- secrets

PLACES = 14


def secret_request(relay: Relay, n: int, secret: str, presented: str) -> bytes:
    """Return a request with secrets in one of the places where a client could put them."""
    forms = sorted(FORMS)
    hidden = FORMS[forms[n % len(forms)]](secret).replace("\n", " ")
    safe = "".join(c for c in hidden if c.isalnum() or c in "-_.~%")
    fields = {
        "User-Agent": f"agent/1 {hidden}",
        "Accept": hidden,
        "Cookie": f"session={presented}; a={hidden}",
        "Referer": f"http://x/{safe}",
        "X-Custom": hidden,
        "x-api-key": relay.token,
        "Authorization": f"Bearer {relay.token}",
        "Proxy-Authorization": f"Basic {hidden}",
        f"X-{safe.replace('%', '') or 'a'}"[:200]: "1",
    }
    path, method, body = "/v1/chat/completions", "POST", b""
    place = n % PLACES
    if place == 0:
        body = json.dumps(chat(hidden, stream=True)).encode()
    elif place == 1:
        body = json.dumps(chat("demo:quota", user=hidden, model=hidden)).encode()
    elif place == 2:
        body = json.dumps(chat(hidden, **{hidden: hidden})).encode()
    elif place == 3:
        body = b'{"a": "' + hidden.encode()
    elif place == 4:
        path = f"/v1/models?token={safe}&limit={safe}&{safe}&{safe}=1"
        method = "GET"
    elif place == 5:
        path, method = f"/v1/{safe}/x", "GET"
    elif place == 6:
        path, method = f"/v1/models/{safe}", "GET"
    elif place == 7:
        fields["Authorization"] = f"Bearer {presented}"
        del fields["x-api-key"]
        path, method = f"/v1/models?api_key={safe}&x={presented}", "GET"
    elif place == 8:
        fields["Host"] = "h" + "".join(c for c in hidden if c.isalnum())[:60] + ".example"
        method = "GET"
    elif place == 9:
        body = json.dumps({"model": "demo", "input": hidden, "tools": [{"type": hidden}]}).encode()
        path = "/v1/responses"
    elif place == 10:
        body = json.dumps(chat(f"{hidden} a b c d demo:cut", stream=True)).encode()
    elif place == 11:
        fields["Content-Type"] = f"application/json; x={safe}"
        body = json.dumps({"model": "demo", "prompt": hidden, "stop": [hidden]}).encode()
        path = "/v1/completions"
    elif place == 12:
        fields["Content-Encoding"] = safe[:60] or "x"
        body = b"x"
    else:
        fields["Origin"] = f"http://{safe.replace('%', '')[:60] or 'x'}.example"
        method = "GET"
    return relay.request(method, path, body or None, headers=fields)


def send_all(relay: Relay, count: int, secrets: list[str], presented: list[str]) -> None:
    """Send `count` requests over kept connections; the relay may close one after a refusal."""
    wire: Wire | None = None
    for n in range(count):
        data = secret_request(relay, n, secrets[n % len(secrets)], presented[n % len(presented)])
        method = data.split(b" ", 1)[0].decode()
        if wire is None:
            wire = relay.connect()
        wire.send(data)
        reply = wire.reply(method)
        if reply.headers.get("connection") == "close":
            wire.sock.close()
            wire = None
    if wire is not None:
        wire.sock.close()


@pytest.mark.parametrize("bodies", ["off", "redacted"])
def test_no_secret_reaches_any_file_or_the_terminal(tmp_path: Path, bodies: str) -> None:
    proxy_password = "pr0xy-Pass-w0rd-17"
    env = {
        **GENEROUS,
        "AIRELAYS_LOG_BODIES": bodies,
        "AIRELAYS_LOG_STREAM_LINES": "true" if bodies == "redacted" else "false",
        "HTTPS_PROXY": f"http://user:{proxy_password}@127.0.0.1:9",
    }
    secrets = [TOKEN, proxy_password]
    presented = ["wr0ng-t0ken-aaaa1111bbbb2222", "s3ss10n-c00kie-value-cccc3333"]
    count = SECRET_REQUESTS // 2
    process, ready = start(tmp_path, token=TOKEN, env=env)
    try:
        facts = wait_ready(process, ready)
        relay = Relay(process, facts["port"], tmp_path, TOKEN)
        send_all(relay, count, secrets, presented)
        journal = journal_of(relay)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE_S)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    assert process.returncode == 0
    assert journal["dropped_records"] == 0
    assert journal["withheld_records"] == 0
    found = records(tmp_path / ".airelays" / "logs")
    assert sum(r["phase"] in ("inbound_request", "endpoint_rejected") for r in found) > count * 0.8
    texts = {str(p): p.read_bytes() for p in tmp_path.rglob("*") if p.is_file()}
    texts |= {"stdout": out.encode(), "stderr": err.encode()}
    for where, text in texts.items():
        low = text.lower()
        for secret in [*secrets, *presented]:
            for trace in traces(secret):
                assert trace.encode() not in low, (where, trace)


def test_the_sign_in_is_known_to_the_redaction(tmp_path: Path) -> None:
    """The tokens of auth.json, in a request and in an error, with an upstream that cannot be reached."""
    held = {
        "access_token": "acc-T0ken-0123456789-abcdefghijklmnop",
        "refresh_token": "ref-T0ken-9876543210-qrstuvwxyzabcdef",
    }
    data = tmp_path / ".airelays"
    data.mkdir(mode=0o700)
    auth = data / "auth.json"
    auth.write_text(
        json.dumps({"tokens": {**held, "account_id": "acct-1"}, "account_id": "acct-1"})
    )
    auth.chmod(0o600)
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    env = {
        **GENEROUS,
        "AIRELAYS_UPSTREAM_BASE_URL": f"http://127.0.0.1:{port}/backend-api/codex",
        "AIRELAYS_ISSUER_BASE_URL": f"http://127.0.0.1:{port}",
    }
    with running(tmp_path, env=env, demo=False) as one:
        one.send("POST", "/v1/chat/completions", chat("warm up"))
        for n in range(60):
            hidden = FORMS[sorted(FORMS)[n % len(FORMS)]](list(held.values())[n % 2])
            hidden = hidden.replace("\n", " ")
            reply = one.send(
                "POST",
                "/v1/chat/completions",
                chat("hello", model=hidden),
                headers={"User-Agent": hidden, "Accept": hidden},
            )
            assert reply.status >= 400
        one.stop()
    low = b"".join(p.read_bytes() for p in logs_of(one).rglob("*.jsonl")).lower()
    assert b"outbound_response" in low
    for token in held.values():
        for trace in traces(token):
            assert trace.encode() not in low


# ---- a disk that fails


def test_requests_go_on_while_the_disk_is_full_and_records_come_back_after(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    # More than all the records below: what waits when there is room again has to fit, however many they are.
    with tiny_disk(disk, "1m"):
        env = {**GENEROUS, "AIRELAYS_LOGS_DIR": str(disk / "logs")}
        with running(tmp_path, env=env) as one:
            assert one.get("/v1/models").status == 200
            wait_for(lambda: (disk / "logs").exists() and records(disk / "logs"))
            filler = disk / "filler"
            with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"x" * 4096)
            slowest_s = 0.0
            for _ in range(300):
                begun_s = time.monotonic()
                assert one.get("/v1/models").status == 200
                slowest_s = max(slowest_s, time.monotonic() - begun_s)
            assert slowest_s < 1.0
            # A short record may still find a place behind the last one: that ends the error for a moment.
            wait_for(lambda: "No space left" in str(journal_of(one)["last_error"]))
            assert journal_of(one)["dropped_disk"] > 0
            metrics = one.get("/metrics").body.decode()
            assert 'airelays_journal_dropped_total{reason="disk"} 0' not in metrics
            filler.unlink()
            last = one.get("/v1/models").headers["x-request-id"]
            wait_for(lambda: any(r["request_id"] == last for r in records(disk / "logs")))
            wait_for(lambda: journal_of(one)["last_error"] is None)
            one.stop()
            err = one.process.stderr.read() if one.process.stderr else ""
        for path in (disk / "logs").rglob("*.jsonl"):
            data = path.read_bytes()
            assert data.endswith(b"\n")
            for line in data.splitlines():
                json.loads(line)
    assert err.count("cannot be written") == 1


# ---- the operator's routes


def test_the_status_has_the_journal_the_limiter_and_the_upstreams(relay: Relay) -> None:
    status = relay.get("/v1/relay/status").json()
    assert status["journal"]["enabled"] is True
    assert status["journal"]["dropped_records"] == 0
    assert status["journal"]["written_records"] > 0
    assert status["security"]["client"]["active_requests"] == 1
    assert status["upstreams"]["demo"]["ready"] is True
    assert status["uptime_seconds"] > 0
    assert status["streams_open"] >= 0
    assert status["requests_open"] >= 1


def test_retention_is_read_and_changed_over_http(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        before = one.get("/v1/relay/logging").json()
        assert before["policy"] == {"retention_days": 7, "max_total_mb": 1024, "max_file_mb": 50}
        assert before["policy_source"] == "config"
        assert before["cleanup_interval_seconds"] == 60
        nothing = one.send("PUT", "/v1/relay/logging", {})
        assert (nothing.status, nothing.json()["policy_source"]) == (200, "config")
        assert one.send("PUT", "/v1/relay/logging", b"").status in (200, 400)
        assert not (logs_of(one) / ".retention.json").exists()
        old = logs_of(one) / "2020" / "01" / "01-00.jsonl"
        old.parent.mkdir(parents=True)
        (logs_of(one) / ".retention.json").write_text("{")
        old.write_text("{}\n")
        after = one.send("PUT", "/v1/relay/logging", {"retention_days": 3}).json()
        assert after["policy"]["retention_days"] == 3
        assert after["policy_source"] == "saved"
        more = one.send("PUT", "/v1/relay/logging", {"max_total_mb": 100}).json()
        assert more["policy"] == {"retention_days": 3, "max_total_mb": 100, "max_file_mb": 50}
        wait_for(lambda: not old.exists())
        wait_for(lambda: one.get("/v1/relay/logging").json()["last_cleanup_at"] is not None)
        logging, status = one.get("/v1/relay/logging"), one.get("/v1/relay/status")
        for facts in (logging.json(), status.json()["journal"]):
            cleaned = facts["last_cleanup_at"]
            assert re.fullmatch(r"20\d\d-\d\d-\d\dT\d\d:\d\d:\d\dZ", cleaned)
            assert abs(datetime.fromisoformat(cleaned).timestamp() - time.time()) < 300
        for bad in ({"retention_days": -1}, {"x": 1}, {"max_file_mb": 101}, {"max_file_mb": "1"}):
            reply = one.send("PUT", "/v1/relay/logging", bad)
            assert reply.status == 400
            assert reply.error["code"] == "invalid_value"
        assert one.send("PUT", "/v1/relay/logging", {}, token=None).status == 401


def test_an_operator_lifts_a_block(tmp_path: Path) -> None:
    env = {"AIRELAYS_FAILED_AUTH_BLOCK_SCOPE": "address"}
    with running(tmp_path, env=env) as one:
        for _ in range(8):
            assert one.send("GET", "/v1/models", token="wrong").status == 401
        assert one.get("/v1/models").status == 429
        told = command(tmp_path, "unblock", "10.9.8.7")
        assert (told.returncode, told.stdout) == (0, "10.9.8.7 was not blocked\n")
        assert one.get("/v1/models").status == 429
        told = command(tmp_path, "unblock", "127.0.0.1")
        assert (told.returncode, told.stdout) == (0, "unblocked: 127.0.0.1\n")
        assert one.get("/v1/models").status == 200
        for _ in range(8):
            one.send("GET", "/v1/models", token="wrong")
        assert one.get("/v1/models").status == 429
        told = command(tmp_path, "unblock", "--json")
        assert json.loads(told.stdout) == {"client": None, "lifted": 1}
        assert one.get("/v1/models").status == 200
        lifted = wait_for(
            lambda: [r for r in records(logs_of(one)) if r["phase"] == "endpoint_unblocked"][2:]
        )
        assert lifted[0]["client_ip"] == "all"
        there = {p.name for p in (tmp_path / ".airelays").iterdir()}
        # The book may be folded by now.
        assert sorted(
            there - {"state.sqlite3", "state.sqlite3-shm", "state.sqlite3-wal", "tmp", "uploads"}
        ) == [
            "book-1.log",
            "logs",
            "relay.lock",
            "relay.pid",
            "running.json",
        ]


def test_unblock_says_when_no_relay_runs(tmp_path: Path) -> None:
    told = command(tmp_path, "unblock")
    assert told.returncode == 1
    assert "no relay is using" in told.stderr
