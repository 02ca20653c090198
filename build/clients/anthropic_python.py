"""The `anthropic` package for Python, of both major versions."""

from __future__ import annotations

import base64

import anthropic
import harness as h

ROOT = h.BASE_URL.removesuffix("/v1")
client = anthropic.Anthropic(base_url=ROOT, api_key=h.TOKEN, max_retries=0, timeout=30)
MODEL = h.MODEL
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER = {"name": "get_weather", "description": "Get the weather.", "input_schema": SCHEMA}
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
THINKING = {"type": "enabled", "budget_tokens": 2048}


def user(content):
    return {"role": "user", "content": content}


def create(content, **more):
    messages = content if isinstance(content, list) else [user(content)]
    asked = {"model": MODEL, "max_tokens": 4096, "messages": messages, **more}
    return client.messages.create(**asked)


def text_of(message):
    return "".join(block.text for block in message.content if block.type == "text")


def plain():
    message = create(h.HELLO, system="Be brief.")
    h.same(text_of(message), h.ECHO)
    h.same(message.stop_reason, "end_turn")
    h.true(message.usage.input_tokens > 0, "counts")
    h.true(message._request_id, "a request id")
    counted = client.messages.count_tokens(
        model=MODEL, messages=[user("foo")], tools=[WEATHER], system="s" * 400
    )
    h.true(counted.input_tokens > 110, "a count of system, tools and messages")
    models = [model.id for model in client.models.list(limit=1000)]
    h.true(models, "models")
    h.same(client.models.retrieve(models[-1]).id, models[-1])
    h.same(text_of(create(h.HELLO, stop_sequences=["hello"])), "You said: ")
    source = {"type": "base64", "media_type": "image/png", "data": PNG}
    seen = create([user([{"type": "image", "source": source}, {"type": "text", "text": "x"}])])
    h.true("image" in text_of(seen), "an answer about an image")
    data = base64.b64encode(b"%PDF-1.4\n").decode()
    source = {"type": "base64", "media_type": "application/pdf", "data": data}
    document = {"type": "document", "source": source, "title": "plan"}
    read = create([user([document, {"type": "text", "text": "x"}])])
    h.true("plan.pdf" in text_of(read), "an answer about a file")


def stream():
    asked = {"model": MODEL, "max_tokens": 4096, "messages": [user(h.HELLO)]}
    with client.messages.stream(**asked) as events:
        h.same("".join(events.text_stream), h.ECHO)
        final = events.get_final_message()
    h.same(text_of(final), h.ECHO)
    h.true(final.usage.input_tokens > 0, "counts at the end")
    kinds = [event.type for event in client.messages.create(**asked, stream=True)]
    h.same((kinds[0], kinds[-1]), ("message_start", "message_stop"))


def loop(ask):
    messages = [user(h.ASK_WEATHER)]
    while True:
        message = ask(messages)
        calls = [block for block in message.content if block.type == "tool_use"]
        messages.append({"role": "assistant", "content": message.content})
        if not calls:
            return message, messages
        h.same(message.stop_reason, "tool_use")
        results = [
            {"type": "tool_result", "tool_use_id": call.id, "content": h.get_weather(**call.input)}
            for call in calls
        ]
        messages.append(user(results))


def streamed(messages, **more):
    asked = {"model": MODEL, "max_tokens": 4096, "messages": messages, **more}
    with client.messages.stream(**asked) as events:
        return events.get_final_message()


def tools():
    for ask in (create, streamed):
        message, _ = loop(lambda messages, ask=ask: ask(messages, tools=[WEATHER]))
        h.same(text_of(message), h.TOOL_ECHO)
    chosen = create(
        h.ASK_WEATHER, tools=[WEATHER], tool_choice={"type": "tool", "name": "get_weather"}
    )
    h.same([block.type for block in chosen.content], ["tool_use"])


def schema():
    closed = {**SCHEMA, "additionalProperties": False}
    form = {"format": {"type": "json_schema", "schema": closed}}
    message = create("x", extra_body={"output_config": form})
    h.true('"city"' in text_of(message), "an answer of the schema")


def replay():
    for ask in (create, streamed):
        message, messages = loop(
            lambda messages, ask=ask: ask(messages, tools=[WEATHER], thinking=THINKING)
        )
        h.same(text_of(message), h.TOOL_ECHO)
        first = messages[1]["content"][0]
        h.same(first.type, "thinking")
        h.true(h.UPSTREAM == "chat-only" or first.signature, "a signature")
        again = ask([*messages, user(h.HELLO)], tools=[WEATHER], thinking=THINKING)
        h.same(text_of(again), h.ECHO)


def errors():
    h.raises(anthropic.RateLimitError, lambda: create(h.LIMITED))
    h.raises(anthropic.RateLimitError, lambda: streamed([user(h.LIMITED)]))
    h.raises(anthropic.BadRequestError, lambda: create([]))
    full = h.raises(anthropic.BadRequestError, lambda: create("please demo:context"))
    h.true("prompt is too long" in str(full), "the words for a full context")
    busy = h.raises(anthropic.APIStatusError, lambda: create("please demo:overload"))
    h.same(busy.status_code, 529)
    if h.UPSTREAM != "strict":  # the fake backend does not break off by itself
        h.raises(anthropic.APIError, lambda: streamed([user("demo:fail demo:words=9")]))
    stranger = anthropic.Anthropic(base_url=ROOT, api_key="wrong", max_retries=0)
    h.raises(anthropic.AuthenticationError, lambda: stranger.models.list())
    h.raises(anthropic.NotFoundError, lambda: client.get("/v1/messages/nothing", cast_to=object))


def abort():
    asked = {"model": MODEL, "max_tokens": 4096, "messages": [user(h.SLOW)]}
    with client.messages.stream(**asked) as events:
        for _ in events.text_stream:
            break
    h.ends_within()
    hasty = client.with_options(timeout=1)
    h.raises(anthropic.APITimeoutError, lambda: hasty.messages.create(**asked))
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
