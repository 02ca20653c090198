"""What users have reported of relays, tried against a running one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.live import Relay, running
from tests.net.test_live_wire import WIDE


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


@pytest.mark.parametrize("stream", [False, True])
def test_several_prompts_give_a_choice_each(relay: Relay, stream: bool) -> None:
    body = {"model": "demo", "prompt": ["one", "two"], "stream": stream}
    reply = relay.send("POST", "/v1/completions", body)
    assert reply.status == 200, reply
    if stream:
        *chunks, last = reply.events()
        assert last == "[DONE]"
        choices = [choice for chunk in chunks for choice in chunk["choices"]]
    else:
        choices = reply.json()["choices"]
    assert [choice["index"] for choice in choices] == [0, 1]
    assert "one" in choices[0]["text"] and "two" in choices[1]["text"]
    assert {choice["finish_reason"] for choice in choices} == {"stop"}


def test_a_failing_prompt_fails_the_whole(relay: Relay) -> None:
    body = {"model": "demo", "prompt": ["one", "demo:overload"], "stream": True}
    assert relay.send("POST", "/v1/completions", body).status == 503


def test_ids_are_those_of_their_api(relay: Relay) -> None:
    chat = {"model": "demo", "messages": [{"role": "user", "content": "x"}]}
    assert relay.send("POST", "/v1/chat/completions", chat).json()["id"].startswith("chatcmpl-")
    streamed = relay.send("POST", "/v1/chat/completions", {**chat, "stream": True}).events()
    assert {chunk["id"][:9] for chunk in streamed[:-1]} == {"chatcmpl-"}
    completion = {"model": "demo", "prompt": "x"}
    assert relay.send("POST", "/v1/completions", completion).json()["id"].startswith("cmpl-")


@pytest.mark.parametrize(
    "path",
    ["batches", "vector_stores", "assistants", "threads", "uploads", "fine_tuning/jobs", "videos", "realtime/x"],
)  # fmt: skip
def test_an_api_that_is_not_offered_is_known_by_name(relay: Relay, path: str) -> None:
    reply = relay.get(f"/v1/{path}")
    assert reply.status == 404
    assert "OpenAI's API" in reply.error["message"]
    assert "does not offer" in reply.error["message"]
    assert relay.send("GET", f"/v1/{path}", token=None).status == 401


def test_metadata_comes_back_with_a_stored_answer(relay: Relay) -> None:
    body = {"model": "demo", "input": "x", "store": True, "metadata": {"a": "b"}}
    made = relay.send("POST", "/v1/responses", body).json()
    assert made["metadata"] == {"a": "b"}
    assert relay.get(f"/v1/responses/{made['id']}").json()["metadata"] == {"a": "b"}


def test_compact_says_truly_that_the_upstream_has_none(relay: Relay) -> None:
    reply = relay.send("POST", "/v1/responses/compact", {"model": "demo", "input": "x"})
    assert (reply.status, reply.error["code"]) == (501, "unsupported_route")
