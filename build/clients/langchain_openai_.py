"""langchain-openai: ChatOpenAI over chat and over Responses, the completions class, LangGraph's agent."""

from __future__ import annotations

import openai
from harness import *
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI, OpenAI
from pydantic import BaseModel

COMMON = {"base_url": BASE_URL, "api_key": TOKEN, "model": MODEL, "max_retries": 0}
chat = ChatOpenAI(**COMMON, use_responses_api=False, stream_usage=True)
responses = ChatOpenAI(**COMMON, use_responses_api=True)
MODELS = (chat, responses)
weather = tool(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def plain():
    for model in MODELS:
        found = model.invoke(
            [SystemMessage("Be short."), HumanMessage(HELLO)], temperature=0, max_tokens=500
        )
        same(found.text, ECHO)
        true(found.usage_metadata["total_tokens"], "usage")
    true(HELLO in OpenAI(**COMMON).invoke(HELLO), "the echo")


def stream():
    for model in MODELS:
        parts = list(model.stream(HELLO))
        same("".join(part.text for part in parts), ECHO)
        true(any(part.usage_metadata for part in parts), "usage")
    true(HELLO in "".join(OpenAI(**COMMON).stream(HELLO)), "the echo")


def tools():
    for model in MODELS:
        bound = model.bind_tools([weather])
        found = bound.invoke(ASK_WEATHER)
        call = found.tool_calls[0]
        same((call["name"], call["args"]), ("get_weather", {"city": "Oslo"}))
        history = [HumanMessage(ASK_WEATHER), found, ToolMessage(WEATHER, tool_call_id=call["id"])]
        same(bound.invoke(history).text, TOOL_ECHO)
        merged = None
        for part in bound.stream(ASK_WEATHER):
            merged = part if merged is None else merged + part
        same(merged.tool_calls[0]["args"], {"city": "Oslo"})
        agent = create_agent(model, [weather])
        same(agent.invoke({"messages": [("user", ASK_WEATHER)]})["messages"][-1].text, TOOL_ECHO)


def schema():
    for model in MODELS:
        for method in ("json_schema", "function_calling"):
            bound = model.with_structured_output(Person, method=method)
            true(isinstance(bound.invoke("x"), Person), f"a Person by {method}")
            true(isinstance(list(bound.stream("x"))[-1], Person), f"a streamed Person by {method}")


def replay():
    for model in (
        ChatOpenAI(
            **COMMON, use_responses_api=True, reasoning={"effort": "low", "summary": "auto"}
        ),
        ChatOpenAI(
            **COMMON, use_responses_api=True, reasoning={"effort": "low"}, output_version="v0"
        ),
        ChatOpenAI(
            **COMMON,
            use_responses_api=True,
            reasoning={"effort": "low"},
            store=False,
            include=["reasoning.encrypted_content"],
        ),
        ChatOpenAI(**COMMON, use_responses_api=True, use_previous_response_id=True),
        ChatOpenAI(**COMMON, use_responses_api=False, reasoning_effort="low"),
    ):
        agent = create_agent(model, [weather])
        state = agent.invoke({"messages": [("user", ASK_WEATHER)]})
        same(state["messages"][-1].text, TOOL_ECHO)
        state = agent.invoke({"messages": [*state["messages"], ("user", HELLO)]})
        same(state["messages"][-1].text, ECHO)


def errors():
    for model in MODELS:
        raises(openai.RateLimitError, lambda m=model: m.invoke(LIMITED))
        raises(openai.RateLimitError, lambda m=model: list(m.stream(LIMITED)))


def abort():
    for model in MODELS:
        parts = model.stream(SLOW)
        next(parts)
        parts.close()
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
