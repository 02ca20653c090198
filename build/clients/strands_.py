"""strands-agents: an agent over chat, always streamed."""

from __future__ import annotations

from harness import *
from pydantic import BaseModel
from strands import Agent, tool
from strands.models.openai import OpenAIModel
from strands.types.exceptions import ContextWindowOverflowException

weather = tool(get_weather)


class Person(BaseModel):
    """A person."""

    name: str
    age: int


def agent(**more):
    args = {"base_url": BASE_URL, "api_key": TOKEN, "max_retries": 0}
    return Agent(model=OpenAIModel(client_args=args, model_id=MODEL), callback_handler=None, **more)


def text_of(result):
    return "".join(part.get("text", "") for part in result.message["content"])


def plain():
    raise Skip("it always streams")


def stream():
    same(text_of(agent(system_prompt="Be short.")(HELLO)), ECHO)


def tools():
    same(text_of(agent(tools=[weather])(ASK_WEATHER)), TOOL_ECHO)


def schema():
    true(
        isinstance(agent()("x", structured_output_model=Person).structured_output, Person),
        "a Person",
    )


def replay():
    one = agent(tools=[weather])
    same(text_of(one(ASK_WEATHER)), TOOL_ECHO)
    same(text_of(one(HELLO)), ECHO)


def errors():
    raises(ContextWindowOverflowException, lambda: agent()("demo:context"))


def abort():
    raise Skip("an agent has no way to leave")


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
