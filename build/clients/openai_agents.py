"""openai-agents for Python: its Responses and its chat model, sessions, handed-on items."""

from __future__ import annotations

import asyncio
import contextlib

import agents
import openai
from agents import (
    Agent,
    ModelSettings,
    OpenAIChatCompletionsModel,
    OpenAIConversationsSession,
    OpenAIResponsesModel,
    Runner,
    function_tool,
)
from harness import *
from openai.types.shared import Reasoning
from pydantic import BaseModel

agents.set_tracing_disabled(True)
client = openai.AsyncOpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
MODELS = (OpenAIResponsesModel, OpenAIChatCompletionsModel)
THINKING = ModelSettings(reasoning=Reasoning(effort="low", summary="auto"))


class Person(BaseModel):
    name: str
    age: int


def agent(kind, **more):
    model = kind(model=MODEL, openai_client=client)
    return Agent(name="tester", instructions="Be short.", model=model, **more)


loop = asyncio.Runner()


def go(task):
    async def alone():
        return await task

    return loop.run(alone())


async def streamed(one, text, **more):
    result = Runner.run_streamed(one, text, **more)
    async for _ in result.stream_events():
        pass
    return result


def plain():
    for kind in MODELS:
        same(go(Runner.run(agent(kind), HELLO)).final_output, ECHO)


def stream():
    for kind in MODELS:
        same(go(streamed(agent(kind), HELLO)).final_output, ECHO)


def tools():
    for kind in MODELS:
        one = agent(kind, tools=[function_tool(get_weather)])
        same(go(Runner.run(one, ASK_WEATHER)).final_output, TOOL_ECHO)
        same(go(streamed(one, ASK_WEATHER)).final_output, TOOL_ECHO)


def schema():
    for kind in MODELS:
        true(
            isinstance(go(Runner.run(agent(kind, output_type=Person), "x")).final_output, Person),
            "a Person",
        )


def replay():
    for kind in MODELS:
        one = agent(kind, tools=[function_tool(get_weather)], model_settings=THINKING)

        async def talk(one=one):
            first = await Runner.run(one, ASK_WEATHER)
            same(first.final_output, TOOL_ECHO)
            more = [*first.to_input_list(), {"role": "user", "content": HELLO}]
            same((await Runner.run(one, more)).final_output, ECHO)

        go(talk())

    async def session():
        one = agent(
            OpenAIResponsesModel, tools=[function_tool(get_weather)], model_settings=THINKING
        )
        kept = OpenAIConversationsSession(openai_client=client)
        same((await Runner.run(one, ASK_WEATHER, session=kept)).final_output, TOOL_ECHO)
        same((await Runner.run(one, HELLO, session=kept)).final_output, ECHO)
        true(len(await kept.get_items()) >= 5, "the items of both turns")
        await kept.clear_session()
        talk = await client.conversations.create()
        same((await Runner.run(one, ASK_WEATHER, conversation_id=talk.id)).final_output, TOOL_ECHO)
        first = await Runner.run(one, HELLO)
        found = await Runner.run(one, HELLO, previous_response_id=first.last_response_id)
        same(found.final_output, ECHO)

    go(session())


def errors():
    for kind in MODELS:
        raises(openai.RateLimitError, lambda k=kind: go(Runner.run(agent(k), LIMITED)))
        raises(openai.RateLimitError, lambda k=kind: go(streamed(agent(k), LIMITED)))


def abort():
    async def leave(kind):
        result = Runner.run_streamed(agent(kind), SLOW)
        async for _ in result.stream_events():
            break
        result.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            async for _ in result.stream_events():
                pass

    for kind in MODELS:
        go(leave(kind))
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
