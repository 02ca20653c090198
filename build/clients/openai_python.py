"""The `openai` package for Python: chat and Responses, whole and streamed, sync and async."""

from __future__ import annotations

import asyncio
from typing import Any

import openai
from harness import *
from pydantic import BaseModel

client = openai.OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}
CHAT_TOOL: Any = {"type": "function", "function": FUNCTION}
TOOL: Any = {"type": "function", **FUNCTION}


class Person(BaseModel):
    name: str
    age: int


def user(text):
    return [{"role": "user", "content": text}]


def plain():
    chat = client.chat.completions.create(
        model=MODEL, messages=user(HELLO), max_tokens=500, temperature=0, user="u"
    )
    same(chat.choices[0].message.content, ECHO)
    same(
        client.responses.create(
            model=MODEL, input=HELLO, truncation="disabled", metadata={"a": "b"}
        ).output_text,
        ECHO,
    )
    same(client.completions.create(model=MODEL, prompt=HELLO).choices[0].text, ECHO)
    true(any(model.id for model in client.models.list()), "a model")
    mixed = [{"role": "system", "content": "Be short."}, *user(HELLO)]
    same(
        client.chat.completions.create(model=MODEL, messages=mixed).choices[0].message.content, ECHO
    )
    same(client.responses.create(model=MODEL, input=mixed).output_text, ECHO)
    true(chat._request_id, "x-request-id")


def stream():
    chunks = list(
        client.chat.completions.create(
            model=MODEL, messages=user(HELLO), stream=True, stream_options={"include_usage": True}
        )
    )
    same("".join(c.choices[0].delta.content or "" for c in chunks if c.choices), ECHO)
    true(chunks[-1].usage, "usage in the last chunk")
    with client.responses.stream(model=MODEL, input=HELLO) as events:
        text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
        same((text, events.get_final_response().output_text), (ECHO, ECHO))
    parts = client.completions.create(model=MODEL, prompt=HELLO, stream=True)
    same("".join(c.choices[0].text for c in parts if c.choices), ECHO)

    async def other():
        async with openai.AsyncOpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0) as one:
            found = await one.chat.completions.create(
                model=MODEL, messages=user(HELLO), stream=True
            )
            return "".join([c.choices[0].delta.content or "" async for c in found if c.choices])

    same(asyncio.run(other()), ECHO)


def tools():
    messages = user(ASK_WEATHER)
    message = (
        client.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_TOOL])
        .choices[0]
        .message
    )
    call = message.tool_calls[0]
    same((call.function.name, call.function.arguments), ("get_weather", '{"city": "Oslo"}'))
    messages += [message, {"role": "tool", "tool_call_id": call.id, "content": WEATHER}]
    same(
        client.chat.completions.create(model=MODEL, messages=messages, tools=[CHAT_TOOL])
        .choices[0]
        .message.content,
        TOOL_ECHO,
    )
    with client.chat.completions.stream(
        model=MODEL, messages=user(ASK_WEATHER), tools=[CHAT_TOOL]
    ) as events:
        found = events.get_final_completion().choices[0].message.tool_calls[0].function
        same((found.name, found.arguments), ("get_weather", '{"city": "Oslo"}'))


def schema():
    chat = client.chat.completions.parse(model=MODEL, messages=user("x"), response_format=Person)
    true(isinstance(chat.choices[0].message.parsed, Person), "a Person")
    true(
        isinstance(
            client.responses.parse(model=MODEL, input="x", text_format=Person).output_parsed, Person
        ),
        "a Person",
    )
    with client.responses.stream(model=MODEL, input="x", text_format=Person) as events:
        true(isinstance(events.get_final_response().output_parsed, Person), "a Person")
    with client.chat.completions.stream(
        model=MODEL, messages=user("x"), response_format=Person
    ) as events:
        true(
            isinstance(events.get_final_completion().choices[0].message.parsed, Person), "a Person"
        )


def replay():
    for extra in ({}, {"include": ["reasoning.encrypted_content"], "store": False}):
        history: list[Any] = user(ASK_WEATHER)
        first = client.responses.create(
            model=MODEL, input=history, tools=[TOOL], reasoning={"effort": "low"}, **extra
        )
        same([item.type for item in first.output], ["reasoning", "function_call"])
        history += first.output
        history.append(
            {"type": "function_call_output", "call_id": first.output[-1].call_id, "output": WEATHER}
        )
        second = client.responses.create(
            model=MODEL, input=history, tools=[TOOL], reasoning={"effort": "low"}, **extra
        )
        same(second.output_text, TOOL_ECHO)
        history += [item.model_dump() for item in second.output]
        history += user(HELLO)
        same(client.responses.create(model=MODEL, input=history, **extra).output_text, ECHO)
    kept = client.responses.create(model=MODEL, input=HELLO)
    same(
        client.responses.create(model=MODEL, input=HELLO, previous_response_id=kept.id).output_text,
        ECHO,
    )
    talk = client.conversations.create()
    for _ in range(2):
        same(
            client.responses.create(model=MODEL, input=HELLO, conversation=talk.id).output_text,
            ECHO,
        )


def errors():
    def limited(stream):
        list(client.chat.completions.create(model=MODEL, messages=user(LIMITED), stream=stream))

    for stream in (False, True):
        error = raises(openai.RateLimitError, lambda s=stream: limited(s))
        true(error.response.headers.get("retry-after"), "Retry-After")
    raises(openai.BadRequestError, lambda: client.chat.completions.create(model=MODEL, messages=[]))
    stranger = openai.OpenAI(base_url=BASE_URL, api_key="wrong", max_retries=0)
    raises(openai.AuthenticationError, lambda: list(stranger.models.list()))
    raises(openai.NotFoundError, lambda: client.post("/nothing", cast_to=object))


def abort():
    stream = client.chat.completions.create(model=MODEL, messages=user(SLOW), stream=True)
    next(iter(stream))
    stream.close()
    ends_within()
    raises(
        openai.APITimeoutError,
        lambda: client.with_options(timeout=1).responses.create(model=MODEL, input=SLOW),
    )
    ends_within()


run(
    {
        "plain": plain,
        "stream": stream,
        "tools": tools,
        "schema": schema,
        "replay": replay,
        "errors": errors,
        "abort": abort,
    }
)
