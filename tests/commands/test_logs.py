"""`logs`, `logs -f`, `logs prune`, `explain`, `unblock`: what a person sees."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airelays.app.records import from_record
from airelays.commands.explain import timeline, verdict
from airelays.commands.logs import seconds_text, tokens_a_second, when
from airelays.credentials.lock import FileLock
from airelays.journal.files import hour_path
from airelays.terminal.happening import lines_of
from tests.live import DEADLINE_S, ROOT, Relay, plain, program, running

ID = "req_" + "0a" * 16
OTHER = "req_" + "0b" * 16


def variables(home: Path) -> dict[str, str]:
    return {
        "HOME": str(home),
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(ROOT),
        "TZ": "UTC",
    }


def command(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return plain(
        subprocess.run(
            [*program(), *words],
            env=variables(home),
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
    )


def write(home: Path, *records: dict[str, Any], hour: int | None = None, part: int = 0) -> Path:
    hour = int(time.time()) // 3600 if hour is None else hour
    path = Path(hour_path(str(home / ".airelays" / "logs"), hour, part))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        for record in records:
            file.write(json.dumps(record, separators=(",", ":")).encode() + b"\n")
    return path


def inbound(request_id: str = ID, **more: Any) -> dict[str, Any]:
    return {
        "phase": "inbound_request",
        "request_id": request_id,
        "logged_at": "2026-03-04T05:00:00.250Z",
        "method": "POST",
        "path": "/v1/chat/completions",
        "route": "chat",
        "client_ip": "127.0.0.1",
        "headers": {"user-agent": "OpenAI/Python 2.3.0"},
        **more,
    }


def outbound(request_id: str = ID, **more: Any) -> dict[str, Any]:
    return {
        "phase": "outbound_response",
        "request_id": request_id,
        "logged_at": "2026-03-04T05:00:02.250Z",
        "status_code": 200,
        "outcome": "ok",
        "method": "POST",
        "route": "chat",
        "client_ip": "127.0.0.1",
        "program": "OpenAI",
        "model": "gpt-5.5",
        "upstream": "chatgpt",
        "stream": True,
        "events": 12,
        "bytes_in": 60,
        "bytes_out": 1234,
        "usage": {"input_tokens": 10, "output_tokens": 100, "total_tokens": 110},
        "timings_ms": {
            "gate": 0.2,
            "first_byte": 480.0,
            "first_token": 500.0,
            "longest_gap": 90.0,
            "total": 2500.0,
        },
        **more,
    }


def answered(request_id: str = ID) -> dict[str, Any]:
    return {
        "phase": "upstream_response",
        "request_id": request_id,
        "logged_at": "2026-03-04T05:00:02.250Z",
        "upstream": "chatgpt",
        "model": "gpt-5.5",
        "status_code": 200,
        "timings_ms": {"dial": 20.0, "tls": 30.0, "head": 400.0},
    }


# ---- logs


def test_logs_shows_place_size_and_policy(tmp_path: Path) -> None:
    write(tmp_path, inbound(), outbound())
    done = command(tmp_path, "logs")
    assert done.returncode == 0
    for text in (f"{tmp_path}/.airelays/logs", "7 days", "1,024 MiB", "50 MiB", "config"):
        assert text in done.stdout
    facts = json.loads(command(tmp_path, "logs", "--json").stdout)
    assert facts["policy"] == {"retention_days": 7, "max_total_mb": 1024, "max_file_mb": 50}
    assert facts["file_count"] == 1
    assert facts["usage_bytes"] > 400
    assert facts["over_budget"] is False
    assert facts["policy_source"] == "config"


def test_logs_saves_a_policy(tmp_path: Path) -> None:
    done = command(tmp_path, "logs", "--retention-days", "3", "--max-total-mb=200", "--json")
    facts = json.loads(done.stdout)
    assert facts["policy"] == {"retention_days": 3, "max_total_mb": 200, "max_file_mb": 50}
    assert facts["policy_source"] == "saved"
    again = json.loads(command(tmp_path, "logs", "--json", "--retention-days", "0").stdout)
    assert again["policy"] == {"retention_days": 0, "max_total_mb": 200, "max_file_mb": 50}


def test_a_saved_policy_is_told_and_can_be_forgotten(tmp_path: Path) -> None:
    command(tmp_path, "logs", "--retention-days", "3")
    saved = tmp_path / ".airelays" / "logs" / ".retention.json"
    done = command(tmp_path, "logs")
    assert "Not in effect:     retention_days = 7" in done.stdout
    assert "airelays logs --reset" in done.stdout
    shown = command(tmp_path, "config", "show", "--origin").stdout.splitlines()
    line = next(line for line in shown if line.startswith("logging.retention_days"))
    assert line.endswith(f"not in effect: {saved} sets 3 (`airelays logs --reset` removes it)")
    facts = json.loads(command(tmp_path, "config", "show", "--origin", "--json").stdout)
    assert str(saved) in facts["logging.retention_days"]["note"]
    assert "note" not in facts["logging.max_file_mb"]
    done = command(tmp_path, "logs", "--reset", "--json")
    assert (done.returncode, json.loads(done.stdout)["policy_source"]) == (0, "config")
    assert not saved.exists() and "the config file applies again" in done.stderr
    assert "there was no saved policy" in command(tmp_path, "logs", "--reset").stderr
    assert "not in effect" not in command(tmp_path, "config", "show", "--origin").stdout


@pytest.mark.parametrize("mend", [("--retention-days", "3"), ("--reset",)])
def test_a_damaged_policy_is_mended_by_what_its_message_says(
    tmp_path: Path, mend: tuple[str, ...]
) -> None:
    saved = tmp_path / ".airelays" / "logs" / ".retention.json"
    saved.parent.mkdir(parents=True)
    saved.write_text("")
    saved.chmod(0o600)
    done = command(tmp_path, "logs")
    assert done.returncode == 1
    assert "airelays logs --reset" in done.stderr and "--retention-days" in done.stderr
    assert command(tmp_path, "logs", *mend).returncode == 0
    assert command(tmp_path, "logs").returncode == 0


def test_a_policy_is_not_saved_and_forgotten_at_once(tmp_path: Path) -> None:
    done = command(tmp_path, "logs", "--reset", "--retention-days", "3")
    assert done.returncode == 2 and "use one or the other" in done.stderr


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--retention-days", "x"), "--retention-days is 'x'; expected a whole number"),
        (
            ("--retention-days", "36501"),
            "retention_days is 36501; expected a whole number from 0 to 36,500; nothing was saved",
        ),
        (
            ("--max-total-mb", "10"),
            "max_file_mb is 50, which is more than max_total_mb (10); nothing was saved",
        ),
    ],
)
def test_a_bad_policy_is_one_sentence(
    tmp_path: Path, flags: tuple[str, ...], sentence: str
) -> None:
    done = command(tmp_path, "logs", *flags)
    assert (done.returncode, done.stdout, done.stderr) == (2, "", f"airelays: {sentence}\n")
    assert not (tmp_path / ".airelays" / "logs" / ".retention.json").exists()


def test_prune_removes_what_is_too_old_and_keeps_the_newest(tmp_path: Path) -> None:
    hour = int(time.time()) // 3600
    old = [write(tmp_path, inbound(), hour=hour - 24 * days) for days in (30, 20)]
    newest = write(tmp_path, inbound(), hour=hour - 24 * 10)
    told = command(tmp_path, "logs", "prune", "--dry-run")
    assert told.stdout == "would remove 2 files, 0.5 KiB\n"
    assert all(path.exists() for path in old)
    told = command(tmp_path, "logs", "prune", "--json")
    assert json.loads(told.stdout)["deleted_files"] == [str(path) for path in old]
    assert not any(path.exists() for path in old)
    assert newest.exists()


def test_logs_with_a_word_too_many_is_a_usage_error(tmp_path: Path) -> None:
    done = command(tmp_path, "logs", "prne")
    assert done.returncode == 2
    assert "followed by one of: prune" in done.stderr


def test_logs_lists_the_last_requests_and_picks_the_failed_ones(tmp_path: Path) -> None:
    ids = [f"req_{n:032x}" for n in range(4)]
    write(tmp_path, *(outbound(one) for one in ids[:2]), hour=400_000)
    write(tmp_path, outbound(ids[2], outcome="bad_request", status_code=404), outbound(ids[3]))
    shown = command(tmp_path, "logs").stdout
    assert [shown.index(one) for one in ids] == sorted(shown.index(one) for one in ids)
    lines = command(tmp_path, "logs", "-n", "3").stdout.splitlines()
    assert [line.split()[-1] for line in lines] == ids[1:]
    (line,) = command(tmp_path, "logs", "--failed").stdout.splitlines()
    assert line.endswith(ids[2]) and "404" in line and "bad_request" in line
    told = json.loads(command(tmp_path, "logs", "--json", "--failed").stdout)["requests"]
    assert [(one["id"], one["state"], one["status"]) for one in told] == [
        (ids[2], "bad_request", 404)
    ]
    done = command(tmp_path, "logs", "-n", "0")
    assert (done.returncode, done.stdout) == (0, "") and "no request to show" in done.stderr


# ---- logs -f


@contextmanager
def following(home: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [*program(), "logs", "-f", *words],
        env=variables(home),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate(timeout=DEADLINE_S)


def next_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


def test_follow_shows_what_was_there_and_what_comes(tmp_path: Path) -> None:
    write(tmp_path, inbound(), answered(), outbound())
    with following(tmp_path) as process:
        line = next_line(process)
        assert re.fullmatch(
            r"05:00:02  OpenAI +gpt-5\.5 +200 +500 ms +10 +100 +2\.5 s  " + ID + "\n",
            line,
        )
        hour = int(time.time()) // 3600
        write(tmp_path, inbound(OTHER), hour=hour + 1)
        write(tmp_path, outbound(OTHER, outcome="client_left"), hour=hour + 2)
        assert "client_left" in next_line(process)
        process.send_signal(signal.SIGINT)
        assert process.wait(DEADLINE_S) == 130
        assert process.stderr is not None and process.stderr.read() == ""


def test_follow_gives_the_records_as_json(tmp_path: Path) -> None:
    path = write(tmp_path, inbound(), outbound())
    with path.open("ab") as file:
        file.write(b'{"torn\n')
    with following(tmp_path, "--json", "-n", "1") as process:
        # The torn line is the last one: there is nothing to show of it.
        write(tmp_path, inbound(OTHER))
        assert json.loads(next_line(process)) == inbound(OTHER)


def test_follow_shows_a_running_relay_live(tmp_path: Path) -> None:
    with running(tmp_path) as relay, following(tmp_path) as process:
        body = {"model": "demo", "messages": [{"role": "user", "content": "hello"}]}
        reply = relay.send("POST", "/v1/chat/completions", body)
        lines = [next_line(process), next_line(process)]
        assert "the relay started" in lines[0]
        assert reply.headers["x-request-id"] in lines[1]


@pytest.mark.parametrize(
    ("record", "text"),
    [
        (
            {
                "phase": "endpoint_rejected",
                "reason": "request_rate_limit",
                "status_code": 429,
                "client_ip": "10.0.0.9",
                "method": "GET",
                "path": "/v1/models",
            },
            "429 refused: request_rate_limit",
        ),
        (
            {"phase": "endpoint_auth_failed", "blocked": True, "block_seconds": 900},
            "401 refused: auth_failed",
        ),
        ({"phase": "endpoint_unblocked", "lifted": 2, "client_ip": "all"}, "2 blocks lifted"),
        (
            {
                "phase": "upstream_fallback",
                "from_upstream": "chatgpt",
                "to_upstream": "local/llama",
                "reason": "quota",
            },
            "chatgpt was not used (quota); local/llama took over",
        ),
        ({"phase": "relay_bug", "error": "KeyError", "place": "x.py:1"}, "KeyError at x.py:1"),
        ({"phase": "outbound_response"}, "?"),
    ],
)
def test_each_kind_of_record_has_its_line(record: dict[str, Any], text: str) -> None:
    told = from_record(record, 0.0)
    assert told is not None and text in " ".join(lines_of(told, 160))


def test_odd_times_are_no_error() -> None:
    assert when({"logged_at": "yesterday"}) is None
    assert tokens_a_second({"usage": {"output_tokens": 5}}) == 0.0


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 ms"), (0.9994, "999.4 ms"), (1, "1.0 s"), (99.9, "99.9 s"), (100, "1.7 min")],
)
def test_durations_read_well(seconds: float, text: str) -> None:
    assert seconds_text(seconds) == text


# ---- explain


def test_explain_tells_a_request_hop_by_hop(tmp_path: Path) -> None:
    write(tmp_path, inbound(), inbound(OTHER), answered(), outbound(), outbound(OTHER))
    done = command(tmp_path, "explain", ID)
    assert done.returncode == 0
    text = done.stdout
    for part in (
        "POST /v1/chat/completions came from 127.0.0.1 (OpenAI/Python 2.3.0)",
        "the relay accepted it",
        "chatgpt answered 400.0 ms after the request was sent, connected in 20.0 ms, TLS in 30.0 ms",
        "first byte of the answer from chatgpt",
        "first token sent to the client",
        "longest pause of chatgpt: 90.0 ms",
        "the relay finished: status 200, 1,234 bytes",
        "the answer was complete",
        "50.0 tokens/s",
    ):
        assert part in text
    facts = json.loads(command(tmp_path, "explain", ID, "--json").stdout)
    assert facts["request_id"] == ID
    assert facts["outcome"] == "ok"
    assert [r["phase"] for r in facts["records"]] == [
        "inbound_request",
        "upstream_response",
        "outbound_response",
    ]
    times = [step["at_ms"] for step in facts["timeline"]]
    assert times == sorted(times) and times[-1] == 2500.0


def test_explain_finds_a_request_over_the_end_of_an_hour_and_by_its_beginning(
    tmp_path: Path,
) -> None:
    hour = int(time.time()) // 3600
    write(tmp_path, inbound(), hour=hour - 1)
    write(tmp_path, answered(), outbound(), hour=hour)
    done = command(tmp_path, "explain", "0a0a0a", "--json")
    assert len(json.loads(done.stdout)["records"]) == 3


@pytest.mark.parametrize(
    ("word", "sentence", "code"),
    [
        ("zzz", "'zzz' is not a request id", 2),
        ("req_0a0a0", "is not a request id", 2),
        ("0" * 8, "contains no record of req_00000000 in its 1 file;", 1),
        ("req_0c0c0c", "several request ids begin with these digits", 1),
    ],
)
def test_explain_says_why_it_cannot(tmp_path: Path, word: str, sentence: str, code: int) -> None:
    write(tmp_path, inbound("req_0c0c0c" + "1" * 26), inbound("req_0c0c0c" + "2" * 26))
    done = command(tmp_path, "explain", word)
    assert done.returncode == code
    assert sentence in done.stderr
    assert done.stdout == ""


def test_explain_without_an_id_takes_the_last_request_that_ended(tmp_path: Path) -> None:
    done = command(tmp_path, "explain")
    assert done.returncode == 1 and "contains no request; it may be older" in done.stderr
    refused = {
        "phase": "endpoint_rejected",
        "request_id": "req_" + "0c" * 16,
        "logged_at": "2026-03-04T05:00:00.250Z",
        "reason": "host",
        "status_code": 421,
    }
    write(tmp_path, inbound(OTHER), outbound(OTHER), hour=400_000)
    assert "contains no failed request" in command(tmp_path, "explain", "--failed").stderr
    write(tmp_path, refused, inbound(), outbound(), inbound("req_" + "0d" * 16))
    found = [
        json.loads(command(tmp_path, "explain", "--json", *more).stdout)
        for more in ((), ("--failed",))
    ]
    assert [(one["request_id"], one["outcome"]) for one in found] == [
        (ID, "ok"),
        (refused["request_id"], "refused"),
    ]
    assert command(tmp_path, "explain", "--failed", ID).returncode == 2


def test_a_refusal_is_explained_by_the_id_of_its_answer(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        reply = relay.send("GET", "/v1/models", token="wrong")
        relay.stop()
    assert reply.status == 401
    done = command(tmp_path, "explain", reply.headers["x-request-id"])
    assert "the relay token was missing or wrong" in done.stdout
    assert reply.headers["x-request-id"] in command(tmp_path, "logs", "--failed").stdout


def told(*records: dict[str, Any]) -> list[str]:
    return [what for _, what in timeline(list(records))]


def test_a_failure_stands_before_the_end_and_says_its_hop() -> None:
    error = {"message": "the name was not resolved", "code": "upstream_unreachable", "hop": "dns"}
    failed = {
        "phase": "upstream_response_error",
        "request_id": ID,
        "logged_at": "2026-03-04T05:00:09.000Z",
        "upstream": "chatgpt",
        "hop": "dns",
        "error": error,
    }
    end = outbound(outcome="failed_upstream", status_code=502, error=error)
    end["timings_ms"] = {"gate": 0.2, "total": 20.0}
    steps = told(inbound(), failed, end)
    assert steps[-2] == "chatgpt failed at dns: the name was not resolved (upstream_unreachable)"
    assert steps[-1].startswith("the relay finished: status 502")
    assert verdict([inbound(), failed, end]) == (
        "failed_upstream",
        "the upstream did not answer this request (at: dns): the name was not resolved",
    )


@pytest.mark.parametrize(
    ("records", "word", "why"),
    [
        ([inbound()], "open", "still running"),
        ([inbound(), outbound(outcome="client_left")], "client_left", "the client closed"),
        ([inbound(), outbound(outcome="new_word")], "new_word", "new_word"),
        ([{"phase": "endpoint_auth_failed"}], "refused", "missing or wrong"),
        (
            [{"phase": "endpoint_rejected", "reason": "host", "status_code": 421}],
            "refused",
            "host, status 421",
        ),
    ],
)
def test_every_end_has_a_verdict(records: list[dict[str, Any]], word: str, why: str) -> None:
    found = verdict(records)
    assert found[0] == word and why in found[1]
    assert timeline(records)


def test_a_fallback_is_part_of_the_story() -> None:
    fallback = {
        "phase": "upstream_fallback",
        "logged_at": "2026-03-04T05:00:00.300Z",
        "from_upstream": "chatgpt",
        "to_upstream": "local/llama",
        "reason": "quota",
    }
    assert "chatgpt failed (quota); local/llama took over" in told(inbound(), fallback, outbound())


def test_explain_on_a_real_request(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        body = {"model": "demo", "messages": [{"role": "user", "content": "a b c d demo:cut"}]}
        reply = relay.send("POST", "/v1/chat/completions", {**body, "stream": True})
        relay.stop()
        done = command(tmp_path, "explain", reply.headers["x-request-id"])
    assert "cut_by_upstream" in done.stdout
    assert "demo failed at stream" in done.stdout


# ---- unblock: what it says (that it works is in test_live_journal.py)


@pytest.mark.parametrize("word", ["1.2.3", "host", "", "1.2.3.4/8"])
def test_unblock_wants_an_address(tmp_path: Path, word: str) -> None:
    done = command(tmp_path, "unblock", word)
    assert done.returncode == 2
    assert "is not an IP address" in done.stderr


def test_unblock_of_an_ipv6_address_lifts_its_network(relay: Relay) -> None:
    done = command(relay.home, "unblock", "[2001:db8::1]", "--json")
    assert json.loads(done.stdout) == {"client": "2001:db8::1", "lifted": 0}


@pytest.fixture
def relay(tmp_path: Path) -> Iterator[Relay]:
    with running(tmp_path) as one:
        yield one


def test_unblock_of_a_relay_that_does_not_answer_gives_up(relay: Relay) -> None:
    relay.process.send_signal(signal.SIGSTOP)
    try:
        done = command(relay.home, "unblock")
    finally:
        relay.process.send_signal(signal.SIGCONT)
    assert done.returncode == 1
    assert "nothing answers there" in done.stderr


def test_unblock_does_nothing_to_a_relay_that_left_no_file(tmp_path: Path) -> None:
    # The published AIRelays has the same lock and the same file with a pid.
    data = tmp_path / ".airelays"
    data.mkdir(mode=0o700)
    with subprocess.Popen(["sleep", "60"]) as other:
        (data / "relay.pid").write_text(f"{other.pid}\n")
        with FileLock(str(data / "relay.lock")).held(0.0):
            done = command(tmp_path, "unblock")
        alive = other.poll() is None
        other.kill()
    assert alive
    assert done.returncode == 1
    assert "but there is no running.json" in " ".join(done.stderr.split())


@pytest.mark.parametrize("name", ["running.json", "relay.lock"])
def test_unblock_waits_for_no_pipe(tmp_path: Path, name: str) -> None:
    data = tmp_path / ".airelays"
    data.mkdir(mode=0o700)
    os.mkfifo(data / name)
    with contextlib.ExitStack() as stack:
        if name == "running.json":
            stack.enter_context(FileLock(str(data / "relay.lock")).held(0.0))
        done = command(tmp_path, "unblock")
    assert done.returncode == 1
    assert "not a regular file" in done.stderr
