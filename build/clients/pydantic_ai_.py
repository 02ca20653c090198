"""pydantic-ai: the chat and the Responses model."""

from __future__ import annotations

import asyncio

from harness import *
from pydantic import BaseModel
from pydantic_ai import Agent, NativeOutput, ToolOutput
from pydantic_ai.exceptions import ModelHTTPError
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

KINDS = (OpenAIChatModel, OpenAIResponsesModel)
THINKING = {"openai_reasoning_effort": "low", "openai_reasoning_summary": "auto"}


class Person(BaseModel):
    name: str
    age: int


def agent(kind, **more):
    import openai

    client = openai.AsyncOpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
    return Agent(kind(MODEL, provider=OpenAIProvider(openai_client=client)), retries=0, **more)


async def text_of(one, ask, **more):
    async with one.run_stream(ask, **more) as result:
        return await result.get_output()


def plain():
    for kind in KINDS:
        same(agent(kind, instructions="Be short.").run_sync(HELLO).output, ECHO)
        same(agent(kind, system_prompt="Be short.").run_sync(HELLO).output, ECHO)


def stream():
    for kind in KINDS:
        same(asyncio.run(text_of(agent(kind), HELLO)), ECHO)


def tools():
    for kind in KINDS:
        same(agent(kind, tools=[get_weather]).run_sync(ASK_WEATHER).output, TOOL_ECHO)


def schema():
    for kind in KINDS:
        for way in (NativeOutput(Person), ToolOutput(Person)):
            true(isinstance(agent(kind, output_type=way).run_sync("x").output, Person), "a Person")
            true(
                isinstance(asyncio.run(text_of(agent(kind, output_type=way), "x")), Person),
                "a Person",
            )


def replay():
    for kind in KINDS:
        first = agent(kind, tools=[get_weather]).run_sync(ASK_WEATHER, model_settings=THINKING)
        same(first.output, TOOL_ECHO)
        more = {"message_history": first.all_messages(), "model_settings": THINKING}
        same(agent(kind, tools=[get_weather]).run_sync(HELLO, **more).output, ECHO)


def errors():
    for kind in KINDS:
        same(raises(ModelHTTPError, lambda k=kind: agent(k).run_sync(LIMITED)).status_code, 429)
        late = raises(ModelHTTPError, lambda k=kind: asyncio.run(text_of(agent(k), LIMITED)))
        same(late.status_code, 429)


def abort():
    async def leave(kind):
        async with agent(kind).run_stream(SLOW) as result:
            async for _ in result.stream_text():
                return

    for kind in KINDS:
        asyncio.run(leave(kind))
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
