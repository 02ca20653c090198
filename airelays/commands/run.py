"""`run -- COMMAND`: a command with a temporary key, and a line about what it used. Layer: commands.

With a running relay, the key is a lease of the control connection; otherwise, this process runs a relay. The key is
in the command's environment only. The command shares the terminal and its signals, and we never kill it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from airelays.commands.key import key_from_flags
from airelays.credentials.keys import encoded
from airelays.errors import FlagError
from airelays.guard.keys import Key, Secret, digest_of, make_key
from airelays.hints import hint
from airelays.host.contact import find
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context

NOT_FOUND, NOT_EXECUTABLE = 127, 126
# Of the same services: with one of these a program would go elsewhere, or send a key that is not the relay's.
REMOVED = (
    "OPENAI_API_BASE", "OPENAI_ORG_ID", "OPENAI_ORGANIZATION", "OPENAI_PROJECT", "OPENAI_PROJECT_ID",
    "AZURE_OPENAI_API_KEY", "AZURE_OPENAI_ENDPOINT", "CODEX_API_KEY", "ANTHROPIC_API_KEY",
    "ANTHROPIC_BEDROCK_BASE_URL", "ANTHROPIC_VERTEX_BASE_URL", "CLAUDE_CODE_USE_BEDROCK",
    "CLAUDE_CODE_USE_VERTEX", "CLAUDE_CODE_OAUTH_TOKEN", "OLLAMA_API_KEY", "OLLAMA_API_BASE",
    "AIRELAYS_BEARER_TOKEN", "AIRELAY_BEARER_TOKEN", "OPENAI_ENDPOINT_BEARER_TOKEN", "AIRELAYS_TOKEN",
)  # fmt: skip
# What programs need in addition to the variables, after their own name: Codex reads no address from its environment.
ARGUMENTS = {
    "codex": (
        "-c", 'model_providers.airelays={{name="AIRelays",base_url="{base_url}",env_key="OPENAI_API_KEY",'
        'wire_api="responses"}}',
        "-c", 'model_provider="airelays"',
    ),
}  # fmt: skip
LOOPBACK = ("127.0.0.1", "localhost", "::1")
Facts = dict[str, Any]


def run(args: Arguments, console: Console) -> int:
    """Run the command; return its exit code, 128 + n for signal n, 127 if the command does not exist."""
    if not args.words:
        raise FlagError(
            f'the command is missing; for example: {hint("run")} -- codex exec "Say hello"'
        )
    context = find_context(args, console)
    from airelays.commands.holding import Inside, Lease

    text = make_key(os.urandom(32))
    key = _new_key(args, text)
    inside = args.has("--demo") or args.has("--upstream")
    contact = None if inside else find(context.settings.data_dir)
    relay = (
        Inside(context, key, console)
        if contact is None
        else Lease(context.settings.data_dir, contact, encoded((key,)), key.id, console)
    )
    with contextlib.ExitStack() as cleanup:
        base_url = relay.open()
        cleanup.callback(relay.close)
        words = words_of(args.words, base_url)
        code = _run_command(words, child_env(os.environ, base_url, text), console)
        facts = relay.facts()
    if facts is not None:
        console.note(summary(facts))
    return code


def _new_key(args: Arguments, text: str) -> Key:
    import time

    key = key_from_flags(args, "run", time.time())
    return key._replace(secrets=(Secret(digest_of(text.encode())),))


def child_env(env: Mapping[str, str], base_url: str, key: str) -> dict[str, str]:
    """Return the environment of the command: `env` without what competes, with the relay and the key."""
    removed = {*REMOVED, "LD_LIBRARY_PATH_ORIG"}
    found = {k: v for k, v in env.items() if k not in removed and not k.startswith("_MEIPASS")}
    if getattr(sys, "frozen", False):
        # The loader of the frozen program has put its own libraries in front.
        found.pop("LD_LIBRARY_PATH", None)
        if "LD_LIBRARY_PATH_ORIG" in env:
            found["LD_LIBRARY_PATH"] = env["LD_LIBRARY_PATH_ORIG"]
    root = base_url.removesuffix("/v1")
    found |= {
        "OPENAI_BASE_URL": base_url,
        "OPENAI_API_KEY": key,
        "ANTHROPIC_BASE_URL": root,
        "ANTHROPIC_AUTH_TOKEN": key,
        "OLLAMA_HOST": root,
    }
    for name in ("NO_PROXY", "no_proxy"):
        before = [part for part in env.get(name, "").split(",") if part.strip()]
        found[name] = ",".join([*before, *(h for h in LOOPBACK if h not in before)])
    return found


def words_of(words: Sequence[str], base_url: str) -> list[str]:
    """Return the command, with what its program needs to find the relay; no secret is among that."""
    name = os.path.basename(words[0]).lower().removesuffix(".exe").removesuffix(".cmd")
    more = [text.format(base_url=base_url) for text in ARGUMENTS.get(name, ())]
    return [words[0], *more, *words[1:]]


def _run_command(words: list[str], env: dict[str, str], console: Console) -> int:
    import shutil

    program = shutil.which(words[0], path=env.get("PATH"))
    try:
        child = subprocess.Popen([program or words[0], *words[1:]], env=env)
    except FileNotFoundError:
        console.note(f"the command {words[0][:200]!r} was not found; check its name and PATH")
        return NOT_FOUND
    except OSError as error:
        console.note(f"{words[0][:200]} cannot be run: {error.strerror}")
        return NOT_EXECUTABLE
    with _signals_for(child):
        code = child.wait()
    return 128 - code if code < 0 else code


@contextlib.contextmanager
def _signals_for(child: subprocess.Popen[bytes]) -> Any:
    """Leave what the terminal sends to the command, which gets it too; pass on what only we get."""

    def ignore(number: int, frame: object) -> None:
        pass

    def pass_on(number: int, frame: object) -> None:
        with contextlib.suppress(OSError):
            child.send_signal(number)

    wanted: dict[str, Callable[[int, object], None]] = {
        "SIGINT": ignore, "SIGQUIT": ignore, "SIGBREAK": ignore, "SIGTERM": pass_on, "SIGHUP": pass_on,
    }  # fmt: skip
    before = {}
    for name, handler in wanted.items():
        number = getattr(signal, name, None)
        if number is not None:
            before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, handler_before in before.items():
            signal.signal(number, handler_before)


def summary(facts: Facts) -> str:
    """Return the line on what was used."""
    count, failed = facts["requests"], facts["failed"]
    parts = [f"{count:,} {'request' if count == 1 else 'requests'}"]
    if count:
        parts.append(f"{facts['input_tokens']:,} tokens in, {facts['output_tokens']:,} out")
    if facts["cache_hit_rate"] is not None:
        parts.append(f"{facts['cache_hit_rate']:.0%} of the input cached")
    if facts["first_token_seconds"] is not None:
        parts.append(f"first token after {facts['first_token_seconds']['mean']:.2f} s")
    if failed:
        causes = ", ".join(f"{n} {name}" for name, n in facts["failures"].items())
        parts.append(f"{failed:,} failed ({causes})")
    return "; ".join(parts)
