"""The columns of `build/servers.py`: each asks the relay something and checks what comes back.

A cell returns nothing when all was well. It raises `Wrong` when not, and `NotAsked` when a server cannot show it.
"""

from __future__ import annotations

import http.client
import json
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.fakes.openai_server import OpenAIServer

CHAT, RESPONSES, COMPLETIONS = "/v1/chat/completions", "/v1/responses", "/v1/completions"
ROUTES = (CHAT, RESPONSES, COMPLETIONS)
ANSWER_SECONDS = 120
TOKENS = {CHAT: "max_tokens", RESPONSES: "max_output_tokens", COMPLETIONS: "max_tokens"}
HELLO = "Say hello to Ada."
AGE = 'Ada is 7. JSON: {"age": 7}. How old is Ada?'
CODEX_SECONDS = 240
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Oslo", "Rome"]}},
    "required": ["city"],
    "additionalProperties": False,
}
SCHEMA = {
    "type": "object",
    "properties": {"age": {"type": "integer", "minimum": 1, "maximum": 99}},
    "required": ["age"],
    "additionalProperties": False,
}
TOOL = {"type": "function", "name": "weather", "parameters": PARAMETERS}


class Wrong(Exception):
    """An answer that is not what it has to be."""


class NotAsked(Exception):
    """The server cannot be brought to show this."""


@dataclass
class Row:
    """A server behind a relay: where the relay is, what model to name, and how the server is played with.

    `script` is the scripted server at the far end, if there is one. `kill` ends the server's process. `codex` is the
    program of the Codex CLI, in a folder that it may use.
    """

    port: int
    token: str
    model: str
    script: OpenAIServer | None
    kill: Callable[[], None] | None
    codex: Path | None = None


@dataclass(frozen=True)
class Answer:
    """One answer, read to its end; `broken` says that the connection ended before it."""

    status: int
    headers: dict[str, str]
    body: bytes
    broken: bool = False

    def json(self) -> Any:
        """Return the body of a 200 as JSON."""
        if self.status != 200:
            raise Wrong(f"status {self.status}: {self.body[:300].decode(errors='replace')}")
        return json.loads(self.body)

    def events(self) -> list[Any]:
        """Return the data of a stream's events; "[DONE]" stays a text."""
        if self.status != 200:
            self.json()
        lines = [one[5:].strip() for one in self.body.splitlines() if one.startswith(b"data:")]
        return [one.decode() if one == b"[DONE]" else json.loads(one) for one in lines]


@contextmanager
def opened(
    row: Row, path: str, body: dict[str, Any] | None
) -> Iterator[tuple[http.client.HTTPResponse, dict[str, str]]]:
    """Send a request; yield the answer once its head is there."""
    connection = http.client.HTTPConnection("127.0.0.1", row.port, timeout=ANSWER_SECONDS)
    with closing(connection):
        headers = {"Authorization": f"Bearer {row.token}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body)
        connection.request("GET" if body is None else "POST", path, data, headers)
        reply = connection.getresponse()
        yield reply, {name.lower(): value for name, value in reply.getheaders()}


def ask(row: Row, path: str, body: dict[str, Any] | None = None) -> Answer:
    """Send a request, a GET if it has no body; return the whole answer."""
    with opened(row, path, body) as (reply, headers):
        return read_rest(reply, headers, b"")


def read_rest(reply: http.client.HTTPResponse, headers: dict[str, str], first: bytes) -> Answer:
    """Return the answer with what is left to read, whole or broken off."""
    try:
        return Answer(reply.status, headers, first + reply.read())
    except http.client.IncompleteRead as cut:
        return Answer(reply.status, headers, first + cut.partial, True)
    except ConnectionError:
        return Answer(reply.status, headers, first, True)


def body_for(row: Row, path: str, prompt: str, tokens: int = 32, **more: Any) -> dict[str, Any]:
    """Return a request body of that route."""
    routes: dict[str, dict[str, Any]] = {
        CHAT: {"messages": [{"role": "user", "content": prompt}]},
        RESPONSES: {"input": prompt},
        COMPLETIONS: {"prompt": prompt},
    }
    return {"model": row.model, TOKENS[path]: tokens, "temperature": 0, **routes[path], **more}


def text_of(path: str, answer: Any) -> str:
    """Return the text of a whole answer."""
    if path == CHAT:
        return answer["choices"][0]["message"]["content"] or ""
    if path == COMPLETIONS:
        return answer["choices"][0]["text"] or ""
    parts = [part for item in answer["output"] for part in item.get("content") or ()]
    return "".join(part.get("text", "") for part in parts)


def true(found: object, wanted: str) -> None:
    """Raise unless `found` is true."""
    if not found:
        raise Wrong(f"expected {wanted}")


# ---- whole answers and streams


def whole(path: str) -> Callable[[Row], None]:
    """Return the cell that asks one route for a whole answer."""

    def cell(row: Row) -> None:
        answer = ask(row, path, body_for(row, path, HELLO)).json()
        true(text_of(path, answer).strip(), f"text in {json.dumps(answer)[:200]}")

    return cell


def stream(row: Row) -> None:
    """All three routes stream text and end as a stream of that route ends."""
    for path in ROUTES:
        answer = ask(row, path, body_for(row, path, HELLO, stream=True))
        events = answer.events()
        true(not answer.broken and events, f"a whole stream of {path}")
        true(streamed(path, events).strip(), f"text in the stream of {path}")
        true(ended(path, events), f"a complete end of {path}, not {answer.body[-200:]!r}")


def streamed(path: str, events: list[Any]) -> str:
    """Return the text that a stream carried."""
    if path == RESPONSES:
        return "".join(e["delta"] for e in events if e["type"] == "response.output_text.delta")
    choices = [c for e in events if isinstance(e, dict) for c in e.get("choices") or ()]
    if path == COMPLETIONS:
        return "".join(c.get("text") or "" for c in choices)
    return "".join(c["delta"].get("content") or "" for c in choices)


def ended(path: str, events: list[Any]) -> bool:
    """Whether the events end the way a success does."""
    if path == RESPONSES:
        return events[-1]["type"] in ("response.completed", "response.incomplete")
    choices = [c for e in events if isinstance(e, dict) for c in e.get("choices") or ()]
    return events[-1] == "[DONE]" and any(c.get("finish_reason") for c in choices)


# ---- tools and schema


def call(number: int, city: str) -> dict[str, Any]:
    """Return a call as a chat server sends it."""
    function = {"name": "weather", "arguments": json.dumps({"city": city})}
    return {"id": f"call_{number}", "type": "function", "function": function}


def loop(row: Row, prompt: str, more: int) -> int:
    """Have a tool called, give the outputs back, and check the answer; return how many calls there were."""
    asked = body_for(row, RESPONSES, prompt, 40 + more, tools=[TOOL], tool_choice="required")
    first = ask(row, RESPONSES, asked).json()
    if first["status"] == "incomplete":
        # A small model may go on calling up to its limit: the call that was cut is told, and is not made.
        first["output"].pop()
    calls = [item for item in first["output"] if item["type"] == "function_call"]
    true(calls, f"a call in {json.dumps(first['output'])[:300]}")
    for one in calls:
        true(one["name"] == "weather", f"a call of weather, not {one['name']}")
        true(json.loads(one["arguments"])["city"] in ("Oslo", "Rome"), f"a city in {one}")
    outputs = [
        {"type": "function_call_output", "call_id": one["call_id"], "output": "12 degrees"}
        for one in calls
    ]
    question = {"role": "user", "content": prompt}
    again = body_for(row, RESPONSES, "", input=[question, *first["output"], *outputs])
    second = ask(row, RESPONSES, again).json()
    true(text_of(RESPONSES, second).strip(), f"text in {json.dumps(second['output'])[:300]}")
    if row.script:
        sent = row.script.last("/chat/completions").json()["messages"]
        true(sum(m["role"] == "tool" for m in sent) == len(calls), f"every output in {sent}")
    return len(calls)


def tools(row: Row) -> None:
    """A call that is asked for comes, and its output leads to an answer."""
    if row.script:
        row.script.messages = [{"content": None, "tool_calls": [call(1, "Oslo")]}]
    loop(row, "The weather in Oslo", 24)


def parallel_tools(row: Row) -> None:
    """Two calls come in one answer. A real model may make only one, and then it is not asked for more."""
    if row.script:
        row.script.messages = [{"content": None, "tool_calls": [call(1, "Oslo"), call(2, "Rome")]}]
    count = loop(row, "The weather in Oslo. The weather in Rome", 88)
    if count < 2:
        if row.script:
            raise Wrong(f"{count} call of two")
        raise NotAsked("the model made one call")


def schema(row: Row) -> None:
    """An answer in a JSON schema is JSON of that schema, by Responses and by chat."""
    form = {"name": "person", "schema": SCHEMA, "strict": True}
    asked: dict[str, dict[str, Any]] = {
        RESPONSES: {"text": {"format": {"type": "json_schema", **form}}},
        CHAT: {"response_format": {"type": "json_schema", "json_schema": form}},
    }
    for path, more in asked.items():
        if row.script:
            row.script.messages = [{"content": '{"age": 7}'}]
        text = text_of(path, ask(row, path, body_for(row, path, AGE, 48, **more)).json())
        true(isinstance(json.loads(text)["age"], int), f"an age in {text!r}")
        if row.script:
            sent = row.script.last("/chat/completions").json()
            true("response_format" in sent, f"the schema at the server ({path})")


# ---- state, cut, overload


def state(row: Row) -> None:
    """A stored answer can be fetched and continued, and a conversation keeps its turns."""
    first = ask(row, RESPONSES, body_for(row, RESPONSES, "My name is Ada.", store=True)).json()
    got = ask(row, f"{RESPONSES}/{first['id']}").json()
    true(got["output"] == first["output"], "the same output from GET")
    more = body_for(row, RESPONSES, "What is my name?", previous_response_id=first["id"])
    true(text_of(RESPONSES, ask(row, RESPONSES, more).json()).strip(), "text from the second turn")
    remembered(row, "My name is Ada.")
    talk = ask(row, "/v1/conversations", {}).json()["id"]
    for prompt in ("I live in Oslo.", "Where do I live?"):
        turn = body_for(row, RESPONSES, prompt, conversation=talk)
        true(text_of(RESPONSES, ask(row, RESPONSES, turn).json()).strip(), "text from a turn")
    remembered(row, "I live in Oslo.")
    items = ask(row, f"/v1/conversations/{talk}/items?order=asc").json()["data"]
    roles = [item.get("role") for item in items if item["type"] == "message"]
    true(roles == ["user", "assistant"] * 2, f"two turns in the conversation, not {roles}")


def remembered(row: Row, words: str) -> None:
    """Check that the scripted server got what was said before."""
    if row.script:
        sent = row.script.last("/chat/completions").json()["messages"]
        true(words in json.dumps(sent), f"{words!r} in the next turn")


def cut(row: Row) -> None:
    """When the server goes in the middle of a stream, both routes end with an error. Ends the server's process."""
    prompt = "Count: " + " ".join(str(number) for number in range(1, 60))
    with_kill = row.kill is not None
    if row.script:
        row.script.gap_s = 0.1
        row.script.cut_after = None if with_kill else 12
    bodies = {path: body_for(row, path, prompt, 600, stream=True) for path in (CHAT, RESPONSES)}
    with (
        opened(row, CHAT, bodies[CHAT]) as (chat, chat_head),
        opened(row, RESPONSES, bodies[RESPONSES]) as (reply, reply_head),
    ):
        firsts = read_until(chat, b'"content"'), read_until(reply, b"output_text.delta")
        if row.kill:
            row.kill()
        answers = {
            CHAT: read_rest(chat, chat_head, firsts[0]),
            RESPONSES: read_rest(reply, reply_head, firsts[1]),
        }
    for path, answer in answers.items():
        true(is_failure(path, answer), f"an error at the end of {path}, not {answer.body[-300:]!r}")


def read_until(reply: http.client.HTTPResponse, mark: bytes) -> bytes:
    """Read a stream until `mark` has come."""
    found = b""
    while mark not in found:
        piece = reply.read1(65536)
        if not piece:
            raise Wrong(f"the stream ended before {mark!r}: {found[-300:]!r}")
        found += piece
    return found


def is_failure(path: str, answer: Answer) -> bool:
    """Whether a stream that began says that it failed, and does not end as a success does."""
    events = answer.events()
    if path == RESPONSES:
        kinds = {event["type"] for event in events}
        failed = bool(kinds & {"response.failed", "error"}) or answer.broken
        return failed and "response.completed" not in kinds
    choices = [c for e in events if isinstance(e, dict) for c in e.get("choices") or ()]
    failed = answer.broken or any(isinstance(e, dict) and "error" in e for e in events)
    return failed and not any(c.get("finish_reason") for c in choices)


def overload(row: Row) -> None:
    """A 429 and a 503 of the server reach the client with their Retry-After."""
    if not row.script:
        raise NotAsked("it cannot be provoked")
    row.script.fields = [("Retry-After", "7")]
    for status in (429, 503):
        error = {"error": {"message": "too busy", "type": "server_error", "code": "overloaded"}}
        refusal = (status, "application/json", json.dumps(error).encode())
        row.script.answers["/chat/completions"] = refusal
        for path in ROUTES:
            got = ask(row, path, body_for(row, path, HELLO))
            after = got.headers.get("retry-after")
            true(
                got.status == status, f"{status} from {path}, not {got.status}: {got.body[:200]!r}"
            )
            true(after == "7", f"Retry-After 7 with the {status} of {path}, not {after}")


# ---- the Codex CLI


def codex(row: Row) -> None:
    """The Codex CLI calls a tool and sends its output back; with a real model, it gets one turn answered."""
    if row.codex is None:
        raise NotAsked("needs node and npm")
    if row.script:
        arguments = json.dumps({"cmd": "echo hi-from-tool"})
        function = {"name": "exec_command", "arguments": arguments}
        one = {"id": "call_1", "type": "function", "function": function}
        row.script.messages = [{"content": None, "tool_calls": [one]}, {"content": "done"}]
    with tempfile.TemporaryDirectory(dir=row.codex.parent) as folder:
        events = run_codex(row, row.codex, Path(folder))
    items = [e["item"] for e in events if e["type"] == "item.completed"]
    said = [item["text"] for item in items if item["type"] == "agent_message"]
    true(said and said[-1].strip(), f"an answer in {json.dumps(events)[-300:]}")
    true(events[-1]["type"] == "turn.completed", f"a complete turn, not {events[-1]}")
    if row.script:
        true(said[-1] == "done", f"the answer after the tool, not {said[-1]!r}")
        outputs = [
            message["content"]
            for message in row.script.last("/chat/completions").json()["messages"]
            if message["role"] == "tool"
        ]
        true("hi-from-tool" in "".join(outputs), f"the output of the command in {outputs}")


def run_codex(row: Row, program: Path, folder: Path) -> list[Any]:
    """Run `codex exec` against the relay; return its events."""
    (folder / "config.toml").write_text(
        f'model = "{row.model}"\nmodel_provider = "relay"\n[model_providers.relay]\nname = "relay"\n'
        f'base_url = "http://127.0.0.1:{row.port}/v1"\nenv_key = "RELAY_TOKEN"\nwire_api = "responses"\n'
        "request_max_retries = 0\nstream_max_retries = 0\n"
    )
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "CODEX_HOME": str(folder)}
    env |= {"RELAY_TOKEN": row.token, "NO_PROXY": "127.0.0.1,localhost"}
    words = [str(program), "exec", "--skip-git-repo-check", "--json", "Say hello, or call a tool."]
    try:
        done = subprocess.run(
            words, env=env, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=CODEX_SECONDS,
        )  # fmt: skip
    except subprocess.TimeoutExpired as late:
        raise Wrong(f"no end within {CODEX_SECONDS} s") from late
    if done.returncode:
        raise Wrong(f"exit code {done.returncode}: {done.stdout[-300:]} {done.stderr[-200:]}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


# `Codex` is first: it asks a relay that has learned nothing yet. `cut` is last: it ends the server.
CELLS: dict[str, Callable[[Row], None]] = {
    "Codex": codex,
    "chat": whole(CHAT),
    "Responses": whole(RESPONSES),
    "completions": whole(COMPLETIONS),
    "tools": tools,
    "parallel tools": parallel_tools,
    "schema": schema,
    "stream": stream,
    "state": state,
    "overload": overload,
    "cut": cut,
}


def play(name: str, row: Row) -> str:
    """Play one cell; return "ok", "- (why)" or "FAIL: why"."""
    if row.script:
        row.script.messages, row.script.fields, row.script.gap_s = [], [], 0
        row.script.answers.clear()
    try:
        CELLS[name](row)
    except NotAsked as reason:
        return f"- ({reason})"
    except Wrong as problem:
        return f"FAIL: {problem}"
    except (OSError, ValueError, KeyError, LookupError, http.client.HTTPException) as problem:
        return f"FAIL: {type(problem).__name__}: {problem}"
    return "ok"
