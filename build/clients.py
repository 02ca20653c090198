"""Drive real client programs through a relay of this checkout: `python3 build/clients.py [CLIENT ...]`.

Each client gets a private environment (a venv, or an npm prefix) under the cache folder, installed from its registry
once. For each upstream a relay is started: against a fake ChatGPT backend that is as strict as the real one, against a
lenient one, or with the embedded demo. The client plays its cases, and a table says how they went. The exit code is 1
when a case failed. Nothing but the installation leaves this machine, and no token is in an argument list.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "build"))

from client_table import CLIENTS, UPSTREAMS, Client  # noqa: E402 - its folder is on the path only now

DRIVERS = ROOT / "build" / "clients"
PAGE = ROOT / "airelays" / "docs" / "clients.md"
CASES = ("plain", "stream", "tools", "schema", "replay", "errors", "abort")
MODEL = "gpt-5.5"
TOKEN = "test-of-clients-0123456789-abcdefghijkl"
# The launcher may have to make its environment first.
READY_SECONDS = 180
# The whole of one client's cases; a case has its own limit inside the driver.
DRIVER_SECONDS = 300
MARKS = ("<!-- table: made by build/clients.py --markdown -->", "<!-- end of the table -->")
RELAY = {
    "AIRELAYS_OLLAMA_ENABLED": "true",
    "AIRELAYS_RATE_LIMIT_PER_MINUTE": "1000000",
    "AIRELAYS_RATE_LIMIT_BURST": "100000",
    "AIRELAYS_FAILED_AUTH_MAX_ATTEMPTS": "100000",
}
# Clients must neither go around the relay nor report home.
QUIET = {
    "NO_PROXY": "127.0.0.1,localhost",
    "OPENAI_AGENTS_DISABLE_TRACING": "1",
    "LANGSMITH_TRACING": "false",
    "DO_NOT_TRACK": "1",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "PYTHONDONTWRITEBYTECODE": "1",
    "PYTHONWARNINGS": "ignore",
}


class Result(NamedTuple):
    """How one case went."""

    client: str
    version: str
    upstream: str
    case: str
    state: str
    why: str


def main(arguments: list[str] | None = None) -> int:
    """Play what was asked for; return the exit code."""
    options = parse(arguments)
    cache = Path(options.keep or ROOT / ".venv-clients").resolve()
    cache.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    upstreams = options.upstream or list(UPSTREAMS)
    for name in options.clients or list(CLIENTS):
        problem = install(CLIENTS[name], cache / name)
        if problem:
            say(f"{name}: {problem}")
            results.append(Result(name, "-", "-", "install", "skipped", problem))
            continue
        version = version_of(CLIENTS[name], cache / name)
        for upstream in options.upstream or CLIENTS[name].upstreams:
            found = play(name, version, upstream, cache, options.case)
            for one in found:
                say(f"{name} {version} {upstream} {one.case}: {one.state} {one.why}".rstrip())
            results += found
    if options.json:
        results = kept(Path(options.json), results)
        upstreams = [name for name in UPSTREAMS if any(r.upstream == name for r in results)]
    print(table(results, upstreams))
    if options.markdown:
        write_page(results, upstreams)
    return 1 if any(r.state == "failed" for r in results) else 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("clients", nargs="*", metavar="CLIENT", help=", ".join(CLIENTS))
    parser.add_argument(
        "--upstream", action="append", choices=UPSTREAMS, help="default: those of the client"
    )
    parser.add_argument("--case", action="append", choices=CASES, help="default: all")
    parser.add_argument("--keep", metavar="DIR", help="cache folder; default .venv-clients")
    parser.add_argument(
        "--json", metavar="FILE", help="keep results there; the table is of all in it"
    )
    parser.add_argument("--markdown", action="store_true", help=f"put the table into {PAGE.name}")
    options = parser.parse_args(arguments)
    unknown = [name for name in options.clients if name not in CLIENTS]
    if unknown:
        parser.error(f"unknown client {unknown[0]}; known are {', '.join(CLIENTS)}")
    return options


def kept(path: Path, fresh: list[Result]) -> list[Result]:
    """Put the `fresh` results into the file in place of older ones of the same cases; return all of them."""
    old = [Result(**one) for one in json.loads(path.read_text())] if path.is_file() else []
    played = {(r.client, r.upstream, r.case) for r in fresh}
    found = [r for r in old if (r.client, r.upstream, r.case) not in played] + fresh
    found.sort(key=lambda r: list(CLIENTS).index(r.client))
    path.write_text(json.dumps([r._asdict() for r in found], indent=1))
    return found


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


# ---- installation


def install(client: Client, folder: Path) -> str:
    """Install the client once; return "" or why it is not there."""
    mark = folder / ".installed"
    wanted = "\n".join(client.packages)
    if mark.is_file() and mark.read_text() == wanted:
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    if client.is_node:
        npm = shutil.which("npm")
        if npm is None:
            return "needs node and npm"
        steps = [
            [npm, "install", "--no-audit", "--no-fund", "--loglevel=error", "--prefix", str(folder)]
        ]
    else:
        steps = [[sys.executable, "-m", "venv", str(folder / "venv")]]
        steps.append([str(python_of(folder)), "-m", "pip", "install", "-q", "--prefer-binary"])
    steps[-1] += client.packages
    say(f"installing {' '.join(client.packages)}")
    for step in steps:
        try:
            done = subprocess.run(
                step, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=client.minutes * 60,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            return f"not installed after {client.minutes} minutes"
        if done.returncode:
            lines = (done.stderr or done.stdout).strip().splitlines() or ["no output"]
            return f"does not install: {lines[-1][:200]}"
    mark.write_text(wanted)
    return ""


def python_of(folder: Path) -> Path:
    """Return the interpreter of a client's venv."""
    return folder / "venv" / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def version_of(client: Client, folder: Path) -> str:
    """Return the version of the client's first package."""
    name = client.packages[0]
    if client.is_node:
        name = name[0] + name[1:].partition("@")[0]
        return str(
            json.loads((folder / "node_modules" / name / "package.json").read_text())["version"]
        )
    plain = re.split(r"[\[<>=]", name)[0]
    code = f"import importlib.metadata as m; print(m.version({plain!r}))"
    return subprocess.check_output([str(python_of(folder)), "-c", code], text=True).strip()


# ---- one client against one upstream


def play(
    name: str, version: str, upstream: str, cache: Path, cases: list[str] | None
) -> list[Result]:
    """Let the client play its cases; return how they went."""
    folder = cache / name
    work = Path(tempfile.mkdtemp(prefix="run-", dir=cache))
    try:
        return play_in(work, name, version, upstream, folder, cases)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def play_in(
    work: Path, name: str, version: str, upstream: str, folder: Path, cases: list[str] | None
) -> list[Result]:
    """The same, in a folder of its own."""
    client = CLIENTS[name]
    (work / "home").mkdir()
    (work / "relay").mkdir()
    with relay_for(upstream, work / "relay") as url:
        variables = {
            **{key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ},
            **QUIET,
            "HOME": str(work / "home"),
            "BASE_URL": url,
            "TOKEN": TOKEN,
            "MODEL": MODEL,
            "UPSTREAM": upstream,
            "PROGRAMS": str(folder / ("node_modules/.bin" if client.is_node else "venv/bin")),
            "CASES": ",".join(cases or ()),
            "TRACE": os.environ.get("TRACE", ""),
        }
        lines, problem = drive(client, folder, work, variables)
    found = [Result(name, version, upstream, *line.split("\t")[1:4]) for line in lines]
    if problem:
        found.append(Result(name, version, upstream, "driver", "failed", problem))
    return found


def drive(
    client: Client, folder: Path, work: Path, variables: dict[str, str]
) -> tuple[list[str], str]:
    """Run the driver; return its lines of cases, and what went wrong with the driver itself."""
    driver = DRIVERS / client.driver
    if client.driver.endswith(".mjs"):
        # Node finds packages from where the file is, so the drivers are copied beside them.
        for one in (driver, DRIVERS / "harness.mjs"):
            shutil.copy(one, folder / one.name)
        words = ["node", str(folder / driver.name)]
    else:
        words = [sys.executable if client.is_node else str(python_of(folder)), str(driver)]
    try:
        done = subprocess.run(
            words, cwd=work / "home", env=variables, stdin=subprocess.DEVNULL, capture_output=True,
            text=True, timeout=DRIVER_SECONDS,
        )  # fmt: skip
        out, err, problem = done.stdout, done.stderr, ""
        if done.returncode:
            problem = f"exit code {done.returncode}: {' '.join(err.split())[-300:]}"
    except subprocess.TimeoutExpired as late:
        out, err = ((text or b"").decode() for text in (late.stdout, late.stderr))
        problem = f"no end within {DRIVER_SECONDS} s"
    if variables["TRACE"]:
        say(err)
    lines = [line for line in out.splitlines() if line.startswith("CASE\t")]
    if not lines and not problem:
        problem = f"played no case: {' '.join(err.split())[-300:]}"
    return lines, problem


@contextmanager
def relay_for(upstream: str, home: Path) -> Iterator[str]:
    """Run a relay for that upstream, and the fake backend where it needs one; yield the base URL."""
    data = home / ".airelays"
    data.mkdir(mode=0o700)
    variables = {
        **{key: os.environ[key] for key in ("PATH", "LANG", "TMPDIR") if key in os.environ},
        **RELAY,
        "HOME": str(home),
        "PYTHONDONTWRITEBYTECODE": "1",
        "AIRELAYS_BEARER_TOKEN": TOKEN,
    }
    running: list[subprocess.Popen[Any]] = []
    stack = ExitStack()
    try:
        if upstream == "demo":
            flags = ["--demo"]
        elif upstream == "chat-only":
            flags = []
            variables["AIRELAYS_UPSTREAM_KIND"] = "compatible"
            variables["AIRELAYS_UPSTREAM_BASE_URL"] = stack.enter_context(chat_only(home))
        else:
            flags = []
            words = [
                sys.executable,
                "-m",
                "tests.fakes.backend",
                "--play",
                "plan",
                "--write-auth",
                str(data),
            ]
            words += ["--lenient"] if upstream == "lenient" else []
            fake = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
            running.append(fake)
            facts = json.loads(fake.stdout.readline() if fake.stdout else "{}")
            variables["AIRELAYS_UPSTREAM_BASE_URL"] = facts["base_url"]
            variables["AIRELAYS_ISSUER_BASE_URL"] = facts["issuer_url"]
        ready = home / "ready.json"
        words = [
            sys.executable,
            str(ROOT / "airelays.py"),
            "serve",
            "--port",
            "0",
            "--ready-file",
            str(ready),
            *flags,
        ]
        log = (home / "relay.log").open("wb")
        with log:
            relay = subprocess.Popen(
                words, cwd=home, env=variables, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        running.append(relay)
        yield f"http://127.0.0.1:{wait_ready(relay, ready)['port']}/v1"
    finally:
        for process in reversed(running):
            process.terminate()
            process.wait(20)
        stack.close()


@contextmanager
def chat_only(home: Path) -> Iterator[str]:
    """Run a demo relay, and in front of it a server that passes on chat only; yield the server's base URL."""
    inner = home / "inner"
    inner.mkdir()
    with relay_for("demo", inner) as url:
        words = [sys.executable, "-m", "tests.fakes.chat_only", "--behind", url.removesuffix("/v1")]
        words += ["--token", TOKEN]
        server = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        try:
            facts = json.loads(server.stdout.readline() if server.stdout else "{}")
            yield str(facts["base_url"])
        finally:
            server.terminate()
            server.wait(20)


def wait_ready(relay: subprocess.Popen[bytes], ready: Path) -> dict[str, Any]:
    """Return what the relay's ready file says."""
    end_s = time.monotonic() + READY_SECONDS
    while time.monotonic() < end_s and relay.poll() is None:
        if ready.exists():
            facts: dict[str, Any] = json.loads(ready.read_text())
            return facts
        time.sleep(0.02)
    log = ready.with_name("relay.log").read_text()
    raise SystemExit(f"the relay did not start: {log[-500:]}")


# ---- tables


def cell(results: list[Result], client: str, case: str, upstreams: list[str]) -> str:
    """Return one word for a case over all upstreams."""
    found = {r.upstream: r.state for r in results if (r.client, r.case) == (client, case)}
    states = set(found.values())
    if not states:
        return "-"
    own = [name for name in CLIENTS[client].upstreams if name in upstreams]
    if len(states) == 1 and len(found) == len(own):
        return states.pop()
    return " ".join(f"{name}:{found.get(name, '-')}" for name in own)


def rows(results: list[Result], upstreams: list[str]) -> list[list[str]]:
    """Return the table's lines: client, version, and a word a case."""
    made = [["client", "version", *CASES]]
    for name in dict.fromkeys(r.client for r in results):
        mine = [r for r in results if r.client == name]
        line = [CLIENTS[name].title, mine[0].version]
        line += [cell(results, name, case, upstreams) for case in CASES]
        for one in mine:
            if one.case not in CASES:
                line[2] = f"{one.state} ({one.case}: {one.why})"
        made.append(line)
    return made


def table(results: list[Result], upstreams: list[str]) -> str:
    """Return the table for a terminal."""
    lines = rows(results, upstreams)
    widths = [max(len(line[at]) for line in lines) for at in range(len(lines[0]))]
    texts = [
        "  ".join(t.ljust(w) for t, w in zip(line, widths, strict=True)).rstrip() for line in lines
    ]
    counts = {
        state: sum(r.state == state for r in results) for state in ("ok", "failed", "skipped")
    }
    summary = ", ".join(f"{count} {state}" for state, count in counts.items())
    return "\n".join([*texts, f"{summary}; upstreams: {', '.join(upstreams)}"])


def write_page(results: list[Result], upstreams: list[str]) -> None:
    """Put the table between its marks in the page."""
    lines = rows(results, upstreams)
    lines.insert(1, ["---"] * len(lines[0]))
    made = "\n".join("| " + " | ".join(t.replace("|", "/") for t in line) + " |" for line in lines)
    head, mark, rest = PAGE.read_text().partition(MARKS[0])
    if not mark:
        raise SystemExit(f"{PAGE} has no place for the table: {MARKS[0]}")
    tail = rest.partition(MARKS[1])[2]
    PAGE.write_text(f"{head}{MARKS[0]}\n\n{made}\n\n{MARKS[1]}{tail}")


if __name__ == "__main__":
    raise SystemExit(main())
