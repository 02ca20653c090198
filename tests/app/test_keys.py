"""Named keys in a running relay: who is let in, to what, within which limits, and what is theirs."""

from __future__ import annotations

import json
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.app.keyed import booked, make, make_many, run
from tests.fakes.openai_server import openai_server
from tests.live import Relay, Reply, running, wait_for
from tests.net.test_live_wire import WIDE

CHAT = "/v1/chat/completions"


def chat(text: str = "hi", **more: Any) -> dict[str, Any]:
    return {"model": "demo", "messages": [{"role": "user", "content": text}], **more}


def multipart(purpose: str = "assistants") -> tuple[bytes, dict[str, str]]:
    parts = (
        f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
        '--b\r\nContent-Disposition: form-data; name="file"; filename="a.txt"\r\n\r\nhello\r\n--b--\r\n'
    )
    return parts.encode(), {"Content-Type": "multipart/form-data; boundary=b"}


def code(reply: Reply) -> tuple[int, str]:
    return reply.status, reply.error["code"]


def test_a_key_is_let_in_from_the_next_request_on_and_ends_with_its_revocation(
    tmp_path: Path,
) -> None:
    with running(tmp_path, env=WIDE) as relay:
        key = make(tmp_path, "aider")
        assert relay.send("POST", CHAT, chat(), token=key).status == 200
        # Every form of credential is looked up by the same function.
        for field in ("x-api-key", "api-key"):
            assert relay.send("GET", "/v1/models", token=None, headers={field: key}).status == 200
        assert run(tmp_path, "key", "revoke", "aider").returncode == 0
        refused = relay.send("POST", CHAT, chat(), token=key)
        wrong = relay.send("POST", CHAT, chat(), token="wrong")
        assert refused.status == 401 and refused.body == wrong.body
        assert relay.get("/v1/models").status == 200
        relay.stop()
    log = "".join(f.read_text() for f in (tmp_path / ".airelays/logs").rglob("*.jsonl"))
    lines = [json.loads(line) for line in log.splitlines()]
    ended = [one for one in lines if one["phase"] == "outbound_response"]
    assert [one.get("key") for one in ended] == ["aider"] * 3 + [None]
    failed = [one for one in lines if one["phase"] == "endpoint_auth_failed"]
    assert (failed[0]["key"], failed[0]["key_problem"]) == ("aider", "revoked")
    assert "key" not in failed[1]
    assert key not in log


def test_a_mistyped_key_is_said_and_is_a_failed_attempt(tmp_path: Path) -> None:
    key = make(tmp_path, "aider")
    wrong = key[:-1] + ("A" if key[-1] != "A" else "B")
    with running(tmp_path, env={"AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "2"}) as relay:
        for _ in range(2):
            reply = relay.send("GET", "/v1/models", token=wrong)
            assert reply.status == 401 and "mistyped" in reply.error["message"]
        assert relay.send("GET", "/v1/models", token=wrong).status == 429
        # A block stops guesses, not a key.
        assert relay.send("GET", "/v1/models", token=key).status == 200


TABLE: list[tuple[str, str, str, Any, tuple[int, str]]] = [
    # flags of the key; method, path and body; what comes of it
    ("--routes read", "GET", "/v1/models", None, (200, "")),
    ("--routes read", "GET", "/v1/relay/usage", None, (200, "")),
    ("--routes read", "POST", CHAT, chat(), (403, "route_not_allowed")),
    ("--routes text", "POST", CHAT, chat(), (200, "")),
    ("--routes text", "POST", "/no-tools/v1/chat/completions", chat(), (200, "")),
    ("--routes text", "POST", "/v1/responses", {"model": "demo", "input": "x"}, (200, "")),
    ("--routes text", "POST", "/v1/completions", {"model": "demo", "prompt": "x"}, (200, "")),
    ("--routes text", "POST", "/v1/embeddings", {"model": "demo", "input": "x"}, (501, "unsupported_route")),
    ("--routes text", "GET", "/v1/files", None, (403, "route_not_allowed")),
    ("--routes text", "POST", "/v1/conversations", {}, (403, "route_not_allowed")),
    ("--routes text", "POST", "/v1/images/generations", {"prompt": "x"}, (403, "route_not_allowed")),
    ("--routes text", "POST", "/v1/audio/speech", {"model": "x"}, (403, "route_not_allowed")),
    ("--routes text", "GET", "/v1/relay/status", None, (403, "route_not_allowed")),
    ("--routes text", "GET", "/metrics", None, (403, "route_not_allowed")),
    ("--routes text", "GET", "/docs", None, (403, "route_not_allowed")),
    ("--routes text", "GET", "/v1/nothing", None, (404, "unknown_route")),
    ("--routes all", "GET", "/v1/files", None, (200, "")),
    ("--routes all", "POST", "/v1/conversations", {}, (200, "")),
    ("--routes all", "GET", "/v1/relay/status", None, (200, "")),
    ("--routes all", "GET", "/v1/relay/logging", None, (200, "")),
    ("--routes all", "PUT", "/v1/relay/logging", {"retention_days": 1}, (403, "route_not_allowed")),
    ("--no-tools", "POST", CHAT, chat(), (200, "")),
    ("--no-tools", "POST", CHAT, chat(tools=[{"type": "function", "function": {"name": "f"}}]), (400, "invalid_value")),
]  # fmt: skip


def test_what_a_key_may_send_to_which_route(tmp_path: Path) -> None:
    kinds = list(dict.fromkeys(row[0] for row in TABLE))
    keys = {flags: make(tmp_path, f"k{n}", *flags.split()) for n, flags in enumerate(kinds)}
    found = []
    with running(tmp_path, env=WIDE) as relay:
        for flags, method, path, body, _ in TABLE:
            reply = relay.send(method, path, body, token=keys[flags])
            found.append((reply.status, "" if reply.status == 200 else reply.error["code"] or ""))
    wrong = [(row, one) for row, one in zip(TABLE, found, strict=True) if row[4] != one]
    assert not wrong


CONFIG = """
[upstream]
kind = "compatible"
base_url = "{main}"
fallback = ["spare/big"]
fallback_on = ["overloaded"]

[upstreams.spare]
base_url = "{spare}"
models = ["spare-*"]

[aliases]
quick = "tiny"
far = "spare/big"
"""
# flags of the key, model that is asked for, whether main is overloaded, who answers or what is refused
ROUTED: list[tuple[str, str, bool, str]] = [
    ("", "tiny", False, "main"),
    ("", "tiny", True, "spare"),
    ("--models tiny", "tiny", False, "main"),
    ("--models tiny", "quick", False, "main"),
    ("--models tiny", "compatible/tiny", False, "main"),
    ("--models tiny", "other", False, "model_not_allowed"),
    ("--models tiny", "far", False, "model_not_allowed"),
    ("--models tiny", "spare/big", False, "model_not_allowed"),
    ("--models tiny", "spare-1", False, "model_not_allowed"),
    ("--models tiny", "tiny", True, "server_is_overloaded"),  # the fallback is another model
    ("--models tiny,big", "tiny", True, "spare"),
    ("--models far", "far", False, "spare"),
    ("--models far", "big", False, "model_not_allowed"),
    ("--models spare/*", "far", False, "spare"),
    ("--models spare/*", "tiny", False, "model_not_allowed"),
    ("--upstreams compatible", "tiny", False, "main"),
    ("--upstreams compatible", "far", False, "upstream_not_allowed"),
    ("--upstreams compatible", "spare/big", False, "upstream_not_allowed"),
    ("--upstreams compatible", "spare-1", False, "upstream_not_allowed"),
    ("--upstreams compatible", "tiny", True, "server_is_overloaded"),
    ("--upstreams spare", "tiny", False, "upstream_not_allowed"),
    ("--upstreams spare", "far", False, "spare"),
]
OVERLOADED = (
    b'{"error": {"message": "busy", "type": "server_error", "code": "server_is_overloaded"}}'
)


def test_models_and_upstreams_bind_aliases_names_and_fallbacks_on_every_route(
    tmp_path: Path,
) -> None:
    apis = ("/chat/completions", "/responses", "/completions", "/embeddings")
    with openai_server("/models", *apis) as main, openai_server("/models", *apis) as spare:
        config = tmp_path / "config.toml"
        config.write_text(CONFIG.format(main=main.url, spare=spare.url))
        kinds = list(dict.fromkeys(row[0] for row in ROUTED))
        keys = {
            flags: make(tmp_path, f"k{n}", *flags.split(), config=config)
            for n, flags in enumerate(kinds)
        }
        wrong = []
        with running(tmp_path, "--config", str(config), env=WIDE, demo=False) as relay:
            for overloaded in (False, True):
                for path in apis:
                    main.answers.clear()
                    if overloaded:
                        main.answers[path] = (503, "application/json", OVERLOADED)
                    for flags, model, when, expected in ROUTED:
                        if when != overloaded:
                            continue
                        before = len(main.seen), len(spare.seen)
                        found = _who(relay, path, model, keys[flags], main.seen, spare.seen, before)
                        if found != expected:
                            wrong.append((path, flags, model, overloaded, expected, found))
        assert not wrong


def _who(
    relay: Relay, path: str, model: str, key: str, main: Any, spare: Any, before: tuple[int, int]
) -> str:
    body: dict[str, Any] = {"model": model, "input": "x"}
    if path == "/chat/completions":
        body = chat(model=model)
    elif path == "/completions":
        body = {"model": model, "prompt": "x"}
    reply = relay.send("POST", "/v1" + path, body, token=key)
    if reply.status != 200:
        if reply.status == 403:
            assert before == (len(main), len(spare)), "a refused request reached a server"
        return str(reply.error["code"])
    return "spare" if len(spare) > before[1] else "main"


def test_the_list_of_models_has_what_the_key_may_use(tmp_path: Path) -> None:
    key = make(tmp_path, "one", "--models", "demo-mini*")
    with running(tmp_path) as relay:
        every = [one["id"] for one in relay.get("/v1/models").json()["data"]]
        listed = relay.send("GET", "/v1/models", token=key).json()["data"]
        assert [one["id"] for one in listed] == [n for n in every if n.startswith("demo-mini")]
        if every:
            reply = relay.send("GET", "/v1/models/demo", token=key)
            assert code(reply) == (403, "model_not_allowed")


def test_requests_per_minute_are_exact_under_twenty_five_at_once(tmp_path: Path) -> None:
    key = make(tmp_path, "ten", "--requests-per-minute", "10")
    with running(tmp_path, env=WIDE) as relay, ThreadPoolExecutor(25) as pool:
        ask = lambda _: relay.send("GET", "/v1/models", token=key)  # noqa: E731
        replies = list(pool.map(ask, range(25)))
        assert sorted(reply.status for reply in replies) == [200] * 10 + [429] * 15
        late = next(reply for reply in replies if reply.status == 429)
        assert 50 <= int(late.headers["retry-after"]) <= 60
        assert "x-should-retry" not in late.headers
        assert relay.get("/v1/models").status == 200


def test_over_its_concurrency_a_key_waits_and_holds_up_nobody_else(tmp_path: Path) -> None:
    key = make(tmp_path, "two", "--concurrent", "2")
    env = {**WIDE, "AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "4"}
    with running(tmp_path, env=env) as relay:
        held = [relay.connect() for _ in range(2)]
        for wire in held:
            stall = relay.request("POST", CHAT, chat("a demo:stall", stream=True), token=key)
            wire.send(stall)
            wire.until(b"data:")
        waiting = [relay.connect() for _ in range(23)]
        for wire in waiting:
            wire.send(relay.request("GET", "/v1/models", token=key))
        facts = wait_for(lambda: _security(relay, waiting=0))
        assert facts["active_requests"] <= 3  # who waits for its key has no slot of the address
        # The owner and other keys of the same address go past those that wait.
        assert relay.send("POST", CHAT, chat()).status == 200
        for wire in held:
            wire.sock.close()
        assert [wire.reply().status for wire in waiting] == [200] * 23
        for wire in waiting:
            wire.sock.close()


def _security(relay: Relay, waiting: int) -> dict[str, Any]:
    found: dict[str, Any] = relay.get("/v1/relay/status").json()["security"]["client"]
    return found if found["waiting_requests"] == waiting else {}


def test_a_day_of_tokens_is_refused_once_it_is_used_and_survives_a_kill(tmp_path: Path) -> None:
    key = make(tmp_path, "tok", "--tokens-per-day", "8")
    with running(tmp_path, env=WIDE) as relay:
        used = [relay.send("POST", CHAT, chat(), token=key).json()["usage"] for _ in range(2)]
        total = sum(one["total_tokens"] for one in used)
        assert total >= 8
        assert relay.stop(signal.SIGKILL) == -signal.SIGKILL
    assert [one["total"] for one in booked(tmp_path)] == [u["total_tokens"] for u in used]
    with running(tmp_path, env=WIDE) as relay:
        reply = relay.send("POST", CHAT, chat(), token=key)
        assert code(reply) == (429, "insufficient_quota")
        assert reply.headers["x-should-retry"] == "false"
        assert 0 < int(reply.headers["retry-after"]) <= 86_400
        assert "have ended" in reply.error["message"]
        own = relay.send("GET", "/v1/relay/usage", token=key).json()["keys"]
        assert [(one["name"], one["tokens_today"]) for one in own] == [("tok", total)]


def test_no_end_that_a_client_saw_is_lost_by_a_kill(tmp_path: Path) -> None:
    """Three kills here, fifty in build/named_keys.py: after each start the sum is not below what clients saw end."""
    keys = make_many(tmp_path, 4, tokens_per_day=10**9)
    seen = dict.fromkeys(range(len(keys)), 0)
    for _ in range(3):
        with running(tmp_path, env=WIDE) as relay, ThreadPoolExecutor(4) as pool:
            for one in relay.get("/v1/relay/usage").json()["keys"]:
                assert one["tokens_today"] >= seen[int(one["name"][1:]) - 1]

            def ask(which: int, relay: Relay = relay) -> None:
                stream: dict[str, Any] = {"stream": True, "stream_options": {"include_usage": True}}
                for number in range(100):
                    try:
                        more = stream if number % 2 else {}
                        reply = relay.send("POST", CHAT, chat(**more), token=keys[which])
                    except OSError:
                        return
                    except EOFError:
                        return
                    usage = reply.events()[-2]["usage"] if more else reply.json()["usage"]
                    seen[which] += usage["total_tokens"]

            done = [pool.submit(ask, which) for which in range(len(keys))]
            wait_for(lambda: all(seen.values()))
            relay.stop(signal.SIGKILL)
            for one in done:
                one.result()
    with running(tmp_path, env=WIDE) as relay:
        for one in relay.get("/v1/relay/usage").json()["keys"]:
            assert one["tokens_today"] >= seen[int(one["name"][1:]) - 1] > 0


def test_streams_of_a_revoked_key_end_with_a_typed_error(tmp_path: Path) -> None:
    for name in ("gone", "stays"):
        make(tmp_path, name)
    key = run(tmp_path, "key", "rotate", "gone").stdout.strip()
    other = run(tmp_path, "key", "rotate", "stays", "--grace", "1h").stdout.strip()
    with running(tmp_path, env=WIDE) as relay, relay.connect() as wire, relay.connect() as open_:
        for one, text in ((wire, key), (open_, other)):
            body = chat("a b demo:stall", stream=True)
            one.send(relay.request("POST", CHAT, body, token=text))
            one.until(b"data:")
        assert "1 running request was ended" in run(tmp_path, "key", "revoke", "gone").stdout
        rest = wire.rest()  # nobody asks the relay for anything meanwhile
        assert b'"code":"key_revoked"' in rest.replace(b'": "', b'":"')
        assert rest.endswith(b"0\r\n\r\n") and b"[DONE]" not in rest
        open_.sock.settimeout(0.2)
        with pytest.raises(TimeoutError):
            open_.sock.recv(65536)


def test_without_the_control_listener_the_next_request_ends_them(tmp_path: Path) -> None:
    key, other = make(tmp_path, "gone"), make(tmp_path, "stays")
    with running(tmp_path, env=WIDE) as relay, relay.connect() as wire:
        (tmp_path / ".airelays/running.json").unlink()
        wire.send(relay.request("POST", CHAT, chat("a b demo:stall", stream=True), token=key))
        wire.until(b"data:")
        done = run(tmp_path, "key", "rotate", "gone")
        assert done.returncode == 0 and "sends its next request" in done.stderr
        assert relay.send("GET", "/v1/models", token=other).status == 200
        assert b"key_revoked" in wire.rest()


def test_a_stream_ends_when_its_key_expires(tmp_path: Path) -> None:
    key = make(tmp_path, "brief", "--expires", "3s")
    with running(tmp_path, env=WIDE) as relay, relay.connect() as wire:
        wire.send(relay.request("POST", CHAT, chat("a b demo:stall", stream=True), token=key))
        wire.until(b"data:")
        assert b"key_expired" in wire.rest()  # nobody asks the relay for anything meanwhile
        assert relay.send("GET", "/v1/models", token=key).status == 401


def test_objects_are_seen_by_the_key_that_made_them_and_by_the_owner(tmp_path: Path) -> None:
    mine, other = (make(tmp_path, name, "--routes", "all") for name in ("mine", "other"))
    body, fields = multipart()
    with running(tmp_path, env=WIDE) as relay:
        made = relay.send("POST", "/v1/files", body, token=mine, headers=fields).json()["id"]
        talk = relay.send("POST", "/v1/conversations", {}, token=mine).json()["id"]
        ask = {"model": "demo", "input": "x"}
        kept = relay.send("POST", "/v1/responses", {**ask, "store": True}, token=mine).json()["id"]
        brief = relay.send("POST", "/v1/responses", ask, token=mine).json()["id"]
        owners = relay.send("POST", "/v1/files", body, headers=fields).json()["id"]
        paths = [f"/v1/files/{made}", f"/v1/files/{made}/content", f"/v1/conversations/{talk}",
                 f"/v1/conversations/{talk}/items", f"/v1/responses/{kept}", f"/v1/responses/{brief}",
                 f"/v1/responses/{kept}/input_items"]  # fmt: skip
        for path in paths:
            assert relay.send("GET", path, token=mine).status == 200, path
            assert relay.get(path).status == 200, path
            assert relay.send("GET", path, token=other).status == 404, path
        listed = relay.send("GET", "/v1/files", token=mine).json()["data"]
        assert [one["id"] for one in listed] == [made]
        assert relay.send("GET", "/v1/files", token=other).json()["data"] == []
        assert {one["id"] for one in relay.get("/v1/files").json()["data"]} == {made, owners}
        assert relay.send("GET", f"/v1/files?after={made}", token=other).status == 404
        # Nor can they be used: by name, as history, or to change them.
        part = {"type": "input_file", "file_id": made}
        uses: list[tuple[dict[str, Any], int]] = [
            ({**ask, "previous_response_id": kept}, 404),
            ({**ask, "previous_response_id": brief}, 404),
            ({**ask, "conversation": talk}, 404),
            ({**ask, "input": [{"role": "user", "content": [part]}]}, 400),
        ]
        for used, status in uses:
            assert relay.send("POST", "/v1/responses", used, token=other).status == status, used
            assert relay.send("POST", "/v1/responses", used, token=mine).status in (200, 400), used
        item = {"items": [{"role": "user", "content": "x"}]}
        assert relay.send("POST", f"/v1/conversations/{talk}", {}, token=other).status == 404
        path = f"/v1/conversations/{talk}/items"
        assert relay.send("POST", path, item, token=other).status == 404
        for path in (f"/v1/files/{made}", f"/v1/conversations/{talk}", f"/v1/responses/{kept}"):
            assert relay.send("DELETE", path, token=other).status == 404, path
            assert relay.send("DELETE", path, token=mine).status == 200, path


def test_an_open_relay_refuses_no_credential_and_attributes_a_key(tmp_path: Path) -> None:
    key = make(tmp_path, "one", "--requests-per-minute", "1")
    gone = make(tmp_path, "gone")
    run(tmp_path, "key", "revoke", "gone")
    with running(tmp_path, "--no-auth", token=None, env=WIDE) as relay:
        for wrong in ("placeholder", key[:-1], gone, "airl_x"):
            for _ in range(3):
                assert relay.send("GET", "/v1/models", token=wrong).status == 200
        double = {"x-api-key": "a"}
        raw = relay.request("GET", "/v1/models", token=None, headers=double)
        with relay.connect() as wire:
            wire.send(raw.replace(b"x-api-key: a\r\n", b"x-api-key: a\r\nx-api-key: b\r\n"))
            assert wire.reply().status == 200
        assert relay.send("GET", "/v1/models", token=key).status == 200
        assert code(relay.send("GET", "/v1/models", token=key)) == (429, "rate_limit_exceeded")
        text = relay.send("GET", "/metrics", token=None).body.decode()
    assert 'airelays_key_requests_total{key="one",status="200"} 1' in text
    assert [one["key"] for one in booked(tmp_path)] != []


def test_a_file_that_others_can_read_lets_no_key_in_and_is_said_once(tmp_path: Path) -> None:
    if os.name != "posix":
        pytest.skip("modes are POSIX")
    key = make(tmp_path, "aider")
    file = tmp_path / ".airelays/keys.json"
    with running(tmp_path, env=WIDE) as relay:
        assert relay.send("GET", "/v1/models", token=key).status == 200
        file.chmod(0o644)
        for _ in range(2):
            assert relay.send("GET", "/v1/models", token=key).status == 401
        file.chmod(0o600)
        assert relay.send("GET", "/v1/models", token=key).status == 200
        relay.process.terminate()
        _, said = relay.process.communicate()
    assert said.count("chmod 600") == 1


def test_no_key_is_found_in_anything_that_is_left(tmp_path: Path) -> None:
    """400 requests with 5 keys; build/named_keys.py does 10,000 with 50."""
    made = make_many(tmp_path, 5)
    env = {**WIDE, "AIRELAYS_LOG_BODIES": "redacted"}
    texts: list[str] = []
    with running(tmp_path, env=env) as relay:
        with relay.connect() as wire:
            for number in range(400):
                key = made[number % 5]
                tries: list[tuple[str, str, Any, str, dict[str, str]]] = [
                    ("GET", "/v1/models", None, key[:-1] + "~", {}),
                    ("GET", "/v1/files", None, key, {}),
                    ("GET", "/v1/models", None, key, {"User-Agent": key}),
                    ("POST", CHAT, {"model": key}, key, {}),
                    ("POST", CHAT, chat(key), key, {}),
                    ("POST", CHAT, chat(stream=True), key, {}),
                ]
                method, path, body, token, headers = tries[number % len(tries)]
                wire.send(relay.request(method, path, body, token=token, headers=headers))
                wire.reply()
        texts += [relay.get(path).body.decode() for path in ("/v1/relay/status", "/metrics")]
        relay.process.terminate()
        texts += [text or "" for text in relay.process.communicate()]
    texts += [f.read_text(errors="replace") for f in tmp_path.rglob("*") if f.is_file()]
    everything = "\n".join(texts)
    assert '"key":"k1"' in everything  # they were at work
    assert [key for key in made if key[5:48] in everything] == []


def test_a_budget_counts_streams_embeddings_and_several_prompts(tmp_path: Path) -> None:
    """Whatever way an answer goes: its usage is known before its end is sent."""
    used = {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    frames = [
        {"choices": [{"index": 0, "delta": {"content": "x"}, "finish_reason": None}]},
        {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": used},
    ]
    stream = b"".join(b"data: " + json.dumps(f).encode() + b"\n\n" for f in frames)
    vectors = {
        "data": [{"embedding": [0.5] * 100_000}],
        "usage": {"prompt_tokens": 9, "total_tokens": 9},
    }
    with openai_server("/models", "/chat/completions", "/embeddings") as server:
        config = tmp_path / "config.toml"
        config.write_text(f'[upstream]\nkind = "compatible"\nbase_url = "{server.url}"\n')
        key = make(tmp_path, "tok", "--tokens-per-day", "1000000", config=config)
        server.answers["/chat/completions"] = (
            200,
            "text/event-stream",
            stream + b"data: [DONE]\n\n",
        )
        server.answers["/embeddings"] = (200, "application/json", json.dumps(vectors).encode())
        with running(tmp_path, "--config", str(config), env=WIDE, demo=False) as relay:
            reply = relay.send("POST", CHAT, chat(stream=True), token=key)
            assert server.last("/chat/completions").json()["stream_options"] == {
                "include_usage": True
            }
            assert b"total_tokens" not in reply.body and reply.events()[-1] == "[DONE]"
            both = relay.send(
                "POST", CHAT, chat(stream=True, stream_options={"include_usage": True}), token=key
            )
            assert b"total_tokens" in both.body
            relay.send("POST", CHAT, chat(stream=True))
            assert "stream_options" not in server.last("/chat/completions").json()
            whole = {"model": "e", "input": "x"}
            assert relay.send("POST", "/v1/embeddings", whole, token=key).status == 200
    assert [one.get("total") for one in booked(tmp_path) if one["key"]] == [7, 7, 9]
    with running(tmp_path, env=WIDE) as relay:
        several = {"model": "demo", "prompt": ["a", "b c"]}
        said = relay.send("POST", "/v1/completions", several, token=key).json()["usage"]
    assert booked(tmp_path)[-1]["total"] == said["total_tokens"]
