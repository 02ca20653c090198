"""`config set`, `config edit`, `config show --all`, and the short file and the questions of `init`."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from airelays.errors import ConfigError
from airelays.settings.edit import set_in_text
from tests.commands.test_cli import read_screen
from tests.live import ROOT, plain, program


def run(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    found = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [*program(), *words], env=found, capture_output=True, text=True, timeout=60, check=False
    )
    assert "Traceback" not in done.stderr
    return plain(done)


def config(home: Path) -> Path:
    return home / ".config" / "airelays" / "config.toml"


# ---- the rule


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("", "[server]\nport = 9\n"),
        ("# mine\n", "# mine\n\n[server]\nport = 9\n"),
        ("[server]\nport = 1 # old\nhost = '::1'\n", "[server]\nport = 9\nhost = '::1'\n"),
        ("[server] # here\nhost = '::1'\n", "[server] # here\nport = 9\nhost = '::1'\n"),
        ("[a]\nport = 1\n[ server ]\n\n[b]\nport = 2\n", None),
        ('["server"]\n"port" = 1\n', '["server"]\nport = 9\n'),
        ("[server.sub]\nport = 1\n", None),
        ("server.host = 'x'\n", ConfigError),
        ("server = { port = 1 }\n", ConfigError),
        ("[server]\nx = '''\nport = 1\n'''\n", ConfigError),
        ("[[server]]\nport = 1\n", ConfigError),
        ("server = 1\n", ConfigError),
    ],
)
def test_a_value_is_set_and_nothing_else_changes(before: str, after: object) -> None:
    if after is ConfigError:
        with pytest.raises(ConfigError):
            set_in_text(before, "server.port", 9, "c.toml")
        return
    made = set_in_text(before, "server.port", 9, "c.toml")
    assert after is None or made == after
    tree = tomllib.loads(before)
    tree.setdefault("server", {})["port"] = 9
    assert tomllib.loads(made) == tree


# ---- the commands


def test_set_keeps_the_file_and_refuses_what_cannot_be_used(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "set", "server.port", "9090")
    assert done.returncode == 0 and str(config(tmp_path)) in done.stdout
    assert run(tmp_path, "config", "set", "security.allowed_hosts", "a.example,b").returncode == 0
    assert tomllib.loads(config(tmp_path).read_text()) == {
        "server": {"port": 9090},
        "security": {"allowed_hosts": ["a.example", "b"]},
    }
    before = config(tmp_path).read_bytes()
    for key, value, said in (
        ("server.port", "70000", "0 to 65,535"),
        ("server.prot", "1", "did you mean server.port?"),
        ("upstream.kind", "compatible", "upstream.base_url is not set"),
        ("upstream.headers", "x", "config edit"),
    ):
        done = run(tmp_path, "config", "set", key, value)
        assert done.returncode in (1, 2) and said in done.stderr, done.stderr
    assert run(tmp_path, "config", "set", "server.port").returncode == 2
    assert config(tmp_path).read_bytes() == before


def editor(home: Path, text: str) -> str:
    script = home / "ed.py"
    script.write_text(f"import sys; open(sys.argv[1], 'w').write({text!r})")
    return f"'{sys.executable}' '{script}'"


def test_edit_takes_over_what_can_be_used_and_keeps_what_cannot(tmp_path: Path) -> None:
    done = run(tmp_path, "config", "edit", EDITOR=editor(tmp_path, "[server]\nport = 1\n"))
    assert done.returncode == 0 and config(tmp_path).read_text() == "[server]\nport = 1\n"
    done = run(tmp_path, "config", "edit", EDITOR=editor(tmp_path, "[server]\nport = true\n"))
    assert done.returncode == 1 and "was not changed" in done.stderr
    assert config(tmp_path).read_text() == "[server]\nport = 1\n"
    kept = config(tmp_path).with_name("config.toml.edited")
    assert kept.read_text() == "[server]\nport = true\n"
    done = run(tmp_path, "config", "edit", EDITOR="true")
    assert (done.returncode, done.stdout) == (0, "nothing was changed\n")
    for bad, said in (("false", "exited with code 1"), ("no-such-editor", "could not be started")):
        done = run(tmp_path, "config", "edit", EDITOR=bad)
        assert done.returncode == 1 and said in done.stderr


def test_the_file_of_init_is_short_and_takes_any_example_at_its_end(tmp_path: Path) -> None:
    assert run(tmp_path, "init").returncode == 0
    text = config(tmp_path).read_text()
    assert len(text.splitlines()) < 8 and "config show --all" in text
    assert tomllib.loads(text + "[server]\nport = 1\n[upstream]\noffline = true\n")
    whole = run(tmp_path, "config", "show", "--all").stdout
    assert "# rate_limit_per_minute = 120" in whole and tomllib.loads(whole)


def test_init_with_an_upstream_asks_nothing_and_writes_it(tmp_path: Path) -> None:
    done = run(tmp_path, "init", "--upstream", "http://127.0.0.1:9/v1")
    assert done.returncode == 0
    assert tomllib.loads(config(tmp_path).read_text()) == {
        "upstream": {"kind": "compatible", "base_url": "http://127.0.0.1:9/v1"}
    }
    assert "login" not in done.stdout


@pytest.mark.parametrize(
    ("typed", "kind"),
    [
        (b"\n", None),
        (b"\x04", None),
        (b"\x03", None),
        (b"3\n", "demo"),
        (b"2\n\n", "http://127.0.0.1:11434/v1"),
        (b"http://127.0.0.1:7/v1\n", "http://127.0.0.1:7/v1"),
    ],
)
def test_init_on_a_terminal_asks_for_the_upstream(
    tmp_path: Path, typed: bytes, kind: str | None
) -> None:
    env = {"HOME": str(tmp_path), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    pid, screen = pty.fork()
    if pid == 0:
        os.execve(sys.executable, [sys.executable, "-m", "airelays", "init"], env)
    read_screen(screen, until="[1]")
    assert (tmp_path / ".airelays" / "relay-token").exists()
    os.write(screen, typed)
    read_screen(screen)
    os.close(screen)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    upstream = tomllib.loads(config(tmp_path).read_text()).get("upstream", {})
    assert upstream.get("base_url", upstream.get("kind")) == kind
