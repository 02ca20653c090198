"""LiteLLM's provider `ollama_chat`, pointed at the relay."""

from __future__ import annotations

import json

import harness as h
import litellm

ROOT = h.BASE_URL.removesuffix("/v1")
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]


def ask(content, **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    asked = {"api_base": ROOT, "api_key": h.TOKEN, "num_retries": 0}
    return litellm.completion(f"ollama_chat/{h.MODEL}", messages=messages, **{**asked, **more})


def plain():
    made = ask([{"role": "system", "content": "Be brief."}, {"role": "user", "content": h.HELLO}])
    h.same(made.choices[0].message.content, h.ECHO)
    h.true(made.usage.prompt_tokens > 0, "counts")


def stream():
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(h.HELLO, stream=True)]
    h.same("".join(pieces), h.ECHO)


def loop(**more):
    messages = [{"role": "user", "content": h.ASK_WEATHER}]
    first = ask(messages, tools=TOOLS, **more).choices[0].message
    call = first.tool_calls[0]
    h.same(json.loads(call.function.arguments), {"city": "Oslo"})
    result = {"role": "tool", "tool_call_id": call.id, "content": h.WEATHER}
    second = ask([*messages, first.model_dump(), result], tools=TOOLS, **more)
    h.same(second.choices[0].message.content, h.TOOL_ECHO)


def tools():
    loop()
    pieces = list(ask(h.ASK_WEATHER, tools=TOOLS, stream=True))
    calls = [c for p in pieces for c in p.choices[0].delta.tool_calls or []]
    h.same(json.loads("".join(c.function.arguments for c in calls)), {"city": "Oslo"})


def schema():
    form = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
    found = ask("x", response_format=form).choices[0].message.content
    h.true("city" in json.loads(found), "an answer of the schema")


def replay():
    loop(reasoning_effort="low")


def errors():
    h.raises(litellm.RateLimitError, lambda: ask(h.LIMITED))
    h.raises(litellm.AuthenticationError, lambda: ask(h.HELLO, api_key="wrong"))


def abort():
    for _ in ask(h.SLOW, stream=True):
        break
    h.ends_within(15)


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
