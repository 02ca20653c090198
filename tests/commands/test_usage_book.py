"""`usage` on the book, GET /v1/relay/usage, prices, and the book made again from the logs."""

from __future__ import annotations

import csv
import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import ConfigError
from airelays.journal.report import csv_rows, read_query, report
from airelays.journal.tally import Rows, Sums, cell_of, day_of
from airelays.settings.prices import read_prices
from tests.app.keyed import make, run
from tests.journal.test_tally import NOON_S, line
from tests.live import Relay, running, wait_for
from tests.net.test_live_wire import WIDE

CHAT = "/v1/chat/completions"
BODY: dict[str, Any] = {"model": "demo", "messages": [{"role": "user", "content": "hi"}]}


def table(home: Path, *words: str, config: Path | None = None) -> Any:
    done = run(home, "usage", *words, "--json", config=config)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)["book"]


def work(relay: Relay, key: str) -> Any:
    """Send four requests, one of them wrong; return the tokens."""
    headers = {"User-Agent": "aider/0.86 python"}
    total = 0
    for token in (None, key):
        more = {} if token is None else {"token": token}
        reply = relay.send("POST", CHAT, BODY, headers=headers, **more)
        total += reply.json()["usage"]["total_tokens"]
    assert relay.send("POST", CHAT, {**BODY, "model": "demo", "messages": 3}).status == 400
    stream = {**BODY, "stream": True, "stream_options": {"include_usage": True}}
    total += relay.send("POST", CHAT, stream).events()[-2]["usage"]["total_tokens"]
    return int(total)


def test_the_book_is_shown_while_a_relay_runs_and_after_and_made_again(tmp_path: Path) -> None:
    key = make(tmp_path, "aider")
    with running(tmp_path, env=WIDE) as relay:
        total = work(relay, key)
        by_key = table(tmp_path, "--by", "key")
        assert [(r["key"], r["requests"], r["failed"]) for r in by_key["rows"]] == [
            ("", 3, 1),
            ("aider", 1, 0),
        ]
        assert by_key["total"]["total_tokens"] == total
        assert by_key["total"]["failures"] == {"bad_request": 1}
        assert by_key["total"]["duration_seconds"]["p95"] > 0
        found = relay.get("/v1/relay/usage?by=program,route").json()["book"]
        assert {"aider"} < {row["program"] for row in found["rows"]}
        metrics = relay.get("/metrics").body.decode()
        assert 'airelays_program_requests_total{program="aider"} 2' in metrics
        assert 'airelays_program_tokens_total{program="aider"}' in metrics
        own = relay.send("GET", "/v1/relay/usage?by=key", token=key).json()["book"]
        assert [(row["key"], row["requests"]) for row in own["rows"]] == [("aider", 1)]
        refused = relay.get("/v1/relay/usage?by=ip")
        assert (refused.status, refused.error["code"]) == (400, "invalid_value")
        assert "expected one or more of day, key" in refused.error["message"]
        running_now = run(tmp_path, "usage", "--rebuild")
        assert running_now.returncode == 1 and "stop it first" in running_now.stderr
        wait_for(lambda: (tmp_path / ".airelays/state.sqlite3").exists())
        relay.stop(signal.SIGKILL)
    config = tmp_path / "config.toml"
    config.write_text("[prices]\ndemo = { input = 1000000, output = 1000000 }\n")
    before = table(tmp_path, "--by", "model,route", config=config)
    chat = [row for row in before["rows"] if row["route"] == "chat"]
    assert sum(row["cost"] for row in before["rows"]) == total
    assert chat
    cells = list(csv.reader(run(tmp_path, "usage", "--csv", "--by", "program").stdout.splitlines()))
    assert cells[0][:3] == ["program", "requests", "failed"] and cells[-1][:3] == [
        "aider",
        "2",
        "0",
    ]
    text = run(tmp_path, "usage", "--by", "key").stdout
    assert "(relay token)" in text and "aider" in text and "#" not in text


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("ip", "", ""), "by is 'ip'; expected one or more of day, key, model"),
        (("day,day", "", ""), "name each column once"),
        (("", "yesterday", ""), "since is 'yesterday'; expected a day such as"),
        (("", "2025-13-01", ""), "since is '2025-13-01'"),
        (("", "2025-11-03", "2025-11-02"), "until is 2025-11-02, which is before since"),
    ],
)
def test_a_query_that_is_wrong_is_said(words: tuple[str, str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        read_query(*words, NOON_S)


def test_days_of_a_query() -> None:
    assert read_query("", "", "", NOON_S) == (("day",), "2025-11-23", "")
    assert read_query("key, model", "30d", "today", NOON_S) == (
        ("key", "model"),
        "2025-10-31",
        "2025-11-29",
    )


def test_no_cell_of_the_csv_is_a_formula() -> None:
    rows = Rows()
    for program in ("=1+1", "+1", "-1", "@x", "good"):
        rows[cell_of(line(program=program))] = sums = Sums()
        sums.take(line())
    found = report(rows, read_query("program", "", "", NOON_S), str, ())
    assert sorted(row[0] for row in csv_rows(found)[1:]) == ["'+1", "'-1", "'=1+1", "'@x", "good"]


def test_the_first_price_that_fits_counts_and_cached_input_has_its_own() -> None:
    written = {"gpt-5.5*": {"input": 1, "cached": 0.1, "output": 10}, "gpt*": {"input": 9}}
    prices = read_prices({"prices": written}, "c.toml")
    rows = Rows()
    for model in ("GPT-5.5-codex", "gpt-4", "llama"):
        rows[cell_of(line(model=model))] = sums = Sums()
        sums.take(line(**{"in": 1_000_000, "cached": 500_000, "out": 100_000, "total": 1_100_000}))
    found = report(rows, read_query("model", "", "", NOON_S), str, prices)
    assert [row["cost"] for row in found["rows"]] == [0.5 + 0.05 + 1, 9.0, 0.0]
    assert found["total"]["tokens_without_price"] == 1_100_000


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (3, "prices is 3; expected a table such as"),
        ({"m": 3}, "prices.m is 3; expected a table such as"),
        ({"m": {"in": 3}}, "prices.m.in is unknown; expected one of input, cached, output"),
        ({"m": {"input": "3"}}, 'prices.m.input is "3"; expected a number from 0 to 1,000,000'),
        ({"m": {"input": -1}}, "prices.m.input is -1"),
        ({"m": {"input": float("nan")}}, "prices.m.input is NaN"),
    ],
)
def test_a_price_that_is_wrong_is_said(table: Any, said: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_prices({"prices": table}, "c.toml")
    assert said in str(caught.value)


def test_the_logs_make_the_days_again_that_they_cover(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        total = work(relay, make(tmp_path, "aider"))
        relay.stop()
    state = tmp_path / ".airelays/state.sqlite3"
    before = table(tmp_path, "--by", "key,program,route,model,upstream")
    # Logs that begin yesterday cover today as a whole.
    logs = tmp_path / ".airelays/logs"
    day = time.gmtime(time.time() - 86_400)
    folder = logs / f"{day.tm_year:04}" / f"{day.tm_mon:02}"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{day.tm_mday:02}-00.jsonl").write_text("")
    state.unlink()
    for book in state.parent.glob("book-*"):
        book.unlink()
    done = run(tmp_path, "usage", "--rebuild")
    assert done.returncode == 0, done.stderr
    assert f"requests since {day_of(time.time() - 86_400)}" in done.stdout
    after = table(tmp_path, "--by", "key,program,route,model,upstream")
    named = [{k: v for k, v in r.items() if "seconds" not in k} for r in after["rows"]]
    assert named == [{k: v for k, v in r.items() if "seconds" not in k} for r in before["rows"]]
    assert after["total"]["total_tokens"] == total


def test_requests_of_a_session_are_found_by_its_id_or_its_hash(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        field = {"X-Claude-Code-Session-Id": "0199-my-session"}
        relay.send("POST", CHAT, BODY, headers=field)
        relay.send("POST", CHAT, {**BODY, "prompt_cache_key": "0199-my-session"})
        relay.send("POST", CHAT, BODY)
        relay.stop()
    done = run(tmp_path, "explain", "--session", "0199-my-session", "--json")
    found = json.loads(done.stdout)
    assert len(found["requests"]) == 2 and found["total_tokens"] > 0
    listed = json.loads(run(tmp_path, "logs", "--session", "0199-my-session", "--json").stdout)
    assert [one["session"] for one in listed["requests"]] == [found["session"]] * 2
    assert run(tmp_path, "logs", "--session", "other").stdout.count("demo") == 0
    text = run(tmp_path, "explain", "--session", found["session"]).stdout
    assert text.count("req_") == 2 and "Requests:" in text
    assert run(tmp_path, "explain", "--session", "other").returncode == 1
    log = "".join(f.read_text() for f in (tmp_path / ".airelays/logs").rglob("*.jsonl"))
    assert "0199-my-session" not in log


def test_sessions_are_added_up_per_day_and_by_program_too(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        for name in ("one", "one", "two"):
            headers = {"X-Claude-Code-Session-Id": name, "User-Agent": "claude-cli/2"}
            assert relay.send("POST", CHAT, BODY, headers=headers).status == 200
        assert relay.send("POST", CHAT, BODY).status == 200
        query = "/v1/relay/usage?by=session,program"
        before = relay.get(query).json()["book"]
        relay.stop()
    after = table(tmp_path, "--by", "session,program")
    hashes = {row["session"]: row["requests"] for row in after["rows"]}
    assert sorted(hashes.values()) == [1, 2] and "one" not in hashes
    assert before["rows"] == after["rows"] and after["total"]["requests"] == 3
    assert (
        table(tmp_path, "--by", "day")["total"]["requests"] == 5
    )  # and one that asked for the book
    assert "session" in run(tmp_path, "usage", "--by", "day,session").stdout


def test_what_ran_when_the_relay_was_killed_is_counted_once(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text("[upstream]\ndemo_pace_ms = 2000\n")
    with running(tmp_path, "--config", str(config), env=WIDE) as relay, relay.connect() as wire:
        wire.send(relay.request("POST", CHAT, {**BODY, "stream": True}))
        wire.head()
        logs = tmp_path / ".airelays/logs"
        wait_for(lambda: any("inbound_request" in f.read_text() for f in logs.rglob("*.jsonl")))
        relay.stop(signal.SIGKILL)
    for _ in range(2):
        with running(tmp_path, env=WIDE) as relay:
            wait_for(lambda: "interrupted" in str(table(tmp_path, "--by", "route")))
            relay.stop()
    found = table(tmp_path, "--by", "route")
    assert [(r["route"], r["failures"]) for r in found["rows"]] == [("chat", {"interrupted": 1})]
