"""The `openai` package for Python against a real relay with the demo upstream."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import openai
import pytest
from pydantic import BaseModel

from tests.live import Relay, running
from tests.net.test_live_wire import WIDE

WEATHER = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city"],
}


def tool(name: str) -> Any:
    return {"type": "function", "function": {"name": name, "parameters": WEATHER}}


def user(text: str) -> Any:
    return [{"role": "user", "content": text}]


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("home"), env=WIDE) as one:
        yield one


@pytest.fixture
def client(relay: Relay) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=relay.url, api_key=relay.token, max_retries=0) as one:
        yield one


def test_chat_whole(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=user("hello"))
    assert answer.choices[0].message.content == "You said: hello"
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None and answer.usage.total_tokens > 0
    assert answer._request_id is not None and answer._request_id.startswith("req_")


def test_chat_streamed(client: openai.OpenAI) -> None:
    options: Any = {"include_usage": True}
    chunks = list(
        client.chat.completions.create(
            model="demo", messages=user("hello there"), stream=True, stream_options=options
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == "You said: hello there"
    assert chunks[0].choices[0].delta.role == "assistant"
    assert [c.choices[0].finish_reason for c in chunks if c.choices].count("stop") == 1
    assert chunks[-1].choices == [] and chunks[-1].usage is not None
    assert len({c.id for c in chunks}) == 1


def test_a_tool_round_trip(client: openai.OpenAI) -> None:
    messages = user('call the tool get_weather with {"city": "Oslo"}')
    tools = [tool("get_weather")]
    asked = client.chat.completions.create(model="demo", messages=messages, tools=tools)
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.content is None and message.tool_calls
    call: Any = message.tool_calls[0]
    assert (call.function.name, call.function.arguments) == ("get_weather", '{"city": "Oslo"}')
    messages += [
        message.model_dump(),
        {"role": "tool", "tool_call_id": call.id, "content": "4 degrees"},
    ]
    answer = client.chat.completions.create(model="demo", messages=messages, tools=tools)
    assert answer.choices[0].message.content == "The tool said: 4 degrees"


def test_parallel_calls_streamed(client: openai.OpenAI) -> None:
    chunks = list(
        client.chat.completions.create(
            model="demo",
            messages=user("call the tools get_weather, get_time"),
            tools=[tool("get_weather"), tool("get_time")],
            stream=True,
        )
    )
    calls: dict[int, list[Any]] = {}
    for chunk in chunks:
        for part in chunk.choices[0].delta.tool_calls or []:
            calls.setdefault(part.index, []).append(part)
    assert sorted(calls) == [0, 1]
    for index, name in enumerate(("get_weather", "get_time")):
        first, *rest = calls[index]
        assert first.id and first.type == "function" and first.function.name == name
        assert all(part.id is None for part in rest)
        assert len(rest) > 1, "arguments come as they are made"
    assert [c.choices[0].finish_reason for c in chunks][-1] == "tool_calls"


class Person(BaseModel):
    name: str
    age: int
    tags: list[str]


def test_structured_output_is_parsed(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(
        model="demo", messages=user("a person"), response_format=Person
    )
    assert isinstance(parsed.choices[0].message.parsed, Person)
    other = client.responses.parse(model="demo", input="a person", text_format=Person)
    assert isinstance(other.output_parsed, Person)


def test_responses_whole_and_streamed(client: openai.OpenAI) -> None:
    answer = client.responses.create(model="demo", input="hello", reasoning={"effort": "low"})
    assert answer.output_text == "You said: hello"
    assert [item.type for item in answer.output] == ["reasoning", "message"]
    with client.responses.stream(model="demo", input="hello there") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert final.output_text == "You said: hello there"
    assert kinds[0] == "response.created" and kinds[-1] == "response.completed"
    assert kinds.count("response.completed") == 1


def test_a_system_message_in_a_responses_input(client: openai.OpenAI) -> None:
    messages: Any = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "hi"}]
    assert client.responses.create(model="demo", input=messages).output_text == "You said: hi"


def test_completions_whole_and_streamed(client: openai.OpenAI) -> None:
    assert client.completions.create(model="demo", prompt="hi").choices[0].text == "You said: hi"
    chunks = list(client.completions.create(model="demo", prompt="hi you", stream=True))
    assert "".join(c.choices[0].text for c in chunks if c.choices) == "You said: hi you"


def test_models(client: openai.OpenAI) -> None:
    assert [m.id for m in client.models.list()] == ["demo", "demo-mini", "gpt-image-2"]
    assert client.models.retrieve("DEMO").id == "demo"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("demi")
    assert caught.value.code == "model_not_found" and "demo" in caught.value.message


def test_images_are_counted(client: openai.OpenAI) -> None:
    png = "data:image/png;base64,"  # one pixel
    png += "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    content: Any = [
        {"type": "text", "text": "look"},
        {"type": "image_url", "image_url": {"url": png}},
        {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
    ]
    answer = client.chat.completions.create(
        model="demo", messages=[{"role": "user", "content": content}]
    )
    assert answer.choices[0].message.content == "I see 2 images. You said: look"


def test_stop_sequences_are_applied(client: openai.OpenAI) -> None:
    for text in ("one two three", "one twothree"):
        answer = client.chat.completions.create(model="demo", messages=user(text), stop=["two"])
        assert answer.choices[0].message.content == "You said: one "
        assert answer.choices[0].finish_reason == "stop"
        chunks = client.chat.completions.create(
            model="demo", messages=user(text), stop=["two"], stream=True
        )
        assert "".join(c.choices[0].delta.content or "" for c in chunks) == "You said: one "


def test_ignored_parameters_are_named(client: openai.OpenAI) -> None:
    raw = client.chat.completions.with_raw_response.create(
        model="demo", messages=user("x"), temperature=0.5, seed=1, user="me"
    )
    named = raw.headers["x-airelays-ignored-parameters"].split(",")
    assert {"temperature", "seed", "user"} <= set(named)


@pytest.mark.parametrize(
    ("text", "kind", "code"),
    [
        ("demo:rate-limit", openai.RateLimitError, "rate_limit_exceeded"),
        ("demo:quota", openai.RateLimitError, "usage_limit_reached"),
        ("demo:overload", openai.InternalServerError, "server_is_overloaded"),
        ("demo:context", openai.BadRequestError, "context_length_exceeded"),
        ("a b demo:cut", openai.InternalServerError, "incomplete_stream"),
    ],
)
def test_failures_raise_the_right_class(
    client: openai.OpenAI, text: str, kind: type[openai.APIStatusError], code: str
) -> None:
    with pytest.raises(kind) as caught:
        client.chat.completions.create(model="demo", messages=user(text))
    assert caught.value.code == code


@pytest.mark.parametrize("switch", ["cut", "fail"])
def test_a_broken_stream_raises_and_never_ends_quietly(client: openai.OpenAI, switch: str) -> None:
    text = f"one two three four demo:{switch}"
    with pytest.raises(openai.APIError):
        for _ in client.chat.completions.create(model="demo", messages=user(text), stream=True):
            pass
    # `response.failed` is passed on as it is, and the SDK's helper then misses `response.completed`.
    with (
        pytest.raises((openai.APIError, RuntimeError)),
        client.responses.stream(model="demo", input=text) as stream,
    ):
        stream.get_final_response()


def test_errors_of_the_client(client: openai.OpenAI, relay: Relay) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo", messages=[], n=1)
    assert caught.value.param == "messages"
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(model="demo", messages=user("x"), n=2)
    assert caught.value.param == "n"
    with pytest.raises(openai.AuthenticationError):
        openai.OpenAI(base_url=relay.url, api_key="wrong", max_retries=0).models.list()
    with pytest.raises(openai.APIStatusError) as other:
        client.embeddings.create(model="demo", input="x")
    assert other.value.status_code == 501


def test_a_refusal_is_kept(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="demo", messages=user("demo:refusal"))
    assert answer.choices[0].message.refusal == "I cannot help with that."
    assert answer.choices[0].message.content is None


def test_a_length_cut_is_told(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model="demo", messages=user("w " * 40), max_completion_tokens=16
    )
    assert answer.choices[0].finish_reason == "length"


def test_a_stream_that_is_left_frees_its_slot(client: openai.OpenAI, relay: Relay) -> None:
    stream = client.chat.completions.create(
        model="demo", messages=user("demo:pace=50 " + "w " * 200), stream=True
    )
    next(iter(stream))
    stream.close()
    end_s = time.monotonic() + 5
    while relay.get("/v1/relay/status").json()["streams_open"]:
        assert time.monotonic() < end_s


async def _many(relay: Relay) -> list[str | None]:
    import asyncio

    async with openai.AsyncOpenAI(base_url=relay.url, api_key=relay.token) as client:
        answers = await asyncio.gather(
            *(
                client.chat.completions.create(model="demo", messages=user(f"n{n}"))
                for n in range(32)
            )
        )
    return [answer.choices[0].message.content for answer in answers]


def test_thirty_two_at_once(relay: Relay) -> None:
    import asyncio

    assert asyncio.run(_many(relay)) == [f"You said: n{n}" for n in range(32)]
