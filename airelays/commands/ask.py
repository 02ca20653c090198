"""`ask`: one question, the answer as it comes: from the relay that runs, or from here. Layer: commands.

With --demo or --upstream no relay is needed: nothing is locked, listened on or kept.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from airelays import __version__
from airelays.errors import ConfigError, FlagError, RelayError
from airelays.hints import hint
from airelays.model import Call
from airelays.protocol.sse import Parser
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import access, find_relay, no_relay

MAX_INPUT_BYTES = 4 * 1024 * 1024
# An upstream can think for minutes before the first word.
HEAD_S = 600.0


def run(args: Arguments, console: Console) -> int:
    """Print the answer; exit 1 with the error's text when there is none, or not the whole."""
    context = find_context(args, console)
    question = _question(args.words)
    printer = Printer(console)
    if args.has("--demo") or args.has("--upstream"):
        work = _ask_upstream(context, console, question, args.get("--model"), printer)
    else:
        work = _ask_relay(args, context, question, printer)
    try:
        asyncio.run(work)
    except RelayError as error:
        printer.end_line()
        raise ConfigError(error.local) from error
    printer.end_line()
    if printer.problem:
        raise ConfigError(printer.problem)
    return 0


def _question(words: tuple[str, ...]) -> str:
    """Return the question: the words, followed by standard input. Raises FlagError if both are empty."""
    parts = [" ".join(word for word in words if word != "-").strip()]
    if "-" in words or (sys.stdin is not None and not sys.stdin.isatty()):
        parts.append(_standard_input())
    question = "\n\n".join(part for part in parts if part)
    if not question:
        raise FlagError(
            f'the question is missing; for example: {hint("ask")} "Why is the sky blue?"'
        )
    return question


def _standard_input() -> str:
    raw = sys.stdin.buffer.read(MAX_INPUT_BYTES + 1)
    if len(raw) > MAX_INPUT_BYTES:
        raise ConfigError(f"standard input has more than {MAX_INPUT_BYTES:,} bytes; send less")
    try:
        return raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise ConfigError("standard input is not UTF-8 text; send text only") from None


class Printer:
    """Takes a stream of Responses events and prints their text as it comes; `problem` is what went wrong."""

    def __init__(self, console: Console) -> None:
        self.problem = "the answer ended before it was complete"
        self._console = console
        self._parser = Parser()
        self._at_start = True

    def feed(self, data: bytes) -> None:
        """Take one read of the stream."""
        for event in self._parser.feed(data):
            if event.data != b"[DONE]":
                self._take(json.loads(event.data))

    def end_line(self) -> None:
        """End the line that the answer left open."""
        if not self._at_start:
            self._console.out.write("\n")
        self._at_start = True
        self._console.out.flush()

    def _take(self, event: dict[str, Any]) -> None:
        kind = event.get("type")
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._write(str(event.get("delta", "")))
        elif kind == "response.completed":
            self.problem = ""
        elif kind == "response.incomplete":
            why = (event["response"].get("incomplete_details") or {}).get("reason", "unknown")
            self.problem = f"the answer is not complete: {why}"
        elif kind == "response.failed":
            self.problem = _words(event["response"].get("error"))
        elif kind == "error":
            self.problem = _words(event.get("error") or event)

    def _write(self, text: str) -> None:
        if not text:
            return
        if self._console.terminal:
            # A terminal obeys control characters, and these come from outside.
            text = "\n".join(escaped(line.replace("\t", "    ")) for line in text.split("\n"))
        self._console.out.write(text)
        self._console.out.flush()
        self._at_start = text.endswith("\n")


def _words(error: Any) -> str:
    said = error.get("message") if isinstance(error, dict) else None
    return str(said or "the upstream failed without giving a reason")


def _body(model: str, question: str) -> dict[str, Any]:
    content = [{"type": "input_text", "text": question}]
    message = {"type": "message", "role": "user", "content": content}
    return {"model": model, "instructions": ".", "input": [message], "stream": True, "store": False}


async def _ask_upstream(
    context: Context, console: Console, question: str, model: str | None, printer: Printer
) -> None:
    """Ask the upstream of these settings from this process."""
    from airelays.upstream.choose import Upstreams

    upstreams = Upstreams(context.settings, console.note)
    try:
        asked = model or upstreams.default_model() or await _first_model(upstreams.main.models())
        target = (await upstreams.targets(asked))[0]
        answer = await target.upstream.respond(_body(target.model, question), Call("req_ask"))
        await answer.pump(printer.feed)
    finally:
        await upstreams.close()


async def _first_model(catalogue: Any) -> str:
    """Return the first model of a server. Raises ConfigError when it lists none."""
    for entry in await catalogue:
        if isinstance(entry.get("slug"), str):
            return str(entry["slug"])
    raise ConfigError("the server does not list any models; name one with -m MODEL")


async def _ask_relay(args: Arguments, context: Context, question: str, printer: Printer) -> None:
    from airelays.net.client import Client

    base, model, token = await asyncio.to_thread(_relay, args, context)
    client = Client([base], head_s=HEAD_S)
    own = (
        (b"content-type", b"application/json"),
        (b"user-agent", f"airelays/{__version__}".encode()),
    )
    fields = (*own, (b"authorization", b"Bearer " + token)) if token else own
    body = json.dumps(_body(model, question)).encode()
    try:
        response = await client.request(
            method="POST", url=f"{base}/responses", fields=fields, body=body
        )
        if response.status == 200:
            await response.pump(printer.feed)
            return
        raw = await response.read()
        printer.problem = _refused(response.status, raw)
    finally:
        await client.close()


def _relay(args: Arguments, context: Context) -> tuple[str, str, bytes]:
    """Return base URL, model and token for the relay that runs. Raises ConfigError."""
    contact = find_relay(args, context)
    if contact is None:
        raise ConfigError(
            f"{no_relay(context)}. To ask without a relay: {hint('ask --demo')} or {hint('ask --upstream URL')}"
        )
    found = access(context, contact)
    model = args.get("--model") or found.model
    if not model:
        listed = contact.ask("GET", "/models", within_s=60.0)["data"]
        if not listed:
            raise ConfigError("the relay does not list any models; name one with -m MODEL")
        model = str(listed[0]["id"])
    token = context.token.current()
    if found.needs_token and token is None:
        raise ConfigError(
            context.token.problem
            or f"the relay requires its token, and {context.token.path} does not contain one; name the file "
            f"with --bearer-token-file or set AIRELAYS_BEARER_TOKEN"
        )
    return found.base_url, model, (token or b"") if found.needs_token else b""


def _refused(status: int, raw: bytes) -> str:
    try:
        error = json.loads(raw)["error"]
    except (ValueError, KeyError, TypeError):
        return f"the relay answered with status {status}"
    return _words(error)
