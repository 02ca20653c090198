"""Haystack: its generators for chat and for Responses."""

from __future__ import annotations

import os

os.environ["HAYSTACK_TELEMETRY_ENABLED"] = "false"

import openai
from harness import *
from haystack.components.generators.chat import OpenAIChatGenerator, OpenAIResponsesChatGenerator
from haystack.dataclasses import ChatMessage
from haystack.tools import Tool
from haystack.utils import Secret
from pydantic import BaseModel

KINDS = (OpenAIChatGenerator, OpenAIResponsesChatGenerator)
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
weather = Tool(
    name="get_weather", description="Weather.", parameters=PARAMETERS, function=get_weather
)


class Person(BaseModel):
    name: str
    age: int


def made(kind, **more):
    return kind(
        api_key=Secret.from_token(TOKEN), model=MODEL, api_base_url=BASE_URL, max_retries=0, **more
    )


def user(text):
    return [ChatMessage.from_system("Be short."), ChatMessage.from_user(text)]


def plain():
    for kind in KINDS:
        same(made(kind).run(user(HELLO))["replies"][0].text, ECHO)


def stream():
    for kind in KINDS:
        parts = []
        one = made(kind, streaming_callback=lambda part, to=parts: to.append(part.content))
        same(one.run(user(HELLO))["replies"][0].text, ECHO)
        same("".join(parts), ECHO)


def trip(kind, **more):
    one = made(kind, tools=[weather], **more)
    history = user(ASK_WEATHER)
    asked = one.run(history)["replies"][0]
    call = asked.tool_calls[0]
    same((call.tool_name, call.arguments), ("get_weather", {"city": "Oslo"}))
    history += [asked, ChatMessage.from_tool(WEATHER, origin=call)]
    answer = one.run(history)["replies"][0]
    same(answer.text, TOOL_ECHO)
    same(one.run([*history, answer, ChatMessage.from_user(HELLO)])["replies"][0].text, ECHO)


def tools():
    for kind in KINDS:
        trip(kind)


def schema():
    found = made(OpenAIChatGenerator, generation_kwargs={"response_format": Person}).run(user("x"))
    Person.model_validate_json(found["replies"][0].text)
    found = made(OpenAIResponsesChatGenerator, generation_kwargs={"text_format": Person}).run(
        user("x")
    )
    Person.model_validate_json(found["replies"][0].text)


def replay():
    trip(
        OpenAIResponsesChatGenerator,
        generation_kwargs={"reasoning": {"effort": "low", "summary": "auto"}},
    )


def errors():
    for kind in KINDS:
        raises(openai.RateLimitError, lambda k=kind: made(k).run(user(LIMITED)))


def abort():
    for kind in KINDS:
        raises(openai.APITimeoutError, lambda k=kind: made(k, timeout=1.0).run(user(SLOW)))
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
