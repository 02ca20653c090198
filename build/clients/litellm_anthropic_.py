"""LiteLLM's provider `anthropic`, pointed at the relay."""

from __future__ import annotations

import harness as h
import litellm

ROOT = h.BASE_URL.removesuffix("/v1")
TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "parameters": {
                "type": "object",
                "properties": {"city": {"type": "string"}},
                "required": ["city"],
            },
        },
    }
]


def ask(content, **more):
    messages = content if isinstance(content, list) else [{"role": "user", "content": content}]
    asked = {"api_base": ROOT, "api_key": h.TOKEN, "max_tokens": 4096, "num_retries": 0}
    return litellm.completion(f"anthropic/{h.MODEL}", messages=messages, **asked, **more)


def plain():
    made = ask([{"role": "system", "content": "Be brief."}, {"role": "user", "content": h.HELLO}])
    h.same(made.choices[0].message.content, h.ECHO)
    h.true(made.usage.prompt_tokens > 0, "counts")


def stream():
    pieces = [chunk.choices[0].delta.content or "" for chunk in ask(h.HELLO, stream=True)]
    h.same("".join(pieces), h.ECHO)


def tools():
    messages = [{"role": "user", "content": h.ASK_WEATHER}]
    first = ask(messages, tools=TOOLS).choices[0].message
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": h.WEATHER}
    second = ask([*messages, first.model_dump(), result], tools=TOOLS)
    h.same(second.choices[0].message.content, h.TOOL_ECHO)


def replay():
    messages = [{"role": "user", "content": h.ASK_WEATHER}]
    thinking = {
        "thinking": {"type": "enabled", "budget_tokens": 2048},
        "allowed_openai_params": ["thinking"],
    }
    first = ask(messages, tools=TOOLS, **thinking).choices[0].message
    h.true(first.thinking_blocks, "thinking blocks")
    call = first.tool_calls[0]
    result = {"role": "tool", "tool_call_id": call.id, "content": h.WEATHER}
    second = ask([*messages, first.model_dump(), result], tools=TOOLS, **thinking)
    h.same(second.choices[0].message.content, h.TOOL_ECHO)


def errors():
    h.raises(litellm.RateLimitError, lambda: ask(h.LIMITED))
    h.raises(litellm.ContextWindowExceededError, lambda: ask("please demo:context"))


def abort():
    for _ in ask(h.SLOW, stream=True):
        break
    h.ends_within(15)


h.run(
    {
        "plain": plain,
        "stream": stream,
        "tools": tools,
        "replay": replay,
        "errors": errors,
        "abort": abort,
    }
)
