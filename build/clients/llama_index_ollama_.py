"""llama-index-llms-ollama: chat, streams, calls and structured answers, by a client that has the key."""

from __future__ import annotations

import ollama
from harness import *
from llama_index.core.base.llms.types import ChatMessage, MessageRole
from llama_index.core.tools import FunctionTool
from llama_index.llms.ollama import Ollama
from pydantic import BaseModel

ROOT = BASE_URL.removesuffix("/v1")


def made(**more):
    fields = {"headers": {"Authorization": f"Bearer {TOKEN}"}}
    client = ollama.Client(ROOT, timeout=30, **fields)
    return Ollama(
        model=MODEL, base_url=ROOT, client=client, context_window=8192, request_timeout=30, **more
    )


model = made()
weather = FunctionTool.from_defaults(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def user(text):
    return ChatMessage(role=MessageRole.USER, content=text)


def plain():
    found = model.chat([ChatMessage(role=MessageRole.SYSTEM, content="Be short."), user(HELLO)])
    same(found.message.content, ECHO)
    true(found.raw["eval_count"] > 0, "counters")
    true(HELLO in model.complete(HELLO).text, "the echo")


def stream():
    text = "".join(part.delta or "" for part in model.stream_chat([user(HELLO)]))
    same(text, ECHO)


def tools():
    found = model.chat_with_tools([weather], user_msg=ASK_WEATHER)
    call = model.get_tool_calls_from_response(found)[0]
    same((call.tool_name, call.tool_kwargs), ("get_weather", {"city": "Oslo"}))
    output = ChatMessage(
        role=MessageRole.TOOL, content=WEATHER, additional_kwargs={"tool_call_id": call.tool_id}
    )
    history = [user(ASK_WEATHER), found.message, output]
    same(model.chat_with_tools([weather], chat_history=history).message.content, TOOL_ECHO)


def schema():
    true(isinstance(model.as_structured_llm(Person).complete("x").raw, Person), "a Person")


def replay():
    for thinking in (True, False):
        one = made(thinking=thinking)
        first = one.chat([user(HELLO)])
        same(first.message.content, ECHO)
        again = one.chat([user(HELLO), first.message, user(HELLO)])
        same(again.message.content, ECHO)


def errors():
    same(raises(ollama.ResponseError, lambda: model.chat([user(LIMITED)])).status_code, 429)
    if UPSTREAM != "strict":  # the fake backend does not break off by itself
        broken = [user("demo:fail demo:words=9")]
        raises(ollama.ResponseError, lambda: list(model.stream_chat(broken)))


def abort():
    for _ in model.stream_chat([user(SLOW)]):
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
