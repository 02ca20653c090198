"""LlamaIndex: OpenAILike (chat, completions) and OpenAIResponses."""

from __future__ import annotations

import openai
from harness import *
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool
from llama_index.llms.openai import OpenAIResponses
from llama_index.llms.openai_like import OpenAILike
from pydantic import BaseModel

COMMON = {"model": MODEL, "api_base": BASE_URL, "api_key": TOKEN, "max_retries": 0}
chat = OpenAILike(**COMMON, is_chat_model=True, is_function_calling_model=True)
responses = OpenAIResponses(**COMMON)
completion = OpenAILike(**COMMON, is_chat_model=False)
MODELS = (chat, responses)
weather = FunctionTool.from_defaults(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def user(text):
    return [ChatMessage(role="system", content="Be short."), ChatMessage(role="user", content=text)]


def plain():
    for model in MODELS:
        same(model.chat(user(HELLO)).message.content, ECHO)
    true(HELLO in completion.complete(HELLO).text, "the echo")


def stream():
    for model in MODELS:
        same("".join(part.delta or "" for part in model.stream_chat(user(HELLO))), ECHO)
    true(
        HELLO in "".join(part.delta or "" for part in completion.stream_complete(HELLO)), "the echo"
    )


def tools():
    for model in MODELS:
        found = model.predict_and_call([weather], user_msg=ASK_WEATHER)
        same(str(found), WEATHER)
        asked = model.chat_with_tools([weather], user_msg=ASK_WEATHER)
        call = model.get_tool_calls_from_response(asked)[0]
        history = [ChatMessage(role="user", content=ASK_WEATHER), asked.message]
        key = "tool_call_id" if model is chat else "call_id"
        history.append(
            ChatMessage(role="tool", content=WEATHER, additional_kwargs={key: call.tool_id})
        )
        same(model.chat_with_tools([weather], chat_history=history).message.content, TOOL_ECHO)


def schema():
    for model in MODELS:
        found = model.as_structured_llm(Person).chat(user("x"))
        true(isinstance(found.raw, Person), "a Person")


def replay():
    model = OpenAIResponses(**COMMON, reasoning_options={"effort": "low"})
    asked = model.chat_with_tools([weather], user_msg=ASK_WEATHER)
    call = model.get_tool_calls_from_response(asked)[0]
    history = [ChatMessage(role="user", content=ASK_WEATHER), asked.message]
    history.append(
        ChatMessage(role="tool", content=WEATHER, additional_kwargs={"call_id": call.tool_id})
    )
    same(model.chat_with_tools([weather], chat_history=history).message.content, TOOL_ECHO)


def errors():
    for model in MODELS:
        raises(openai.RateLimitError, lambda m=model: m.chat(user(LIMITED)))


def abort():
    for model in MODELS:
        parts = model.stream_chat(user(SLOW))
        next(parts)
        parts.close()
        del parts
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
