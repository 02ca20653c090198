"""`langchain-anthropic`."""

from __future__ import annotations

import anthropic
import harness as h
from langchain_anthropic import ChatAnthropic
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool

ROOT = h.BASE_URL.removesuffix("/v1")


@tool
def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return h.get_weather(city)


def model(**more):
    asked = {"model": h.MODEL, "base_url": ROOT, "api_key": h.TOKEN, "max_retries": 0}
    return ChatAnthropic(max_tokens=4096, **asked, **more)


def text_of(message):
    content = message.content
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if part["type"] == "text")


def plain():
    message = model().invoke(h.HELLO)
    h.same(text_of(message), h.ECHO)
    h.true(message.usage_metadata["input_tokens"] > 0, "counts")


def stream():
    h.same("".join(text_of(piece) for piece in model().stream(h.HELLO)), h.ECHO)


def loop(chat):
    messages = [HumanMessage(h.ASK_WEATHER)]
    while True:
        message = chat.invoke(messages)
        messages.append(message)
        if not message.tool_calls:
            return message, messages
        for call in message.tool_calls:
            said = get_weather.invoke(call["args"])
            messages.append(ToolMessage(said, tool_call_id=call["id"]))


def tools():
    for streaming in (False, True):
        message, _ = loop(model(streaming=streaming).bind_tools([get_weather]))
        h.same(text_of(message), h.TOOL_ECHO)


def schema():
    form = {
        "title": "city",
        "description": "A city.",
        "type": "object",
        "properties": {"city": {"type": "string"}},
        "required": ["city"],
    }
    chat = model().with_structured_output(form, method="json_schema")
    h.true("city" in chat.invoke("x"), "an answer of the schema")


def replay():
    thinking = {"type": "enabled", "budget_tokens": 2048}
    chat = model(thinking=thinking).bind_tools([get_weather])
    message, messages = loop(chat)
    h.same(text_of(message), h.TOOL_ECHO)
    h.same(text_of(chat.invoke([*messages, HumanMessage(h.HELLO)])), h.ECHO)


def errors():
    h.raises(anthropic.RateLimitError, lambda: model().invoke(h.LIMITED))
    h.raises(anthropic.BadRequestError, lambda: model().invoke("please demo:context"))


def abort():
    for _ in model().stream(h.SLOW):
        break
    h.ends_within()


h.run(
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
