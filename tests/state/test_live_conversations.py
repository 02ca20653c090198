"""Conversations, kept answers and files in the input: what the upstream really gets on later turns."""

from __future__ import annotations

import base64
import json
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.fakes.backend import FakeBackend
from tests.live import DEADLINE_S, Relay, Reply, running, wait_for
from tests.net.test_live_wire import WIDE
from tests.state.test_live_files import upload

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 40
CHAT, RESPONSES, CONVERSATIONS = "/v1/chat/completions", "/v1/responses", "/v1/conversations"


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


@pytest.fixture(scope="module")
def backend() -> Iterator[Any]:
    with FakeBackend() as one:
        yield one


@pytest.fixture(scope="module")
def strict(backend: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    """A relay in front of a backend that is as strict as the real one and stores nothing."""
    home = tmp_path_factory.mktemp("home")
    env = {**WIDE, **backend.sign_in(home / ".airelays")}
    with running(home, env=env, demo=False) as one:
        yield one


def ask(relay: Relay, text: Any, model: str = "demo", **more: Any) -> Reply:
    return relay.send("POST", RESPONSES, {"model": model, "input": text, **more})


def said(reply: Reply) -> str:
    """Return the text of an answer, streamed or not, in either API."""
    assert reply.status == 200, reply.body
    if reply.headers["content-type"].startswith("text/event-stream"):
        events = reply.events()
        if isinstance(events[0], dict) and "choices" in events[0]:
            assert events[-1] == "[DONE]"
            return "".join(
                e["choices"][0]["delta"].get("content") or "" for e in events[:-1] if e["choices"]
            )
        assert events[-1]["type"] == "response.completed"
        body = events[-1]["response"]
    else:
        body = reply.json()
    if "choices" in body:
        return str(body["choices"][0]["message"]["content"])
    return str(next(i for i in body["output"] if i["type"] == "message")["content"][0]["text"])


def make(relay: Relay, **body: Any) -> str:
    reply = relay.send("POST", CONVERSATIONS, body)
    assert reply.status == 200, reply.body
    return str(reply.json()["id"])


def texts(relay: Relay, conversation: str) -> list[str]:
    """Return the text of every item, oldest first."""
    found, after = [], ""
    while True:
        page = relay.get(f"{CONVERSATIONS}/{conversation}/items?order=asc&limit=100{after}").json()
        for item in page["data"]:
            parts = item.get("content") or [{"text": item["type"]}]
            found.append(parts[0].get("text") or parts[0]["type"])
        if not page["has_more"]:
            return found
        after = f"&after={page['last_id']}"


def sent(backend: Any) -> list[dict[str, Any]]:
    """Return the `input` of the last request that the backend got."""
    found: list[dict[str, Any]] = json.loads(backend.calls("/responses")[-1].body)["input"]
    return found


def plain(items: list[dict[str, Any]]) -> list[str]:
    return [i["content"][0]["text"] if i["type"] == "message" else i["type"] for i in items]


# ---- conversations in use


@pytest.mark.parametrize("stream", [False, True])
def test_later_turns_have_the_history(strict: Relay, backend: Any, stream: bool) -> None:
    conversation = make(strict, items=[{"role": "system", "content": "be brief"}])
    first = said(ask(strict, "one", "gpt-5.5", conversation=conversation, stream=stream))
    second = said(ask(strict, "two", "gpt-5.5", conversation={"id": conversation}, stream=stream))
    assert plain(sent(backend)) == ["be brief", "one", first, "two"]
    assert [i["role"] for i in sent(backend)] == ["developer", "user", "assistant", "user"]
    assert not any("id" in item or "status" in item for item in sent(backend))
    assert texts(strict, conversation) == ["be brief", "one", first, "two", second]


@pytest.mark.parametrize("stream", [False, True])
def test_chat_and_responses_share_a_conversation(strict: Relay, backend: Any, stream: bool) -> None:
    conversation = make(strict)
    first = said(ask(strict, "one", "gpt-5.5", conversation=conversation))
    body = {"model": "gpt-5.5", "conversation": conversation, "stream": stream}
    second = said(
        strict.send("POST", CHAT, {**body, "messages": [{"role": "user", "content": "two"}]})
    )
    assert plain(sent(backend)) == ["one", first, "two"]
    ask(strict, "three", "gpt-5.5", conversation=conversation)
    assert plain(sent(backend)) == ["one", first, "two", second, "three"]


@pytest.mark.parametrize("stream", [False, True])
def test_tool_turns_are_kept(relay: Relay, stream: bool) -> None:
    conversation = make(relay)
    tool = {
        "type": "function",
        "name": "weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    }
    more: dict[str, Any] = {"conversation": conversation, "tools": [tool], "stream": stream}
    reply = ask(relay, 'call the tool weather with {"city": "Oslo"}', **more)
    assert reply.status == 200
    body = reply.events()[-1]["response"] if stream else reply.json()
    call = next(i for i in body["output"] if i["type"] == "function_call")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "4 degrees"}
    assert said(ask(relay, [output], **more)) == "The tool said: 4 degrees"
    kinds = [
        i["type"]
        for i in relay.get(f"{CONVERSATIONS}/{conversation}/items?order=asc").json()["data"]
    ]
    assert kinds == ["message", "function_call", "function_call_output", "message"]


def test_reasoning_goes_back_with_what_seals_it(strict: Relay, backend: Any) -> None:
    conversation = make(strict)
    item = {"type": "reasoning", "summary": [], "encrypted_content": "sealed", "id": "rs_1"}
    lost = {"type": "reasoning", "summary": [], "id": "rs_2"}
    reply = strict.send("POST", f"{CONVERSATIONS}/{conversation}/items", {"items": [item, lost]})
    assert [i["type"] for i in reply.json()["data"]] == ["reasoning"] * 2
    calls = len(backend.calls("/responses"))
    ask(strict, "go", "gpt-5.5", conversation=conversation)
    first = json.loads(backend.calls("/responses")[calls].body)["input"]
    assert [i for i in first if i["type"] == "reasoning"] == [
        {"type": "reasoning", "summary": [], "encrypted_content": "sealed"}
    ]


@pytest.mark.parametrize("switch", ["demo:fail", "demo:cut", "demo:quota", "demo:context"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_failed_turn_changes_nothing(relay: Relay, switch: str, stream: bool) -> None:
    conversation = make(relay)
    said(ask(relay, "one", conversation=conversation))
    before = texts(relay, conversation)
    ask(relay, f"{switch} some words to say", conversation=conversation, stream=stream)
    assert texts(relay, conversation) == before
    assert said(ask(relay, "two", conversation=conversation)) == "You said: two"


def test_a_turn_that_the_client_left_changes_nothing(relay: Relay) -> None:
    conversation = make(relay)
    body = {"model": "demo", "input": "demo:pace=30 a b c d e f", "conversation": conversation}
    with relay.connect() as wire:
        wire.send(relay.request("POST", RESPONSES, {**body, "stream": True}))
        wire.until(b"response.output_text.delta")
    assert said(ask(relay, "after", conversation=conversation)) == "You said: after"
    assert texts(relay, conversation) == ["after", "You said: after"]


def test_turns_of_one_conversation_follow_one_another(relay: Relay) -> None:
    conversation = make(relay)
    replies: dict[int, str] = {}

    def turn(n: int) -> None:
        more: dict[str, Any] = {"conversation": conversation, "stream": n % 2 == 0}
        replies[n] = said(ask(relay, f"demo:pace=2 turn {n}", **more))

    threads = [threading.Thread(target=turn, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_S)
    found = texts(relay, conversation)
    assert len(found) == 12
    for question, answer in zip(found[::2], found[1::2], strict=True):
        assert answer == replies[int(question[-1])]


def test_a_turn_waits_for_the_one_before(relay: Relay) -> None:
    conversation = make(relay)
    slow = {
        "model": "demo",
        "input": "demo:pace=40 one two three",
        "conversation": conversation,
        "stream": True,
    }
    with relay.connect() as wire:
        wire.send(relay.request("POST", RESPONSES, slow))
        wire.until(b"response.output_text.delta")
        begun_s = time.monotonic()
        said(ask(relay, "second", conversation=conversation))
        assert time.monotonic() - begun_s > 0.03
        wire.until(b"response.completed")
    assert texts(relay, conversation)[2] == "second"


def test_a_stop_sequence_cuts_what_is_remembered(relay: Relay) -> None:
    for stream in (False, True):
        conversation = make(relay)
        body = {
            "model": "demo",
            "messages": [{"role": "user", "content": "alpha beta gamma"}],
            "stop": ["beta"],
            "conversation": conversation,
            "stream": stream,
        }
        assert said(relay.send("POST", CHAT, body)) == "You said: alpha "
        assert texts(relay, conversation) == ["alpha beta gamma", "You said: alpha "]


def test_an_unknown_conversation_is_404(relay: Relay) -> None:
    reply = ask(relay, "x", conversation="conv_" + "0" * 32)
    assert (reply.status, reply.error["code"]) == (404, "conversation_not_found")
    assert reply.error["param"] == "conversation"


def test_a_turn_finds_its_end_only_when_it_is_stored(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        conversation = make(relay)
        said(ask(relay, "one", conversation=conversation))
        db = sqlite3.connect(tmp_path / ".airelays" / "state.sqlite3")
        db.execute("DROP TABLE items")
        db.execute("CREATE TABLE items (conversation_id, position, id, body, CHECK (0))")
        db.commit()
        db.close()
        whole = ask(relay, "two", conversation=conversation)
        assert (whole.status, whole.error["code"]) == (503, "storage_unavailable")
        long = ask(relay, "demo:words=2000", conversation=conversation, stream=True)
        events = long.events()
        assert events[-1]["type"] == "error"
        assert not any(e["type"] == "response.completed" for e in events)
        body = {"model": "demo", "conversation": conversation, "stream": True}
        message = {"role": "user", "content": "demo:words=2000"}
        chat = relay.send("POST", CHAT, {**body, "messages": [message]})
        assert chat.events()[-1]["error"]["code"] == "storage_unavailable"
        assert b"[DONE]" not in chat.body
        assert said(ask(relay, "three")) == "You said: three"


@pytest.mark.parametrize(
    ("key", "value", "text"),
    [
        ("MAX_CONVERSATION_ITEMS", "4", "5 items; at most 4 (storage.max_conversation_items)"),
        ("MAX_CONVERSATION_BYTES", "1024", "at most 1,024 (storage.max_conversation_bytes)"),
    ],
)
def test_a_conversation_is_bounded(tmp_path: Path, key: str, value: str, text: str) -> None:
    with running(tmp_path, env={**WIDE, f"AIRELAYS_{key}": value}) as relay:
        conversation = make(relay)
        for n in range(2):
            said(ask(relay, f"turn {n}", conversation=conversation))
        said_ = ask(relay, "x" * 900, conversation=conversation)
        assert (said_.status, said_.error["code"]) == (400, "conversation_too_large")
        assert text in said_.error["message"]
        items = [{"role": "user", "content": "x" * 900}]
        reply = relay.send("POST", f"{CONVERSATIONS}/{conversation}/items", {"items": items})
        assert (reply.status, reply.error["code"]) == (400, "conversation_too_large")


def test_the_number_of_conversations_is_bounded(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_MAX_CONVERSATIONS": "2"}) as relay:
        first = make(relay)
        make(relay)
        reply = relay.send("POST", CONVERSATIONS, {})
        assert (reply.status, reply.error["code"]) == (400, "too_many_conversations")
        relay.send("DELETE", f"{CONVERSATIONS}/{first}")
        make(relay)


def test_a_conversation_outlives_the_relay(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        conversation = make(relay, metadata={"k": "v"})
        said(ask(relay, "one", conversation=conversation))
    with running(tmp_path, env=WIDE) as relay:
        assert texts(relay, conversation) == ["one", "You said: one"]
        assert relay.get(f"{CONVERSATIONS}/{conversation}").json()["metadata"] == {"k": "v"}


# ---- the conversations API


def test_metadata_is_merged(relay: Relay) -> None:
    conversation = make(relay, metadata={"a": "1", "b": "2"})
    path = f"{CONVERSATIONS}/{conversation}"
    reply = relay.send("POST", path, {"metadata": {"b": "3", "c": "4"}})
    assert reply.json()["metadata"] == {"a": "1", "b": "3", "c": "4"}
    assert relay.get(path).json()["metadata"] == {"a": "1", "b": "3", "c": "4"}


@pytest.mark.parametrize(
    ("metadata", "param"),
    [
        ("x", "metadata"),
        ({str(n): "x" for n in range(17)}, "metadata"),
        ({"k" * 65: "x"}, "metadata"),
        ({"k": "x" * 513}, "metadata.k"),
        ({"k": 1}, "metadata.k"),
    ],
)
def test_bad_metadata_is_refused(relay: Relay, metadata: Any, param: str) -> None:
    reply = relay.send("POST", CONVERSATIONS, {"metadata": metadata})
    assert (reply.status, reply.error["param"]) == (400, param)


@pytest.mark.parametrize(
    ("items", "param"),
    [
        ("x", "items"),
        (["x"], "items[0]"),
        ([{"role": "wizard", "content": "x"}], "items[0].role"),
        ([{"role": "user", "content": "a"}, {"type": "message"}], "items[1].role"),
        ([{"type": "item_reference", "id": "msg_1"}], "items"),
        (
            [{"role": "user", "content": [{"type": "input_file", "file_id": "file-x"}]}],
            "items[0].content[0].file_id",
        ),
    ],
)
def test_bad_items_are_refused(relay: Relay, items: Any, param: str) -> None:
    conversation = make(relay)
    for path, body in (
        (CONVERSATIONS, {"items": items}),
        (f"{CONVERSATIONS}/{conversation}/items", {"items": items}),
    ):
        reply = relay.send("POST", path, body)
        if path == CONVERSATIONS and items == "x":
            assert reply.status == 400
            continue
        assert (reply.status, reply.error["param"]) == (400, param), reply.body


def test_items_are_listed_fetched_and_deleted(relay: Relay) -> None:
    conversation = make(relay)
    path = f"{CONVERSATIONS}/{conversation}/items"
    items = [{"role": "user", "content": f"n{n}"} for n in range(5)]
    made = relay.send("POST", path, {"items": items}).json()
    ids = [i["id"] for i in made["data"]]
    assert len(set(ids)) == 5 and (made["object"], made["has_more"]) == ("list", False)
    listed = relay.get(path).json()
    assert [i["id"] for i in listed["data"]] == ids[::-1]
    page = relay.get(f"{path}?limit=2&order=asc&after={ids[1]}").json()
    assert ([i["id"] for i in page["data"]], page["has_more"]) == (ids[2:4], True)
    one = relay.get(f"{path}/{ids[2]}").json()
    assert one == {
        "id": ids[2],
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "n2"}],
        "status": "completed",
    }
    gone = relay.send("DELETE", f"{path}/{ids[2]}")
    assert (gone.status, gone.json()["object"]) == (200, "conversation")
    for method in ("GET", "DELETE"):
        assert relay.send(method, f"{path}/{ids[2]}").error["code"] == "item_not_found"
    assert relay.get(f"{path}?after={ids[2]}").status == 404
    assert texts(relay, conversation) == ["n0", "n1", "n3", "n4"]


def test_items_keep_their_ids_unless_these_are_taken(relay: Relay) -> None:
    conversation = make(relay)
    path = f"{CONVERSATIONS}/{conversation}/items"
    item = {"id": "msg_mine", "type": "message", "role": "user", "content": "x"}
    first = relay.send("POST", path, {"items": [item, item]}).json()["data"]
    again = relay.send("POST", path, {"items": [item]}).json()["data"]
    assert first[0]["id"] == "msg_mine"
    assert len({i["id"] for i in first + again}) == 3


@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_what_is_not_there_is_404(relay: Relay, method: str) -> None:
    unknown = f"{CONVERSATIONS}/conv_{'0' * 32}"
    body = {"items": [{"role": "user", "content": "x"}]} if method == "POST" else None
    for path in (unknown, unknown + "/items", unknown + "/items/msg_1"):
        reply = relay.send(method, path, body)
        assert reply.status in (404, 405), path
        if reply.status == 404:
            assert reply.error["code"] == "conversation_not_found"


def test_a_deleted_conversation_is_gone_with_its_items(relay: Relay) -> None:
    conversation = make(relay, items=[{"role": "user", "content": "x"}])
    path = f"{CONVERSATIONS}/{conversation}"
    assert relay.send("DELETE", path).json() == {
        "id": conversation,
        "object": "conversation.deleted",
        "deleted": True,
    }
    assert relay.get(path).status == 404
    assert relay.get(path + "/items").status == 404


# ---- kept answers


@pytest.mark.parametrize("store", [None, True])
@pytest.mark.parametrize("stream", [False, True])
def test_previous_response_id_brings_the_history(
    strict: Relay, backend: Any, store: bool | None, stream: bool
) -> None:
    more: dict[str, Any] = {"stream": stream, **({} if store is None else {"store": store})}
    previous: dict[str, Any] = {}
    expected: list[str] = []
    for n in range(4):
        reply = ask(strict, f"turn {n}", "gpt-5.5", **more, **previous)
        expected.append(f"turn {n}")
        assert plain(sent(backend)) == expected
        expected.append(said(reply))
        body = reply.events()[-1]["response"] if stream else reply.json()
        previous = {"previous_response_id": body["id"]}


def test_a_branch_goes_on_from_where_it_left(relay: Relay) -> None:
    stores: list[dict[str, Any]] = [{}, {"store": True}]
    for store in stores:
        first = ask(relay, "root", **store).json()["id"]
        tokens = [
            ask(relay, branch, previous_response_id=first, **store).json()["usage"]["input_tokens"]
            for branch in ("left", "right", "middle")
        ]
        assert len(set(tokens)) == 1


def test_an_upstream_that_repeats_its_ids_does_no_harm(strict: Relay, backend: Any) -> None:
    stores: list[dict[str, Any]] = [{}, {"store": True}]
    for store in stores:
        for n in range(4):
            previous: dict[str, Any] = {"previous_response_id": "resp_fake"} if n else {}
            assert ask(strict, f"t{n}", "gpt-5.5", **store, **previous).status == 200
        assert [t for t in plain(sent(backend)) if t.startswith("t")] == ["t0", "t1", "t2", "t3"]
        strict.send("DELETE", f"{RESPONSES}/resp_fake")


def test_a_stored_answer_outlives_the_relay_and_a_remembered_one_does_not(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        first = ask(relay, "in memory").json()
        second = ask(relay, "on disk", store=True, previous_response_id=first["id"]).json()
        assert second["store"] is True
        assert second["previous_response_id"] == first["id"]
        third = ask(relay, "two", store=True, previous_response_id=second["id"]).json()
    with running(tmp_path, env=WIDE) as relay:
        assert relay.get(f"{RESPONSES}/{first['id']}").status == 404
        assert relay.get(f"{RESPONSES}/{second['id']}").json() == second
        alone = ask(relay, "x").json()["usage"]["input_tokens"]
        joined = ask(relay, "x", previous_response_id=third["id"]).json()["usage"]["input_tokens"]
        # Five words asked, eleven answered ("You said: ..."), and the phase of each answer is one word.
        assert joined - alone == 5 + 11 + 3


def test_store_false_keeps_nothing(relay: Relay) -> None:
    made = ask(relay, "x", store=False).json()["id"]
    assert relay.get(f"{RESPONSES}/{made}").error["code"] == "response_not_found"
    reply = ask(relay, "y", previous_response_id=made)
    assert (reply.status, reply.error["code"]) == (404, "previous_response_not_found")
    assert reply.error["param"] == "previous_response_id"


def test_a_kept_answer_is_shown_with_what_was_asked_and_deleted(relay: Relay) -> None:
    for store in (True, None):
        more: dict[str, Any] = {} if store is None else {"store": True}
        made = ask(relay, [{"role": "user", "content": f"n{n}"} for n in range(3)], **more).json()
        path = f"{RESPONSES}/{made['id']}"
        assert relay.get(path).json() == made
        items = relay.get(path + "/input_items?order=asc").json()
        assert [i["content"][0]["text"] for i in items["data"]] == ["n0", "n1", "n2"]
        rest = relay.get(f"{path}/input_items?order=asc&limit=1&after={items['first_id']}").json()
        assert (rest["data"][0]["id"], rest["has_more"]) == (items["data"][1]["id"], True)
        assert relay.send("POST", path + "/cancel", {}).status == 400
        assert relay.get(path + "?stream=true").status == 400
        gone = relay.send("DELETE", path)
        assert gone.json() == {"id": made["id"], "object": "response", "deleted": True}
        for method in ("GET", "DELETE"):
            assert relay.send(method, path).status == 404
        assert relay.send("POST", path + "/cancel", {}).status == 404


def test_deleting_an_answer_leaves_those_that_go_on_from_it_whole(relay: Relay) -> None:
    stores: list[dict[str, Any]] = [{"store": True}, {}]
    for store in stores:
        ids: list[str] = []
        for n in range(4):
            previous: dict[str, Any] = {"previous_response_id": ids[-1]} if ids else {}
            ids.append(ask(relay, f"t{n}", **store, **previous).json()["id"])
        before = ask(relay, "x", previous_response_id=ids[-1]).json()["usage"]["input_tokens"]
        for one in (ids[1], ids[0], ids[2]):
            assert relay.send("DELETE", f"{RESPONSES}/{one}").status == 200
            after = ask(relay, "x", previous_response_id=ids[-1]).json()["usage"]["input_tokens"]
            assert after == before


def test_the_oldest_stored_answers_go_first(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_MAX_RESPONSES": "2"}) as relay:
        ids = [ask(relay, f"{n}", store=True).json()["id"] for n in range(3)]
    with running(tmp_path, env=WIDE) as relay:
        statuses = [relay.get(f"{RESPONSES}/{one}").status for one in ids]
        assert statuses == [404, 200, 200]


def test_a_store_that_is_off_says_so(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_STORE_RESPONSES": "false"}) as relay:
        reply = ask(relay, "x", store=True)
        assert (reply.status, reply.error["param"]) == (400, "store")
        assert "storage.store_responses is off" in reply.error["message"]
        made = ask(relay, "x").json()["id"]
        assert relay.get(f"{RESPONSES}/{made}").status == 404
        message = {"role": "user", "content": "x"}
        chat = relay.send("POST", CHAT, {"model": "demo", "messages": [message], "store": True})
        assert (chat.status, chat.error["param"]) == (400, "store")


def test_a_stored_chat_completion_is_a_kept_answer(relay: Relay) -> None:
    for stream in (False, True):
        message = {"role": "user", "content": "keep me"}
        body = {"model": "demo", "messages": [message], "store": True, "stream": stream}
        reply = relay.send("POST", CHAT, body)
        made = reply.events()[0]["id"] if stream else reply.json()["id"]
        kept = relay.get(f"{RESPONSES}/{made}").json()
        assert kept["output"][0]["content"][0]["text"] == "You said: keep me"
        assert relay.get(f"{RESPONSES}/{made}/input_items").json()["data"][0]["role"] == "user"


def test_an_answer_of_a_conversation_is_continued_by_the_conversation(relay: Relay) -> None:
    conversation = make(relay)
    made = ask(relay, "x", conversation=conversation, store=True).json()
    assert made["conversation"] == {"id": conversation}
    reply = ask(relay, "y", previous_response_id=made["id"])
    assert reply.status == 400
    assert f"belongs to conversation {conversation}" in reply.error["message"]


def test_a_conversation_and_a_previous_answer_exclude_each_other(relay: Relay) -> None:
    made = ask(relay, "x").json()["id"]
    reply = ask(relay, "y", previous_response_id=made, conversation=make(relay))
    assert (reply.status, reply.error["param"]) == (400, "previous_response_id")


def test_item_references_are_replaced_or_left_out_and_said(strict: Relay, backend: Any) -> None:
    first = ask(strict, "one", "gpt-5.5").json()
    item = next(i for i in first["output"] if i["type"] == "message")
    reference = {"type": "item_reference", "id": item["id"]}
    reply = ask(strict, [reference, {"role": "user", "content": "two"}], "gpt-5.5")
    assert plain(sent(backend)) == [item["content"][0]["text"], "two"]
    assert "item_reference_dropped" not in reply.headers.get("x-airelays-quirks", "")
    reference["id"] = "msg_unknown"
    reply = ask(strict, [reference, {"role": "user", "content": "three"}], "gpt-5.5")
    assert plain(sent(backend)) == ["three"]
    assert "item_reference_dropped" in reply.headers["x-airelays-quirks"]


# ---- files in the input


def test_files_reach_the_upstream_as_data_urls(strict: Relay, backend: Any) -> None:
    pdf, text = b"%PDF-1.7 ...", "naïve text"
    pdf_id = upload(strict, pdf, "a.pdf").json()["id"]
    text_id = upload(strict, text.encode(), "b.txt").json()["id"]
    image_id = upload(strict, PNG, "c.bin").json()["id"]
    parts = [
        {"type": "input_file", "file_id": pdf_id},
        {"type": "input_file", "file_id": text_id},
        {"type": "input_image", "file_id": image_id},
        {"type": "input_text", "file_id": text_id},
    ]
    assert ask(strict, [{"role": "user", "content": parts}], "gpt-5.5").status == 200
    got = sent(backend)[0]["content"]
    pdf_url = "data:application/pdf;base64," + base64.b64encode(pdf).decode()
    text_url = "data:text/plain;base64," + base64.b64encode(text.encode()).decode()
    assert got[0] == {"type": "input_file", "filename": "a.pdf", "file_data": pdf_url}
    assert got[1] == {"type": "input_file", "filename": "b.txt", "file_data": text_url}
    image_url = "data:image/png;base64," + base64.b64encode(PNG).decode()
    assert got[2] == {"type": "input_image", "detail": "auto", "image_url": image_url}
    assert got[3] == {"type": "input_text", "text": f"File b.txt (text/plain):\n{text}"}


def test_chat_takes_files_by_id(strict: Relay, backend: Any) -> None:
    made = upload(strict, b"%PDF-1.7", "a.pdf").json()["id"]
    content = [
        {"type": "file", "file": {"file_id": made}},
        {"type": "text", "text": "what is it?"},
    ]
    body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": content}]}
    assert strict.send("POST", CHAT, body).status == 200
    assert sent(backend)[0]["content"][0]["file_data"].startswith("data:application/pdf;base64,")


@pytest.mark.parametrize(
    ("data", "name", "kind", "text"),
    [
        (b"text", "a.txt", "input_image", "that of a PNG, JPEG, GIF or WebP image"),
        (PNG, "a.png", "input_file", "send it as input_image"),
        (b"\x00\xff\x00", "a.bin", "input_file", "file of type application/octet-stream"),
        (b"%PDF-1.7", "a.pdf", "input_text", "file of type application/pdf"),
        (b"x" * 1_000_001, "a.txt", "input_text", "1,000,001 bytes; at most 1,000,000"),
    ],
)
def test_a_file_of_another_type_is_refused(
    relay: Relay, data: bytes, name: str, kind: str, text: str
) -> None:
    from tests.state.test_live_files import FORM, file_part, form

    body = form(file_part(data, name, "application/octet-stream"))
    made = relay.send("POST", "/v1/files", body, headers=FORM).json()["id"]
    reply = ask(relay, [{"role": "user", "content": [{"type": kind, "file_id": made}]}])
    assert (reply.status, reply.error["param"]) == (400, "input[0].content[0].file_id")
    assert text in reply.error["message"]


def test_an_unknown_file_is_refused(relay: Relay) -> None:
    for wanted in ("file-" + "0" * 32, "../../etc/passwd", "file-x"):
        part = {"type": "input_file", "file_id": wanted}
        reply = ask(relay, [{"role": "user", "content": [part]}])
        assert reply.status == 400
        assert "names a file that does not exist" in reply.error["message"]


def test_files_of_one_request_are_bounded_together(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_MAX_JSON_BODY_BYTES": "10000"}) as relay:
        made = upload(relay, b"x" * 6000).json()["id"]
        part = {"type": "input_file", "file_id": made}
        assert ask(relay, [{"role": "user", "content": [part]}]).status == 200
        reply = ask(relay, [{"role": "user", "content": [part, part]}])
        assert (reply.status, reply.error["code"]) == (413, "request_too_large")


def test_a_conversation_remembers_files_by_id(strict: Relay, backend: Any) -> None:
    made = upload(strict, b"%PDF-1.7", "a.pdf").json()["id"]
    conversation = make(strict)
    part = {"type": "input_file", "file_id": made}
    body = [{"role": "user", "content": [part]}]
    assert ask(strict, body, "gpt-5.5", conversation=conversation).status == 200
    items = strict.get(f"{CONVERSATIONS}/{conversation}/items?order=asc").json()["data"]
    assert items[0]["content"] == [part]
    assert ask(strict, "again", "gpt-5.5", conversation=conversation).status == 200
    assert sent(backend)[0]["content"][0]["file_data"].startswith("data:application/pdf")
    strict.send("DELETE", f"/v1/files/{made}")
    reply = ask(strict, "once more", "gpt-5.5", conversation=conversation)
    assert (reply.status, reply.error["param"]) == (400, "conversation")
    assert made in reply.error["message"]


@pytest.mark.parametrize("apis", [("/models", "/responses"), ("/models", "/chat/completions")])
def test_a_compatible_server_gets_files_and_history_too(
    tmp_path: Path, apis: tuple[str, ...]
) -> None:
    from tests.fakes.openai_server import openai_server
    from tests.upstream.test_live_compatible import relaying

    with openai_server(*apis) as server, relaying(tmp_path, server.url) as relay:
        made = upload(relay, PNG, "a.png").json()["id"]
        conversation = make(relay)
        part = {"type": "input_image", "file_id": made}
        content = [{"type": "input_text", "text": "see"}, part]
        for more in ({}, {"conversation": conversation}):
            reply = ask(relay, [{"role": "user", "content": content}], "tiny", **more)
            assert reply.status == 200, reply.body
            assert made.encode() not in server.seen[-1].body
            assert base64.b64encode(PNG) in server.seen[-1].body
        assert ask(relay, "next", "tiny", conversation=conversation).status == 200
        assert base64.b64encode(PNG) in server.seen[-1].body


def test_memory_stays_bounded_by_what_is_remembered(tmp_path: Path) -> None:
    from tests.state.test_live_files import peak_kib

    with running(tmp_path, env=WIDE) as relay:
        for _ in range(10):
            ask(relay, "x" * 100_000)
        before = peak_kib(relay)
        for _ in range(150):
            ask(relay, "x" * 100_000)
        assert peak_kib(relay) - before < 40 * 1024


def test_requests_without_state_open_no_database(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        first = ask(relay, "one").json()
        ask(relay, "two", previous_response_id=first["id"], stream=True)
        message = {"role": "user", "content": "x"}
        relay.send("POST", CHAT, {"model": "demo", "messages": [message]})
        assert relay.get("/v1/relay/status").json()["storage"]["file_count"] == 0
        assert not (tmp_path / ".airelays" / "state.sqlite3").exists()
        upload(relay, b"x")
        wait_for((tmp_path / ".airelays" / "state.sqlite3").exists)
