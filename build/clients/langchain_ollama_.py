"""langchain-ollama: ChatOllama and OllamaLLM, with a key in the header fields of its client."""

from __future__ import annotations

import ollama
from harness import *
from langchain_core.messages import HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_ollama import ChatOllama, OllamaLLM
from pydantic import BaseModel

COMMON = {
    "base_url": BASE_URL.removesuffix("/v1"),
    "model": MODEL,
    "client_kwargs": {"headers": {"Authorization": f"Bearer {TOKEN}"}},
}
model = ChatOllama(**COMMON)
weather = tool(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def plain():
    found = model.invoke([SystemMessage("Be short."), HumanMessage(HELLO)])
    same(found.content, ECHO)
    true(found.usage_metadata["total_tokens"] > 1, "usage")
    true(found.response_metadata["eval_duration"] > 0, "times")
    true(HELLO in OllamaLLM(**COMMON).invoke(HELLO), "the echo")


def stream():
    parts = list(model.stream(HELLO))
    same("".join(part.content for part in parts), ECHO)
    true(any(part.usage_metadata for part in parts), "usage")
    true(HELLO in "".join(OllamaLLM(**COMMON).stream(HELLO)), "the echo")


def tools():
    bound = model.bind_tools([weather])
    found = bound.invoke(ASK_WEATHER)
    call = found.tool_calls[0]
    same((call["name"], call["args"]), ("get_weather", {"city": "Oslo"}))
    history = [HumanMessage(ASK_WEATHER), found, ToolMessage(WEATHER, tool_call_id=call["id"])]
    same(bound.invoke(history).content, TOOL_ECHO)
    merged = None
    for part in bound.stream(ASK_WEATHER):
        merged = part if merged is None else merged + part
    same(merged.tool_calls[0]["args"], {"city": "Oslo"})


def schema():
    # Ollama's API cannot demand a call, so the method function_calling is left to the model's mood.
    bound = model.with_structured_output(Person, method="json_schema")
    true(isinstance(bound.invoke("x"), Person), "a Person")
    true(isinstance(list(bound.stream("x"))[-1], Person), "a streamed Person")


def replay():
    for reasoning in (True, False, None):
        thinking = ChatOllama(**COMMON, reasoning=reasoning)
        bound = thinking.bind_tools([weather])
        found = bound.invoke(ASK_WEATHER)
        call = found.tool_calls[0]
        history = [HumanMessage(ASK_WEATHER), found, ToolMessage(WEATHER, tool_call_id=call["id"])]
        last = bound.invoke(history)
        same(last.content, TOOL_ECHO)
        same(bound.invoke([*history, last, HumanMessage(HELLO)]).content, ECHO)


def errors():
    same(raises(ollama.ResponseError, lambda: model.invoke(LIMITED)).status_code, 429)
    stranger = {**COMMON, "client_kwargs": {"headers": {"Authorization": "Bearer wrong"}}}
    wrong = raises(ollama.ResponseError, lambda: ChatOllama(**stranger).invoke(HELLO))
    same(wrong.status_code, 401)
    if UPSTREAM != "strict":  # the fake backend does not break off by itself
        raises(ollama.ResponseError, lambda: list(model.stream("demo:fail demo:words=9")))


def abort():
    for _ in model.stream(SLOW):
        break
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
