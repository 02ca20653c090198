"""The control listener and `running.json`: commands find the relay that runs, and trust nobody else."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airelays.guard.control import prove
from tests.live import ROOT, Relay, Reply, Wire, program, running, wait_for


def airelays(home: Path, *words: str, env: dict[str, str] | None = None) -> Any:
    """Run a command as the relay's user; its parsed JSON is `told` where it printed any."""
    found = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **(env or {})}
    done = subprocess.run(
        [*program(), *words], env=found, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return done


def told(home: Path, *words: str) -> Any:
    """Return what a command said with --json."""
    done = airelays(home, *words, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def file_of(home: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((home / ".airelays" / "running.json").read_text())
    return found


def rewrite(home: Path, **changes: Any) -> None:
    path = home / ".airelays" / "running.json"
    path.write_text(json.dumps({**file_of(home), **changes}))


def control(home: Path, method: str, path: str, **headers: str) -> Reply:
    """Send one request to the control listener, with its secret unless `headers` say otherwise."""
    facts = file_of(home)
    place = f"127.0.0.1:{facts['control_port']}"
    fields = {"Host": place, "x-airelays-control": facts["secret"], **headers}
    with Wire(socket.create_connection(("127.0.0.1", facts["control_port"]), 10)) as wire:
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items() if value)
        wire.send(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode())
        return wire.reply(method)


def journal(home: Path) -> str:
    files = sorted((home / ".airelays" / "logs").rglob("*.jsonl"))
    return "".join(file.read_text() for file in files)


def test_the_file_says_which_relay_runs_and_goes_with_it(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        path = tmp_path / ".airelays" / "running.json"
        facts = file_of(tmp_path)
        assert path.stat().st_mode & 0o777 == 0o600
        assert (facts["format"], facts["pid"]) == (1, relay.process.pid)
        assert facts["base_urls"] == [relay.url] and facts["upstream"] == "demo"
        assert len(bytes.fromhex(facts["secret"])) == 32
        assert relay.stop() == 0
        assert not path.exists()


def test_commands_are_about_the_relay_that_runs(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        status = told(tmp_path, "status")
        assert status["relay"]["client_base_url"] == status["client"]["base_url"] == relay.url
        assert status["relay"]["upstream_kind"] == "demo"
        assert status["running"]["process"]["pid"] == relay.process.pid
        assert "demo" in [m["id"] for m in told(tmp_path, "models")["data"]]
        doctor = told(tmp_path, "doctor")
        found = {check["name"]: check["status"] for check in doctor["checks"]}
        assert doctor["ready"] is True and found["relay"] == "pass"
        shown = airelays(tmp_path, "connect", "aider").stdout
        assert relay.url in shown and "openai/demo" in shown
        text = airelays(tmp_path, "status").stdout
        assert f"pid {relay.process.pid}" in text and "8080" not in text


def test_without_a_relay_status_exits_with_3_and_nothing_is_ready(tmp_path: Path) -> None:
    done = airelays(tmp_path, "status", "--json")
    assert done.returncode == 3 and json.loads(done.stdout)["running"] is None
    doctor = json.loads(airelays(tmp_path, "doctor", "--json").stdout)
    assert doctor["ready"] is False
    for words in (["stop"], ["reload"], ["unblock"]):
        done = airelays(tmp_path, *words)
        assert done.returncode == 1 and "no relay is using" in done.stderr


def test_stop_waits_for_the_end(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        done = airelays(tmp_path, "stop")
        assert done.returncode == 0 and str(relay.process.pid) in done.stdout
        assert relay.process.wait(0.5) == 0


def test_reload_says_what_was_taken_over_and_a_bad_file_changes_nothing(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[security]\nrate_limit_per_minute = 99\n")
    with running(tmp_path, "--config", str(config)) as relay:
        config.write_text("[security]\nrate_limit_per_minute = 77\n[server]\nport = 9\n")
        done = told(tmp_path, "reload")
        assert done == {"taken": ["rate_limit_per_minute"], "need_restart": []}
        config.write_text("[security]\nrate_limit_per_minute = -3\n")
        failed = airelays(tmp_path, "reload")
        assert failed.returncode == 1 and "rate_limit_per_minute" in failed.stderr
        status = told(tmp_path, "status")
        assert status["relay"]["rate_limit_per_minute"] == 77
        assert "rate_limit_per_minute" in status["running"]["process"]["reload_problem"]
        assert relay.get("/v1/models").status == 200


def test_unblock_works_for_a_blocked_address_with_every_connection_taken(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        "[security]\nfailed_auth_max_attempts = 1\nfailed_auth_block_scope = 'address'\n"
        "[server]\nmax_connections = 2\n"
    )
    with running(tmp_path, "--config", str(config)) as relay:
        assert relay.send("GET", "/v1/models", token="wrong").status == 401
        assert relay.get("/v1/models").status == 429
        with relay.connect(), relay.connect():
            assert told(tmp_path, "unblock", "127.0.0.1")["lifted"] == 1
        wait_for(lambda: relay.get("/v1/models").status == 200)


def test_a_killed_relay_is_not_running(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        relay.stop(signal.SIGKILL)
        assert (tmp_path / ".airelays" / "running.json").exists()
        done = airelays(tmp_path, "status")
        assert done.returncode == 3


# Who is believed


@contextmanager
def impostor(answer: bytes | None) -> Iterator[tuple[int, list[bytes]]]:
    """Listen on a port; give `answer` to each request, or nothing at all (None), and keep what came."""
    heard: list[bytes] = []
    held: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            while True:
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                held.append(client)
                heard.append(client.recv(65536))
                if answer is not None:
                    client.sendall(answer)
                    client.close()

        threading.Thread(target=serve, daemon=True).start()
        yield server.getsockname()[1], heard
        server.shutdown(socket.SHUT_RDWR)
        for client in held:
            client.close()


def said(body: bytes) -> bytes:
    return b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(body), body)


@pytest.mark.parametrize(
    "answer",
    [None, b"", b"\0\1\2garbage", said(b"[]"), said(b'{"proof":"' + b"0" * 64 + b'"}'), said(b"{")],
)
def test_nothing_is_sent_to_a_program_that_cannot_prove_itself(
    tmp_path: Path, answer: bytes | None
) -> None:
    with running(tmp_path), impostor(answer) as (port, heard):
        secret = file_of(tmp_path)["secret"]
        rewrite(tmp_path, control_port=port)
        done = airelays(tmp_path, "status")
        assert done.returncode == 1 and done.stdout == ""
        assert done.stderr.count("\n") == 1 and f"contains port {port}" in done.stderr
        assert heard and all(secret.encode() not in data for data in heard)


@pytest.mark.parametrize(
    ("content", "word"),
    [
        (b"", "was not written by a relay"),
        (b"[1]", "was not written by a relay"),
        (b"\xff\xfe", "was not written by a relay"),
        (b'{"format": 2}', "another version"),
        (b'{"format": 1, "pid": "x"}', "pid"),
        (b"x" * 100_000, "larger than"),
    ],
)
def test_a_file_that_is_not_ours_is_one_sentence(tmp_path: Path, content: bytes, word: str) -> None:
    with running(tmp_path):
        path = tmp_path / ".airelays" / "running.json"
        path.write_bytes(content)
        done = airelays(tmp_path, "models")
        assert (done.returncode, done.stdout) == (1, "")
        assert word in done.stderr and done.stderr.count("\n") == 1


def test_a_file_that_others_can_read_is_not_trusted(tmp_path: Path) -> None:
    with running(tmp_path):
        path = tmp_path / ".airelays" / "running.json"
        path.chmod(0o644)
        done = airelays(tmp_path, "status")
        assert done.returncode == 1 and "not trusted" in done.stderr
        assert path.stat().st_mode & 0o777 == 0o644


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file away")
def test_a_file_of_another_user_is_not_trusted(tmp_path: Path) -> None:
    with running(tmp_path):
        os.chown(tmp_path / ".airelays" / "running.json", 12345, 12345)
        done = airelays(tmp_path, "stop")
        assert done.returncode == 1 and "belongs to user 12345" in done.stderr


def test_a_relay_that_cannot_write_its_file_says_so_and_answers_at_its_url(tmp_path: Path) -> None:
    (tmp_path / ".airelays" / "running.json").mkdir(parents=True)
    (tmp_path / ".airelays").chmod(0o700)
    with running(tmp_path) as relay:
        done = airelays(tmp_path, "status")
        assert done.returncode == 1 and "running.json" in done.stderr
        env = {"AIRELAYS_BEARER_TOKEN": relay.token}
        asked = airelays(tmp_path, "status", "--json", "--url", relay.url, env=env)
        assert asked.returncode == 0
        assert json.loads(asked.stdout)["client"]["base_url"] == relay.url
        relay.stop()
        assert relay.process.stderr is not None
        assert "unless you add --url" in relay.process.stderr.read()


# What the listener refuses


def test_the_secret_and_nothing_else_opens_the_control_listener(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        assert control(tmp_path, "GET", "/status").status == 200
        wrong = "0" * 64
        bearer = {"Authorization": f"Bearer {relay.token}", "x-airelays-control": ""}
        for headers in ({"x-airelays-control": wrong}, {"x-airelays-control": ""}, bearer):
            for _ in range(9):
                reply = control(tmp_path, "POST", "/unblock", **headers)
                assert (reply.status, reply.error["code"]) == (401, "control_secret_wrong")
        assert control(tmp_path, "GET", "/status").status == 200
        assert relay.get("/v1/models").status == 200
        for path in ("/status", "/prove?" + "0" * 64, "/control/status", "/stop"):
            assert relay.get(path).status == 404
        relay.stop()
        assert journal(tmp_path).count('"endpoint_auth_failed"') == 27
        assert wrong not in journal(tmp_path)


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "localhost"},
        {"Host": "127.0.0.1"},
        {"Host": "evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Mode": "navigate"},
        {"Sec-Fetch-Dest": "empty"},
    ],
)
def test_no_browser_and_no_other_name_reaches_it(
    shared_control: tuple[Relay, Path], headers: dict[str, str]
) -> None:
    for method, path in (("GET", "/status"), ("GET", "/prove?" + "0" * 64), ("OPTIONS", "/stop")):
        reply = control(shared_control[1], method, path, **headers)
        assert (reply.status, reply.error["code"]) == (403, "control_forbidden")


def test_a_proof_is_of_the_nonce_and_the_start(shared_control: tuple[Relay, Path]) -> None:
    home = shared_control[1]
    facts, nonce = file_of(home), "ab" * 32
    reply = control(home, "GET", f"/prove?{nonce}", **{"x-airelays-control": ""})
    assert reply.json() == {"proof": prove(facts["secret"], nonce, facts["started"])}
    for bad in ("", "ab", "zz" * 32, "ab" * 100, "AB" * 32):
        assert control(home, "GET", f"/prove?{bad}").status == 400


def test_unknown_requests_and_bad_bodies_are_errors(shared_control: tuple[Relay, Path]) -> None:
    home = shared_control[1]
    assert control(home, "GET", "/stop").status == 404
    assert control(home, "GET", "/nothing").status == 404
    for client, status in (("nonsense", 400), ("127.0.0.1%25eth0x", 400)):
        facts = file_of(home)
        raw = json.dumps({"client": client}).encode()
        place = f"127.0.0.1:{facts['control_port']}"
        with Wire(socket.create_connection(("127.0.0.1", facts["control_port"]), 10)) as wire:
            wire.send(
                f"POST /unblock HTTP/1.1\r\nHost: {place}\r\nx-airelays-control: {facts['secret']}\r\n"
                f"Content-Length: {len(raw)}\r\n\r\n".encode()
                + raw
            )
            assert wire.reply("POST").status == status


def test_two_relays_on_two_folders_are_told_apart(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    one.mkdir()
    other.mkdir()
    with running(one) as first, running(other) as second:
        assert told(one, "status")["client"]["base_url"] == first.url
        assert told(other, "status")["client"]["base_url"] == second.url
        assert airelays(one, "stop").returncode == 0
        assert told(other, "status")["running"]["process"]["pid"] == second.process.pid


@pytest.fixture(scope="module")
def shared_control(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Relay, Path]]:
    """One relay for the tests that only ask."""
    home = tmp_path_factory.mktemp("control")
    with running(home) as relay:
        yield relay, home
