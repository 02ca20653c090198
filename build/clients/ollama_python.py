"""The `ollama` package for Python; its tool loop is also that of Home Assistant: messages of tools have no ids."""

from __future__ import annotations

import json

import harness as h
import ollama

ROOT = h.BASE_URL.removesuffix("/v1")
client = ollama.Client(ROOT, headers={"Authorization": f"Bearer {h.TOKEN}"}, timeout=30)
MODEL = f"{h.MODEL}:latest"
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
FUNCTION = {"name": "get_weather", "description": "Get the weather.", "parameters": SCHEMA}
TOOLS = [{"type": "function", "function": FUNCTION}]
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


def user(content, **more):
    return {"role": "user", "content": content, **more}


def whole(messages, **more):
    return client.chat(MODEL, messages, **more)


def streamed(messages, **more):
    """Return the last part of a stream, with the texts and calls of all of them."""
    text, calls, part = "", [], None
    for part in client.chat(MODEL, messages, stream=True, **more):
        text += part.message.content or ""
        calls += part.message.tool_calls or []
    part.message.content, part.message.tool_calls = text, calls
    return part


def plain():
    answer = whole([{"role": "system", "content": "Be brief."}, user(h.HELLO)])
    h.same(answer.message.content, h.ECHO)
    for count in (answer.prompt_eval_count, answer.eval_count, answer.eval_duration):
        h.true(count > 0, "counts")
    names = [one.model for one in client.list().models]
    h.true(names, "models")
    shown = client.show(names[0])
    h.true("tools" in shown.capabilities, "capabilities")
    h.true(shown.modelinfo["relay.context_length"] > 0, "a context length")
    h.same(client.generate(MODEL, h.HELLO).response, h.ECHO)
    h.same(client.pull(names[0]).status, "success")
    used = [one.model for one in client.ps().models]
    h.true(h.UPSTREAM != "strict" or MODEL in used, "a model that was used")
    h.same(client.generate(MODEL, keep_alive=0).done_reason, "unload")
    seen = whole([user("x", images=[PNG])])
    h.true("image" in seen.message.content, "an answer about an image")


def stream():
    last = streamed([user(h.HELLO)], options={"num_ctx": 8192, "num_predict": -1})
    h.same(last.message.content, h.ECHO)
    h.same((last.done, last.done_reason, last.model), (True, "stop", MODEL))
    pieces = list(client.generate(MODEL, h.HELLO, stream=True))
    h.same("".join(piece.response for piece in pieces), h.ECHO)


def loop(ask, **more):
    messages = [user(h.ASK_WEATHER)]
    while True:
        message = ask(messages, tools=TOOLS, **more).message
        messages.append(message)
        if not message.tool_calls:
            return message, messages
        for call in message.tool_calls:
            output = h.get_weather(**call.function.arguments)
            messages.append({"role": "tool", "content": output})


def tools():
    for ask in (whole, streamed):
        h.same(loop(ask)[0].content, h.TOOL_ECHO)


def schema():
    answer = whole([user("x")], format={**SCHEMA, "additionalProperties": False})
    h.true("city" in json.loads(answer.message.content), "an answer of the schema")


def replay():
    for ask in (whole, streamed):
        message, messages = loop(ask, think=True)
        h.same(message.content, h.TOOL_ECHO)
        h.same(ask([*messages, user(h.HELLO)], think="high").message.content, h.ECHO)
        h.same(ask([user(h.HELLO)], think=False).message.content, h.ECHO)


def errors():
    for ask in (whole, streamed):
        limited = h.raises(ollama.ResponseError, lambda ask=ask: ask([user(h.LIMITED)]))
        h.same(limited.status_code, 429)
    bad = h.raises(ollama.ResponseError, lambda: whole([user("x")], options={"num_predict": "x"}))
    h.true(bad.status_code == 400 and "num_predict" in bad.error, "the name of the option")
    h.same(h.raises(ollama.ResponseError, lambda: client.show("nothing")).status_code, 404)
    h.same(h.raises(ollama.ResponseError, lambda: client.copy("a", "b")).status_code, 501)
    if h.UPSTREAM != "strict":  # the fake backend does not break off by itself
        broken = [user("demo:fail demo:words=9")]
        h.same(h.raises(ollama.ResponseError, lambda: streamed(broken)).status_code, -1)
    stranger = ollama.Client(ROOT, headers={"Authorization": "Bearer wrong"})
    h.same(h.raises(ollama.ResponseError, stranger.list).status_code, 401)


def abort():
    for _ in client.chat(MODEL, [user(h.SLOW)], stream=True):
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
