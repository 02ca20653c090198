"""smolagents: its OpenAI model and a tool-calling agent."""

from __future__ import annotations

import openai
from harness import *
from smolagents import OpenAIModel, tool

model = OpenAIModel(
    model_id=MODEL, api_base=BASE_URL, api_key=TOKEN, client_kwargs={"max_retries": 0}, retry=False
)


@tool
def weather_of(city: str) -> str:
    """Get the weather.

    Args:
        city: the city.
    """
    return f"4 degrees in {city}"


def user(text):
    return [{"role": "user", "content": [{"type": "text", "text": text}]}]


def plain():
    same(model.generate(user(HELLO)).content, ECHO)


def stream():
    same("".join(part.content or "" for part in model.generate_stream(user(HELLO))), ECHO)


def tools():
    message = model.generate(
        user('call the tool weather_of with {"city": "Oslo"}'), tools_to_call_from=[weather_of]
    )
    call = message.tool_calls[0].function
    same((call.name, call.arguments), ("weather_of", '{"city": "Oslo"}'))


def schema():
    form = {
        "type": "object",
        "properties": {"age": {"type": "integer"}},
        "required": ["age"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "p", "strict": True, "schema": form}}
    true("age" in model.generate(user("x"), response_format=wanted).content, "an age")


def skipped():
    raise Skip("its agents judge the answer's text")


def errors():
    raises(openai.RateLimitError, lambda: model.generate(user(LIMITED)))


def abort():
    parts = model.generate_stream(user(SLOW))
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
        "replay": skipped,
        "errors": errors,
        "abort": abort,
    }
)
