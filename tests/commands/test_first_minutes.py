"""The first minutes: offers at a terminal, what is said before a request fails, hints that can be pasted."""

from __future__ import annotations

import ast
import json
import os
import pty
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from airelays.commands.table import COMMANDS
from airelays.hints import hint, know_start, quoted
from airelays.terminal.start import started_as
from tests.commands.test_cli import read_screen
from tests.live import DEADLINE_S, ROOT, TOKEN, running, start, wait_ready


def variables(home: Path, **more: str) -> dict[str, str]:
    return {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **more}


@pytest.mark.parametrize(("typed", "made"), [(b"\n", True), (b"y\n", True), (b"n\n", False)])
def test_serve_on_a_terminal_offers_to_make_the_token(
    tmp_path: Path, typed: bytes, made: bool
) -> None:
    pid, screen = pty.fork()
    if pid == 0:
        words = [sys.executable, "-m", "airelays", "serve", "--port", "0"]
        os.execve(sys.executable, words, variables(tmp_path))
    read_screen(screen, until="Create one? [Y/n]")
    os.write(screen, typed)
    said = read_screen(screen, until="Try It" if made else "there is no relay token")
    if made:
        assert "requests will fail: no ChatGPT sign-in is stored" in said
        os.kill(pid, signal.SIGTERM)
    read_screen(screen)
    os.close(screen)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    assert (code == 0) is made
    assert (tmp_path / ".airelays" / "relay-token").exists() is made


def test_a_missing_sign_in_is_said_at_the_start_and_when_the_first_request_fails(
    tmp_path: Path,
) -> None:
    with running(tmp_path, demo=False) as relay:
        body = {"model": "gpt-5.5", "messages": [{"role": "user", "content": "x"}]}
        for _ in range(3):
            assert relay.send("POST", "/v1/chat/completions", body).status == 503
        relay.process.terminate()
        said = relay.process.communicate(timeout=DEADLINE_S)[1]
    assert said.count("requests will fail: no ChatGPT sign-in is stored") == 1
    assert said.count("requests fail: no ChatGPT sign-in is stored") == 1


def test_serve_with_an_upstream_makes_its_token_and_needs_no_config(tmp_path: Path) -> None:
    flags = ("--upstream", "http://127.0.0.1:9/v1", "--upstream-key-env", "KEY")
    process, ready = start(tmp_path, *flags, token=None, env={"KEY": "k"}, demo=False)
    wait_ready(process, ready)
    assert (tmp_path / ".airelays" / "relay-token").exists()
    process.terminate()
    process.communicate(timeout=DEADLINE_S)


def test_a_key_of_another_server_is_not_sent_to_the_one_of_the_flag(tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text(
        '[upstream]\nkind = "compatible"\nbase_url = "http://127.0.0.1:1/v1"\napi_key_env = "OTHER"\n'
    )
    words = [sys.executable, "-m", "airelays", "serve", "--port", "0", "--config", str(config)]
    with running(
        tmp_path, "--config", str(config), "--upstream", "http://127.0.0.1:9/v1", demo=False
    ):
        done = subprocess.run(
            [*words[:3], "status", "--json"],
            env=variables(tmp_path, AIRELAYS_BEARER_TOKEN=TOKEN),
            capture_output=True,
            text=True,
            timeout=60,
        )
        told = json.loads(done.stdout)
        assert "OTHER" not in done.stdout and "compatible" in told["running"]["upstreams"]


def test_login_on_an_upstream_without_a_sign_in_connects_nowhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "airelays", "login", "--json"],
        env=variables(
            tmp_path,
            AIRELAYS_UPSTREAM_KIND="compatible",
            AIRELAYS_UPSTREAM_BASE_URL="http://127.0.0.1:9/v1",
            AIRELAYS_ISSUER_BASE_URL="http://127.0.0.1:1",
        ),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["needs_sign_in"] is False


def test_a_taken_port_offers_the_next_one_by_name(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        other = tmp_path / "other"
        other.mkdir()
        process, _ = start(other, "--port", str(relay.port))
        said = process.communicate(timeout=DEADLINE_S)[1]
    assert process.returncode == 1
    assert f"serve --port {relay.port + 1}" in said


# ---- hints


@pytest.mark.parametrize(
    ("argv", "orig", "path", "said"),
    [
        (["airelays.py", "x"], ["python3", "airelays.py", "x"], "", "python3 airelays.py"),
        (["/o/airelays/__main__.py"], ["py", "-m", "airelays"], "", "py -m airelays"),
        (["a b/airelays.py"], ["py", "-I", "a b/airelays.py"], "", "py -I 'a b/airelays.py'"),
        (["./airelays", "x"], ["./airelays", "x"], "", "./airelays"),
        (["/b/airelays", "x"], ["/b/python", "/b/airelays", "x"], "", "/b/airelays"),
        (["airelays", "x"], ["airelays", "x"], "", "airelays"),
    ],
)
def test_the_program_is_named_as_it_was_started(
    argv: list[str], orig: list[str], path: str, said: str
) -> None:
    assert started_as(argv, orig, {"PATH": path}) == said


def test_a_program_on_the_path_is_named_by_its_word(tmp_path: Path) -> None:
    program = tmp_path / "airelays"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert (
        started_as([str(program)], ["python", str(program)], {"PATH": str(tmp_path)}) == "airelays"
    )
    env = {"AIRELAYS_STARTED_AS": "python3\nmy tools/airelays.py"}
    assert started_as(["x.py"], ["x", "x.py"], env) == "python3 'my tools/airelays.py'"
    assert env == {}


def test_flags_that_say_which_relay_is_meant_are_in_every_hint() -> None:
    try:
        know_start("./airelays", f"--config {quoted('a b.toml')}")
        assert hint("login") == "./airelays login --config 'a b.toml'"
    finally:
        know_start("airelays")


# Texts that are not printed as a hint: help (made into the manual too), files and pages that outlive this process.
FIXED = {
    "commands/table.py", "commands/manpage.py", "commands/completion.py", "commands/service/files.py",
    "commands/release_keys.py", "commands/migrate/retired.py", "commands/connect/command.py",
    "dialects/parameters.py", "guard/gate.py", "settings/write.py",
}  # fmt: skip


def test_no_text_names_a_command_of_a_program_that_may_be_called_otherwise() -> None:
    names = "|".join(sorted({command.name.partition(" ")[0] for command in COMMANDS}))
    pattern = re.compile(rf"\bairelays ({names})\b")
    found = []
    for path in sorted((ROOT / "airelays").rglob("*.py")):
        name = str(path.relative_to(ROOT / "airelays"))
        if name in FIXED:
            continue
        tree = ast.parse(path.read_text(encoding="utf-8"))
        documents = {
            id(node.body[0].value)
            for node in ast.walk(tree)
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
            and node.body
            and isinstance(node.body[0], ast.Expr)
        }
        for node in ast.walk(tree):
            if not isinstance(node, ast.Constant) or id(node) in documents:
                continue
            if isinstance(node.value, str) and pattern.search(node.value):
                found.append(f"{name}:{node.lineno}")
    assert found == []


def test_somebody_on_the_network_is_not_told_where_the_program_is(tmp_path: Path) -> None:
    for host, said in (("127.0.0.1", f"({sys.executable} -m airelays "), ("0.0.0.0", "(airelays ")):
        with running(tmp_path, "--host", host) as relay:
            message = relay.send("GET", "/v1/models", token="wrong").error["message"]
            assert said + "token show" in message
            page = relay.send("GET", "/", token=None).body.decode()
            assert (str(Path(sys.executable).parent) in page) is (host == "127.0.0.1")
