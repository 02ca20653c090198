"""The LiteLLM SDK: completion, responses and text completion with the `openai/` provider."""

from __future__ import annotations

import litellm
from harness import *
from pydantic import BaseModel

litellm.telemetry = False
NAME = f"openai/{MODEL}"
COMMON = {"api_base": BASE_URL, "api_key": TOKEN, "max_retries": 0, "num_retries": 0}
PARAMETERS = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Weather.", "parameters": PARAMETERS}
TOOLS = [{"type": "function", "function": FUNCTION}]
FLAT = [{"type": "function", **FUNCTION}]


class Person(BaseModel):
    name: str
    age: int


def user(text):
    return [{"role": "user", "content": text}]


def ask(messages, **more):
    return litellm.completion(model=NAME, messages=messages, **COMMON, **more)


def texts(parts):
    return "".join(part.choices[0].delta.content or "" for part in parts if part.choices)


def output_text(response):
    return "".join(
        p.text for item in response.output if item.type == "message" for p in item.content
    )


def plain():
    found = ask([{"role": "system", "content": "Be short."}, *user(HELLO)], max_tokens=500)
    same(found.choices[0].message.content, ECHO)
    true(found.usage.total_tokens, "usage")
    same(output_text(litellm.responses(model=NAME, input=HELLO, **COMMON)), ECHO)
    found = litellm.text_completion(model=f"text-completion-openai/{MODEL}", prompt=HELLO, **COMMON)
    true(HELLO in found.choices[0].text, "the echo")


def stream():
    same(texts(ask(user(HELLO), stream=True, stream_options={"include_usage": True})), ECHO)
    events = list(litellm.responses(model=NAME, input=HELLO, stream=True, **COMMON))
    same("".join(e.delta for e in events if e.type == "response.output_text.delta"), ECHO)


def tools():
    for more in ({}, {"reasoning_effort": "low"}):
        messages = user(ASK_WEATHER)
        message = ask(messages, tools=TOOLS, **more).choices[0].message
        call = message.tool_calls[0]
        same((call.function.name, call.function.arguments), ("get_weather", '{"city": "Oslo"}'))
        messages += [message, {"role": "tool", "tool_call_id": call.id, "content": WEATHER}]
        same(ask(messages, tools=TOOLS, **more).choices[0].message.content, TOOL_ECHO)
        parts = list(ask(user(ASK_WEATHER), tools=TOOLS, stream=True, **more))
        whole = litellm.stream_chunk_builder(parts).choices[0].message.tool_calls[0].function
        same((whole.name, whole.arguments), ("get_weather", '{"city": "Oslo"}'))


def schema():
    found = ask(user("x"), response_format=Person)
    Person.model_validate_json(found.choices[0].message.content)
    Person.model_validate_json(texts(ask(user("x"), response_format=Person, stream=True)))


def replay():
    history = user(ASK_WEATHER)
    more = {**COMMON, "tools": FLAT, "reasoning": {"effort": "low"}}
    first = litellm.responses(model=NAME, input=history, **more)
    call = next(item for item in first.output if item.type == "function_call")
    history += [item.model_dump() for item in first.output]
    history.append({"type": "function_call_output", "call_id": call.call_id, "output": WEATHER})
    second = litellm.responses(model=NAME, input=history, **more)
    same(output_text(second), TOOL_ECHO)
    history += [item.model_dump() for item in second.output] + user(HELLO)
    same(output_text(litellm.responses(model=NAME, input=history, **more)), ECHO)


def errors():
    raises(litellm.RateLimitError, lambda: ask(user(LIMITED)))
    raises(litellm.RateLimitError, lambda: list(ask(user(LIMITED), stream=True)))
    raises(litellm.BadRequestError, lambda: ask(user(HELLO), n=3))
    stranger = {**COMMON, "api_key": "wrong"}
    raises(
        litellm.AuthenticationError,
        lambda: litellm.completion(model=NAME, messages=user("x"), **stranger),
    )
    raises(litellm.ContextWindowExceededError, lambda: list(ask(user("demo:context"), stream=True)))


def abort():
    raises(litellm.Timeout, lambda: ask(user(SLOW), timeout=1))
    ends_within()
    parts = ask(user(SLOW), stream=True)
    next(iter(parts))
    parts.completion_stream.close()
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
