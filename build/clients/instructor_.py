"""instructor: a model's answer as an object, in each of its modes for OpenAI."""

from __future__ import annotations

import instructor
import openai
from harness import *
from pydantic import BaseModel

MODES = ("TOOLS", "TOOLS_STRICT", "JSON_SCHEMA", "RESPONSES_TOOLS", "PARALLEL_TOOLS")


class Person(BaseModel):
    name: str
    age: int


def client(mode):
    one = openai.OpenAI(base_url=BASE_URL, api_key=TOKEN, max_retries=0)
    return instructor.from_openai(one, mode=getattr(instructor.Mode, mode))


def user(text):
    return [{"role": "user", "content": text}]


def skipped():
    raise Skip("it only makes objects")


def schema():
    for mode in MODES[:4]:
        found = client(mode).create(
            model=MODEL, messages=user("x"), response_model=Person, max_retries=1
        )
        true(isinstance(found, Person), f"a Person by {mode}")


def stream():
    for mode in MODES[:3]:
        parts = list(
            client(mode).create_partial(
                model=MODEL, messages=user("x"), response_model=Person, max_retries=1
            )
        )
        same(type(parts[-1].age), int)


def errors():
    for mode in MODES[:3]:
        raises(
            Exception,
            lambda m=mode: client(m).create(
                model=MODEL, messages=user(LIMITED), response_model=Person, max_retries=1
            ),
        )


run(
    {
        "plain": skipped,
        "stream": stream,
        "tools": skipped,
        "schema": schema,
        "replay": skipped,
        "errors": errors,
        "abort": skipped,
    }
)
