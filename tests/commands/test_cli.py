"""The command line as a user meets it: a process, its output, its exit code."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from airelays import __version__
from airelays.app.pages import PAGES, page_text, page_title
from airelays.cli import main
from airelays.commands.migrate.retired import retire
from airelays.commands.table import COMMANDS
from airelays.settings.table import OPTIONS
from airelays.terminal.console import Console, escaped
from airelays.terminal.line import UsageError, flags_of, help_for, parse
from tests.live import TOKEN, plain

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 20.0


class User:
    """Somebody with a home folder of their own who types commands."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.config = home / ".config" / "airelays" / "config.toml"
        self.token_file = home / ".airelays" / "relay-token"
        self.environment: dict[str, str] = {}
        self.first_line = ""

    def env(self, extra: dict[str, str] | None = None) -> dict[str, str]:
        return {
            "HOME": str(self.home),
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            **(extra or {}),
        }

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "airelays", *words]

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        return plain(
            subprocess.run(
                self.command(*words),
                cwd=self.home,
                env=self.env(env),
                capture_output=True,
                text=True,
                stdin=subprocess.DEVNULL,
                timeout=DEADLINE_S,
            )
        )

    def out(self, *words: str, **env: str) -> str:
        done = self.run(*words, **env)
        assert (done.returncode, done.stderr) == (0, ""), done.stderr
        return done.stdout

    def json(self, *words: str, **env: str) -> dict[str, object]:
        found = json.loads(self.out(*words, "--json", **env))
        assert isinstance(found, dict)
        return found

    def refused(self, *words: str, code: int = 1, **env: str) -> str:
        done = self.run(*words, **env)
        assert (done.returncode, done.stdout) == (code, ""), done
        return done.stderr

    def on_terminal(self, *words: str, **env: str) -> str:
        """Run a command on a pseudo-terminal and return all that it printed."""
        pid, screen = pty.fork()
        if pid == 0:
            os.chdir(self.home)
            os.execve(sys.executable, self.command(*words), self.env({"TERM": "xterm", **env}))
        shown = read_screen(screen)
        os.close(screen)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0, shown
        return shown


def read_screen(screen: int, until: str = "") -> str:
    """Read a pseudo-terminal until its program ends, or until `until` was seen."""
    shown, deadline = b"", time.monotonic() + DEADLINE_S
    while not until or until.encode() not in shown:
        left_s = deadline - time.monotonic()
        assert left_s > 0 and select.select([screen], [], [], left_s)[0], shown
        try:
            piece = os.read(screen, 65536)
        except OSError:  # Linux says EIO when the other side has gone
            break
        if not piece:
            break
        shown += piece
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture
def user(tmp_path: Path) -> User:
    home = tmp_path / "home"
    home.mkdir()
    return User(home)


# Finding the command


def test_the_version_is_said_without_loading_the_program(user: User) -> None:
    assert user.out("--version") == f"airelays {__version__}\n"
    script = (
        "import sys, airelays.cli as c; c.main(['--version']); "
        "print([m for m in sys.modules if m.startswith('airelays')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout == f"airelays {__version__}\n['airelays', 'airelays.cli']\n"


def test_a_command_loads_only_its_own_modules(user: User) -> None:
    script = (
        "import sys, airelays.cli as c; c.main(['config', 'path']); "
        "print(sorted(m for m in sys.modules if m.startswith(('airelays.commands.', 'airelays.terminal.'))), "
        "[m for m in ('asyncio', 'ssl', 'sqlite3', 'argparse', 'tomllib', 'logging') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env=user.env(), capture_output=True, text=True, check=True
    )
    shared = [
        f"airelays.terminal.{name}"
        for name in ("arguments", "console", "context", "layout", "line", "start")
    ]
    expected = [
        *(
            f"airelays.commands.{name}"
            for name in ("config", "programs", "requests", "services", "table")
        ),
        *shared,
    ]
    assert done.stdout.splitlines()[1] == f"{expected} []"


def test_no_command_is_usage(user: User) -> None:
    sentence = user.refused(code=2)
    assert sentence.startswith("airelays: no command given\nUsage: airelays COMMAND [FLAGS]\n")


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["tokn"], "there is no command 'tokn'; did you mean token?"),
        (["zzzzzz"], "there is no command 'zzzzzz'"),
        (["token"], "`airelays token` must be followed by one of: show, rotate"),
        (
            ["token", "sow"],
            "`airelays token` must be followed by one of: show, rotate; did you mean show?",
        ),
        (["serve", "--prot", "1"], "there is no flag --prot; did you mean --port?"),
        (["serve", "--zzzzzz"], "there is no flag --zzzzzz"),
        (["serve", "--port"], "--port needs a value: --port NUMBER"),
        (["serve", "--host", "--port"], "--host needs a value: --host HOST"),
        (["serve", "--no-auth=1"], "--no-auth does not take a value"),
        (["serve", "now"], "`airelays serve` does not take the argument 'now'"),
        (
            ["token", "show", "--port", "1"],
            "`airelays token show` does not take --port; it belongs to serve, init, service install, service print",
        ),
        (["docs", "a", "b"], "`airelays docs` does not take the argument 'b'"),
        (["serve", "--", "--port"], "`airelays serve` does not take the argument '--port'"),
    ],
)
def test_a_wrong_command_line_is_one_sentence_and_a_hint(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value) == sentence
    assert caught.value.usage(80).endswith("\n")


def test_usage_errors_go_to_stderr_with_code_2(user: User) -> None:
    assert user.refused("serve", "--prot", code=2) == (
        "airelays: there is no flag --prot; did you mean --port?\n"
        "Run `airelays --help` for the commands.\n"
    )


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["serve", "--jso"], "there is no flag --jso"),
        (["status", "--jso"], "there is no flag --jso; did you mean --json?"),
        (["--prot", "8", "serve"], "there is no flag --prot"),
        (["--ofline"], "there is no flag --ofline; did you mean --offline?"),
        (["logs", "prune", "--dry"], "there is no flag --dry; did you mean --dry-run?"),
        (["logs", "--dryrun"], "there is no flag --dryrun"),
        (["serve", "--nonsens", "--prot"], "there is no flag --nonsens"),
    ],
)
def test_only_a_flag_that_the_command_takes_is_suggested(words: list[str], sentence: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("flag", ["--version", "-V"])
@pytest.mark.parametrize("words", [["serve"], ["token", "show"], ["token"], ["--offline"], []])
def test_every_command_tells_the_version(user: User, words: list[str], flag: str) -> None:
    assert user.out(*words, flag) == f"airelays {__version__}\n"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (
            ("explain", "--failed", "req_0a0a0a"),
            "--failed and a request id cannot be combined",
        ),
        (("completion",), "name a shell: airelays completion bash|zsh|fish|powershell"),
        (("login", "--device", "--paste"), "--device and --paste cannot be combined"),
    ],
)
def test_a_command_line_that_is_wrong_in_itself_is_code_2(
    user: User, words: tuple[str, ...], sentence: str
) -> None:
    assert user.refused(*words, code=2).startswith(f"airelays: {sentence}")


@pytest.mark.parametrize("name", ["accounts", "balance", "claude"])
def test_a_command_of_before_1_0_is_explained(user: User, name: str) -> None:
    sentence = user.refused(name, "list", "--json", code=2)
    assert sentence.startswith(f"airelays: `airelays {name}` existed only before release 1.0; ")
    assert "did you mean" not in sentence


@pytest.mark.parametrize(
    ("words", "left"),
    [
        (["serve", "--balance", "ordered", "--port", "1"], ["serve", "--port", "1"]),
        (["serve", "--balance=ordered"], ["serve"]),
        (["serve", "--balance"], ["serve"]),
        (["logout", "--all", "--json"], ["logout", "--json"]),
        (["login", "--replace", "a@example.test", "--device"], ["login", "--device"]),
        (["status", "--all"], ["status", "--all"]),
        (["serve", "--prot", "1"], ["serve", "--prot", "1"]),
    ],
)
def test_flags_of_before_1_0_that_mean_nothing_now_are_left_out(
    words: list[str], left: list[str]
) -> None:
    told: list[str] = []
    assert retire(words, told.append) == left
    assert len(told) == (words != left)


def test_logout_with_the_flag_of_before_1_0_works(user: User) -> None:
    done = user.run("logout", "--all", "--json")
    assert done.returncode == 0 and json.loads(done.stdout)["remaining"] == []
    assert done.stderr.startswith(
        "airelays: --all existed only before release 1.0 and is ignored: "
    )


@pytest.mark.parametrize("value", ["abc", "-1", "65536"])
def test_a_wrong_value_of_a_flag_is_a_wrong_command_line(user: User, value: str) -> None:
    assert "--port is " in user.refused("serve", "--port", value, code=2)
    assert "AIRELAYS_PORT is " in user.refused("serve", AIRELAYS_PORT=value)


def test_models_lists_what_clients_may_ask_for(user: User) -> None:
    env = {"AIRELAYS_UPSTREAM_KIND": "demo", "AIRELAYS_EXTRA_MODELS": "mine"}
    text = user.out("models", **env)
    assert "\ndemo\n" in text and "\n  mine" in text
    body = json.loads(user.out("models", "--json", **env))
    assert body["object"] == "list" and {"demo", "mine"} <= {m["id"] for m in body["data"]}
    assert "airelays login" in user.refused("models")


@pytest.mark.parametrize(
    "words",
    [
        ["serve", "--port", "1", "--no-auth"],
        ["--port", "1", "serve", "--no-auth"],
        ["--no-auth", "--port=1", "serve"],
        ["serve", "--port", "2", "--no-auth", "--port", "1"],
    ],
)
def test_flags_stand_anywhere(words: list[str]) -> None:
    command, args = parse(words)
    assert command is not None and command.name == "serve"
    assert args.option_texts() == {"port": "1", "require_bearer_auth": "false"}


def test_a_value_may_begin_with_one_dash_or_hold_an_equals_sign() -> None:
    assert parse(["serve", "--port", "-1"])[1].get("--port") == "-1"
    assert parse(["serve", "--config=a=b"])[1].get("--config") == "a=b"


def test_a_flag_means_the_same_for_every_command() -> None:
    seen: dict[str, tuple[str, str]] = {}
    for command in COMMANDS:
        for flag in flags_of(command):
            assert seen.setdefault(flag.name, (flag.value, flag.short)) == (flag.value, flag.short)


@pytest.mark.parametrize("command", COMMANDS, ids=lambda c: c.name)
def test_every_command_can_be_loaded_and_has_help(command) -> None:  # type: ignore[no-untyped-def]
    assert callable(command.load())
    text = help_for(command.name)
    assert text.startswith(f"Usage: airelays {command.name}")
    assert command.summary in " ".join(text.split())
    for columns in (40, 60, 80, 100):
        lines = help_for(command.name, columns).splitlines()
        assert all(len(line) <= columns or len(line.split()) == 1 for line in lines)
        own, _, shared = "\n".join(lines).partition("\nFlags of every command:\n")
        assert "--config PATH" in shared and "--config PATH" not in own


def test_help_names_the_variable_of_every_flag_that_sets_an_option() -> None:
    for option in OPTIONS:
        if option.flag:
            command = (option.commands or ("serve",))[0]
            variable = f"AIRELAYS_{option.env[0]}" + (
                f"={option.flag_value}" if option.flag_value else ""
            )
            assert f"[{variable}]" in help_for(command), option.flag


def test_help_is_printed_and_nothing_is_done(user: User) -> None:
    assert user.out("init", "--help") == help_for("init")
    assert user.out("help", "token", "show") == help_for("token show")
    assert user.out("token", "-h") == help_for("token")
    assert user.out("--help") == user.out("help") == help_for("")
    assert os.listdir(user.home) == []


# Trouble on the way out


def test_a_config_error_is_one_line_without_traceback(user: User) -> None:
    assert user.refused("config", "check", AIRELAYS_PORT="x") == (
        'airelays: environment variable AIRELAYS_PORT is "x"; '
        "expected a whole number from 0 to 65,535\n"
    )


def test_a_reader_that_leaves_is_no_error(user: User) -> None:
    script = f"'{sys.executable}' -m airelays config show | head -n 1"
    done = subprocess.run(["sh", "-c", script], env=user.env(), capture_output=True, text=True)
    assert done.stderr == "" and done.stdout.startswith("server.host")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_sentence(user: User) -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            user.command("config", "show"), env=user.env(), stdout=full, stderr=subprocess.PIPE
        )
    assert done.returncode == 1
    assert done.stderr == b"airelays: output cannot be written: No space left on device\n"


@pytest.mark.parametrize("closing", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_standard_streams_are_no_trouble(user: User, closing: str) -> None:
    for words in ("version", "--version", "init"):
        script = f"'{sys.executable}' -m airelays {words} {closing}"
        done = subprocess.run(["sh", "-c", script], env=user.env(), capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")
    assert len(user.token_file.read_bytes()) == 44
    assert user.out("config", "check").startswith("ok: ")


def test_an_empty_home_is_no_home(user: User) -> None:
    where = user.out("config", "path", HOME="")
    assert not where.startswith(("/.config", "//"))


def test_a_working_directory_that_was_removed_is_no_trouble(user: User) -> None:
    script = f"mkdir gone && cd gone && rmdir ../gone && '{sys.executable}' -m airelays config path"
    done = subprocess.run(
        ["sh", "-c", script], cwd=user.home, env=user.env(), capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == (f"{user.config}\n", "")


def test_the_c_locale_cannot_break_the_output(user: User) -> None:
    user.home.joinpath("grün").mkdir()
    done = user.run(
        "config",
        "path",
        "--config",
        "grün/c.toml",
        LC_ALL="C",
        PYTHONUTF8="0",
        PYTHONCOERCECLOCALE="0",
    )
    assert done.returncode == 0 and done.stdout.endswith("/c.toml\n")


def test_control_characters_do_not_reach_the_terminal() -> None:
    assert escaped("a\x1b[31m\n\u202eb") == "a\\x1b[31m\\n\\u202eb"
    assert escaped("grün ok") == "grün ok"


@pytest.mark.parametrize(
    ("env", "colour"),
    [
        ({}, True),
        ({"NO_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, True),
        ({"CLICOLOR": "0"}, False),
        ({"CLICOLOR": "1"}, True),
        ({"TERM": "dumb"}, False),
    ],
)
def test_colours_only_where_they_are_wanted(env: dict[str, str], colour: bool) -> None:
    leader, follower = pty.openpty()
    with open(follower, "w") as terminal:
        assert Console(out=terminal, env=env).colour is colour
    os.close(leader)
    with open(os.devnull, "w") as nowhere:
        assert not Console(out=nowhere, env=env).colour


# init


def test_init_writes_the_file_and_the_token_for_their_owner_alone(user: User) -> None:
    facts = user.json("init")
    token = user.token_file.read_text().strip()
    assert len(token) == 43
    assert facts == {
        "app_name": "AIRelays",
        "version": __version__,
        "config_path": str(user.config),
        "config_created": True,
        "bearer_token_file": str(user.token_file),
        "bearer_token_created": True,
        "bearer_token_source": "file",
        "relay_token": token,
        "network_scope": "private",
        "effective_network_scope": "loopback",
        "client": {
            "base_url": "http://127.0.0.1:8080/v1",
            "models_url": "http://127.0.0.1:8080/v1/models",
            "requires_bearer_auth": True,
            "authorization_header": "Authorization: Bearer <relay token>",
            "token_file": str(user.token_file),
            "reveal_token_command": "airelays token show",
            "rotate_token_command": "airelays token rotate",
            "relay_token": token,
        },
        "next_steps": ["airelays login", "airelays serve"],
    }
    for path, bits in ((user.config, 0o600), (user.token_file, 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == bits
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert user.out("config", "check").startswith("ok: ")


def test_init_again_keeps_both_and_shows_no_token(user: User) -> None:
    token = user.json("init")["relay_token"]
    before = user.config.read_bytes()
    facts = user.json("init")
    assert (facts["config_created"], facts["bearer_token_created"]) == (False, False)
    assert facts["relay_token"] is None and str(token) not in json.dumps(facts)
    assert user.json("init", "--show-token")["relay_token"] == token
    assert user.config.read_bytes() == before


def test_init_refuses_listener_flags_that_would_have_no_effect(user: User) -> None:
    user.out("init", "--port", "8181")
    before = user.config.read_bytes()
    assert user.refused("init", "--port", "9") == (
        f"airelays: {user.config} already exists, so --port would have no effect; "
        "edit the file, or add --force to replace it\n"
    )
    assert user.config.read_bytes() == before
    assert json.loads(user.out("config", "show", "--json"))["server.port"] == 8181


def test_init_with_force_keeps_what_was_set_and_a_backup(user: User) -> None:
    user.out("init", "--port", "8181")
    text = user.config.read_text() + '\n[upstreams.local]\nbase_url = "http://127.0.0.1:1/v1"\n'
    user.config.write_text(text)
    token = user.token_file.read_text()
    user.out("init", "--force", "--host", "::1")
    shown = json.loads(user.out("config", "show", "--json"))
    assert (shown["server.port"], shown["server.host"]) == (8181, "::1")
    assert shown["upstreams"]["local"]["base_url"] == "http://127.0.0.1:1/v1"
    assert user.config.with_name("config.toml.bak").read_text() == text
    assert user.token_file.read_text() == token


def test_init_does_not_freeze_the_environment_into_the_file(user: User) -> None:
    done = user.run("init", AIRELAYS_PORT="9999")
    assert done.returncode == 0 and "not written to the file: AIRELAYS_PORT\n" in done.stderr
    assert json.loads(user.out("config", "show", "--json"))["server.port"] == 8080


def test_init_for_open_mode_makes_no_token(user: User) -> None:
    facts = user.json("init", "--no-auth")
    assert not user.token_file.exists()
    assert facts["relay_token"] is None
    assert facts["client"] == {
        "base_url": "http://127.0.0.1:8080/v1",
        "models_url": "http://127.0.0.1:8080/v1/models",
        "requires_bearer_auth": False,
        "api_key_note": "No key is required. If a library insists on one, use any text.",
    }
    assert json.loads(user.out("config", "show", "--json"))["security.require_bearer_auth"] is False


def test_init_refuses_open_mode_for_others_before_writing_anything(user: User) -> None:
    assert user.refused("init", "--no-auth", "--host", "0.0.0.0").startswith(
        "airelays: open mode on 0.0.0.0 lets other machines use the relay without a token; "
    )
    assert os.listdir(user.home) == []


def test_init_in_words(user: User) -> None:
    shown = user.out("init").splitlines()
    assert shown[0] == f"AIRelays {__version__} Init"
    assert shown[1:3] == ["", "Relay"]
    assert f"  {'Config file:':<18} {user.config} (created)" in shown
    assert f"  {'Who can connect:':<18} programs on this machine" in shown
    assert shown[-4:] == ["", "Next Steps", "  1. airelays login", "  2. airelays serve"]


def test_legacy_folders_are_used_when_only_they_exist(user: User) -> None:
    legacy = user.home / ".config" / "airelay" / "config.toml"
    legacy.parent.mkdir(parents=True)
    legacy.write_text("[server]\nport = 7\n")
    (user.home / ".airelay").mkdir()
    shown = json.loads(user.out("config", "show", "--json"))
    assert shown["server.port"] == 7
    assert shown["paths.data_dir"] == str(user.home / ".airelay")
    assert user.out("config", "path") == f"{legacy}\n"
    user.config.parent.mkdir()
    user.config.write_text("")
    assert user.out("config", "path") == f"{user.config}\n"


# token


def test_token_show_gives_the_bare_token_to_a_command_substitution(user: User) -> None:
    token = user.json("init")["relay_token"]
    assert user.out("token", "show") == f"{token}\n"
    assert user.out("token", "show", AIRELAYS_BEARER_TOKEN="mine") == "mine\n"
    assert user.json("token", "show")["relay_token"] == token


def test_token_show_on_a_terminal_says_how_to_use_it(user: User) -> None:
    token = user.json("init")["relay_token"]
    shown = user.on_terminal("token", "show", NO_COLOR="1")
    assert shown.startswith(f"AIRelays {__version__} Token\n\nRelay\n")
    assert f"  {'Relay token:':<18} {token}\n" in shown
    assert "\x1b" not in shown
    assert "\x1b[1;36m" in user.on_terminal("token", "show")


def test_without_a_token_the_next_step_is_said(user: User) -> None:
    assert user.refused("token", "show") == (
        f"airelays: there is no relay token in {user.token_file}; run `airelays init`\n"
    )
    done = user.run("token", "show", "--json")
    facts = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (1, "")
    assert (facts["bearer_token_present"], facts["relay_token"]) == (False, None)
    assert facts["next_steps"] == ["airelays init"]


def test_token_rotate_replaces_the_file_s_token(user: User) -> None:
    first = user.json("init")["relay_token"]
    facts = user.json("token", "rotate")
    assert facts["relay_token"] not in (None, first)
    assert user.out("token", "show") == f"{facts['relay_token']}\n"
    assert set(facts) == {"bearer_token_file", "bearer_token_source", "relay_token", "client"}


def test_token_rotate_says_that_the_environment_wins(user: User) -> None:
    done = user.run("token", "rotate", AIRELAYS_BEARER_TOKEN="mine")
    assert done.returncode == 0
    assert done.stderr == (
        "airelays: AIRELAYS_BEARER_TOKEN is set and overrides the file: relays that were started with it "
        "keep that token\n"
    )
    assert user.token_file.read_text() == done.stdout != "mine\n"


def test_a_token_file_that_others_can_change_is_refused(user: User) -> None:
    user.out("init")
    user.token_file.chmod(0o666)
    assert user.refused("token", "show") == (
        f"airelays: {user.token_file} can be changed by other users (mode 0666); "
        f"check its content, then run: chmod 600 {user.token_file}\n"
    )


# config


def test_config_show_names_the_origin_of_every_value(user: User) -> None:
    user.config.parent.mkdir(parents=True)
    user.config.write_text("[server]\nport = 7\n")
    shown = user.out("config", "show", "--origin", "--data-dir", "d", AIRELAYS_HOST="::1")
    lines = {line.partition(" ")[0]: line for line in shown.splitlines()}
    assert lines["server.port"].endswith(f"= 7  # file {user.config}: server.port")
    assert lines["server.host"].endswith('= "::1"  # environment AIRELAYS_HOST')
    assert lines["paths.data_dir"].endswith(f'= "{user.home}/d"  # flag --data-dir')
    assert lines["server.max_connections"].endswith("= 512  # default")
    as_json = json.loads(user.out("config", "show", "--origin", "--json"))
    assert as_json["server.port"] == {"value": 7, "source": "file", "name": "server.port"}


def test_config_show_hides_what_may_be_secret(user: User) -> None:
    user.config.parent.mkdir(parents=True)
    user.config.write_text(
        "[upstream]\nproxy = 'http://u:SECRET@h:1'\nheaders = {A = 'SECRET'}\n"
        "[upstreams.x]\nbase_url = 'https://h'\nproxy = 'http://u:SECRET@h'\nheaders = {B = 'SECRET'}\n"
    )
    for words in (["--json"], ["--origin"], []):
        shown = user.out("config", "show", *words)
        assert "SECRET" not in shown and "***" in shown


def test_config_check_says_what_is_set_and_what_is_ignored(user: User) -> None:
    user.config.parent.mkdir(parents=True)
    user.config.write_text("[providers.claude]\nbin = 'x'\n[server]\nport = 7\n")
    user.token_file.parent.mkdir(mode=0o700)
    user.token_file.write_text(TOKEN)
    user.token_file.chmod(0o600)
    assert user.out("config", "check", AIRELAYS_HSOT="x").splitlines() == [
        f"note: {user.config}: providers.claude.bin has no effect here",
        "note: environment variable AIRELAYS_HSOT is unknown; did you mean AIRELAYS_HOST?",
        f"ok: {user.config}; values from file: 1, environment: 0, flags: 0",
    ]
    user.config.write_text("[security]\nrequire_bearer_auth = false\n[server]\nhost = '0.0.0.0'\n")
    assert user.refused("config", "check").startswith("airelays: open mode on 0.0.0.0 ")


def test_config_check_wants_the_token_that_serve_wants(user: User) -> None:
    sentence = f"airelays: there is no relay token in {user.token_file}; run `airelays init`, "
    assert user.refused("config", "check").startswith(sentence)
    assert user.refused("serve", "--port", "0").startswith(sentence)
    assert user.out("config", "check", AIRELAYS_AUTO_GENERATE_BEARER_TOKEN="1").startswith("ok: ")
    assert user.out("config", "check", AIRELAYS_REQUIRE_BEARER_AUTH="0").startswith("ok: ")
    assert user.out("config", "check", AIRELAYS_BEARER_TOKEN=TOKEN).startswith("ok: ")
    assert user.out("config", "check", AIRELAYS_UPSTREAM_KIND="demo").startswith("ok: ")


def test_config_check_refuses_a_data_folder_that_is_a_file(user: User) -> None:
    (user.home / "x").touch()
    for path in (f"{user.home}/x", f"{user.home}/x/y"):
        said = user.refused("config", "check", "--data-dir", path, AIRELAYS_UPSTREAM_KIND="demo")
        assert said == (
            f"airelays: folder {path} cannot be used: {user.home}/x is not a folder; choose another\n"
        )


def test_config_check_warns_of_what_only_makes_requests_fail(user: User) -> None:
    user.config.parent.mkdir(parents=True)
    (user.home / "no.pem").write_text("no certificate")
    user.config.write_text(
        "[upstream]\nca_file = '~/none.pem'\nfallback = ['gone/x', 'near/y', 'gpt-5']\n"
        "[upstreams.near]\nbase_url = 'http://127.0.0.1:9/v1'\napi_key_file = '~/none'\n"
        "[upstreams.other]\nbase_url = 'http://127.0.0.1:9/v1'\napi_key_env = 'NO_KEY'\n"
        "ca_file = '~/no.pem'\n"
    )
    lines = user.out("config", "check", AIRELAYS_BEARER_TOKEN=TOKEN).splitlines()
    assert [line.partition(": ")[0] for line in lines] == ["warning"] * 5 + ["ok"]
    told = "\n".join(lines)
    assert f"the certificate file {user.home}/none.pem (upstream.ca_file) does not exist" in told
    assert f"the key file {user.home}/none is missing or empty" in told
    assert "the environment variable NO_KEY is empty" in told
    assert f"{user.home}/no.pem (upstream.ca_file) contains no usable PEM certificate" in told
    assert (
        "the fallback gone/x of chatgpt names the upstream gone, which is not configured; "
        "add [upstreams.gone] or use one of: chatgpt, near, other" in told
    )
    said = user.json("config", "check", AIRELAYS_BEARER_TOKEN=TOKEN)
    assert said["ok"] is True and len(said["warnings"]) == 5  # type: ignore[arg-type]  # a list


def test_a_config_file_that_was_asked_for_and_is_missing_is_mentioned(user: User) -> None:
    done = user.run("config", "show", "--config", "no.toml")
    assert done.returncode == 0
    assert done.stderr == (
        f"airelays: config file {user.home}/no.toml does not exist; "
        "all options that are not set elsewhere have their default values\n"
    )
    assert user.out("config", "path", AIRELAYS_CONFIG="~/x.toml") == f"{user.home}/x.toml\n"


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"[server]\nhost = '\xff'", "is not UTF-8 text (byte 17); save it as UTF-8"),
        (b"#" * (1024 * 1024 + 1), "is larger than 1,048,576 bytes; use another"),
    ],
)
def test_a_config_file_that_is_no_text_is_one_sentence(
    user: User, content: bytes, sentence: str
) -> None:
    user.config.parent.mkdir(parents=True)
    user.config.write_bytes(content)
    assert user.refused("config", "check") == f"airelays: config file {user.config} {sentence}\n"


def test_a_folder_as_config_file_is_one_sentence(user: User) -> None:
    assert user.refused("config", "check", "--config", ".") == (
        f"airelays: config file {user.home} cannot be read: Is a directory\n"
    )


def test_without_any_home_folder_the_flags_are_named(user: User) -> None:
    # A user id that has no entry, and no HOME.
    if os.geteuid() != 0 or not Path("/usr/bin/setpriv").exists():
        pytest.skip("needs root and setpriv to be somebody without a home")
    done = subprocess.run(
        ["setpriv", "--reuid", "54321", "--clear-groups", "/usr/bin/env", "-i", "PYTHONPATH=.",
         "/usr/bin/python3", "-m", "airelays", "config", "show"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    if "No module named" in done.stderr or "Permission denied" in done.stderr:
        pytest.skip("that user cannot read this checkout")
    assert done.stderr == (
        "airelays: there is no home folder; set HOME or name a folder with --data-dir\n"
    )
    assert done.returncode == 1


# docs, version


def test_docs_lists_every_page_of_the_folder(user: User) -> None:
    folder = ROOT / "airelays" / "docs"
    assert sorted(PAGES) == sorted(path.stem for path in folder.glob("*.md"))
    shown = user.out("docs")
    for name in PAGES:
        assert f"  {name + ':':<18} {page_title(name)}\n" in shown


def test_docs_prints_a_page_as_it_is_when_nobody_looks(user: User) -> None:
    assert user.out("docs", "security") == page_text("security")
    assert user.out("docs", "security.md") == page_text("security")
    assert user.out("docs", "hardening") == page_text("threat-model")  # its former name
    assert user.refused("docs", "nothing", code=2) == (
        f"airelays: there is no page 'nothing'; expected one of {', '.join(PAGES)}; did you mean growing?\n"
    )


def test_docs_on_a_terminal_has_styles_and_goes_through_the_pager(user: User) -> None:
    shown = user.on_terminal("docs", "security", PAGER="cat -n")
    assert "     1\t\x1b[1mSecurity\x1b[0m\n" in shown
    plain = user.on_terminal("docs", "security", PAGER="/no/such/pager", NO_COLOR="1")
    assert plain.startswith("Security\n\n")


def test_version_names_what_a_report_needs(user: User) -> None:
    facts = user.json("version")
    assert list(facts) == ["version", "python", "platform", "h11", "certifi"]
    assert facts["version"] == __version__


# serve


def test_serve_without_a_token_says_what_to_run(user: User) -> None:
    assert user.refused("serve", "--port", "0") == (
        f"airelays: there is no relay token in {user.token_file}; run `airelays init`, "
        "set AIRELAYS_BEARER_TOKEN, or use --no-auth\n"
    )


def test_serve_refuses_open_mode_for_other_machines(user: User) -> None:
    sentence = user.refused("serve", "--demo", "--no-auth", "--host", "0.0.0.0", "--port", "0")
    assert sentence.startswith("airelays: open mode on 0.0.0.0 lets other machines")


def start(user: User, *words: str) -> tuple[subprocess.Popen[str], dict[str, object]]:
    """Start a relay and return it with its ready file, once it is there."""
    ready = user.home / "ready.json"
    process = subprocess.Popen(
        user.command("serve", "--port", "0", "--ready-file", str(ready), *words),
        env=user.env(user.environment),
        cwd=user.home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    line = process.stdout.readline()
    assert line.startswith(f"AIRelays {__version__} is listening on http://"), process.stderr.read()
    user.first_line = line
    return process, json.loads(ready.read_text())


def stop(process: subprocess.Popen[str], with_signal: int = signal.SIGTERM) -> tuple[str, int]:
    """Stop a relay; return what it said on stderr, and its exit code."""
    with process:
        process.send_signal(with_signal)
        _, said = process.communicate(timeout=DEADLINE_S)
    return said, process.returncode


def test_serve_in_demo_mode_makes_the_token_and_a_second_one_is_told_who_is_there(
    user: User,
) -> None:
    process, ready = start(user, "--demo")
    try:
        port = ready["port"]
        assert ready == {
            "pid": process.pid,
            "port": port,
            "url": f"http://127.0.0.1:{port}/v1",
            "listeners": [{"host": "127.0.0.1", "port": port, "key": None}],
        }
        assert len(user.token_file.read_text()) == 44
        assert user.refused("serve", "--demo", "--port", "0", code=75) == (
            f"airelays: another relay is using {user.home}/.airelays (pid {process.pid}); "
            "stop it, or give this one its own folder with --data-dir\n"
        )
    finally:
        said, code = stop(process)
    assert code == 0
    assert said == (
        f"airelays: created a relay token in {user.token_file}; `{sys.executable} -m airelays token show` shows it\n"
    )
    assert not (user.home / "ready.json").exists()
    assert not (user.home / ".airelays" / "relay.pid").exists()


def test_serve_tells_of_a_misspelt_variable_and_where_the_token_is(user: User) -> None:
    folder = user.home / "my data"
    user.environment = {"AIRELAYS_PROT": "1"}
    process, _ = start(user, "--demo", "--data-dir", str(folder))
    said, code = stop(process)
    assert code == 0
    assert said == (
        "airelays: environment variable AIRELAYS_PROT is unknown; did you mean AIRELAYS_PORT?\n"
        f"airelays: created a relay token in {folder}/relay-token; "
        f"`{sys.executable} -m airelays token show --data-dir '{folder}'` shows it\n"
    )


@pytest.mark.parametrize("host", ["*", "0", "0.0.0.0"])
def test_a_relay_on_every_address_says_so_and_names_one_that_can_be_dialled(
    user: User, host: str
) -> None:
    user.out("init")
    process, ready = start(user, "--demo", "--host", host)
    url = f"http://127.0.0.1:{ready['port']}/v1"
    assert ready["url"] == url
    assert user.first_line == (
        f"AIRelays {__version__} is listening on {url}, on all addresses of this machine\n"
    )
    assert stop(process)[1] == 0


@pytest.mark.parametrize("flag", ["--data-dir", "--bearer-token-file", "--ca-file"])
def test_init_writes_no_path_that_a_config_file_cannot_hold(user: User, flag: str) -> None:
    path = str(user.home / "x\udcff")
    assert "which is not UTF-8, so it cannot be written" in user.refused("init", flag, path, code=2)
    assert not user.config.exists() and not user.token_file.exists()


@pytest.mark.parametrize("command", ["serve", "init"])
def test_a_host_of_bytes_that_are_no_text_is_one_sentence(user: User, command: str) -> None:
    sentence = (
        'is "\\udcff"; expected an address, a host name, or "*" for every address, without a port'
    )
    assert user.refused(command, "--host", "\udcff", code=2) == f"airelays: --host {sentence}\n"
    assert user.refused(command, AIRELAYS_HOST="\udcff") == (
        f"airelays: environment variable AIRELAYS_HOST {sentence}\n"
    )


def test_a_killed_relay_leaves_nothing_that_stops_the_next_one(user: User) -> None:
    process, _ = start(user, "--demo")
    stop(process, signal.SIGKILL)
    process, _ = start(user, "--demo")
    assert stop(process) == ("", 0)


def test_serve_on_a_terminal_prints_lines_to_paste_and_no_token(user: User) -> None:
    user.out("init")
    token = user.token_file.read_text().strip()
    pid, screen = pty.fork()
    if pid == 0:
        words = user.command("serve", "--demo", "--port", "0")
        os.execve(sys.executable, words, user.env({"NO_COLOR": "1"}))
    shown = read_screen(screen, until="OPENAI_API_KEY=")
    shown += read_screen(screen, until='"\n') if not shown.endswith("\n") else ""
    os.write(screen, b"\x03")
    read_screen(screen)
    os.close(screen)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) in (0, 130)
    assert shown.startswith(f"AIRelays {__version__} Serve\n\nListener\n")
    assert token not in shown
    base_url = shown.partition("Base URL:")[2].split()[0]
    reveal = f"$({sys.executable} -m airelays token show)"
    assert f'  curl {base_url}/models -H "Authorization: Bearer {reveal}"\n' in shown
    assert f'  export OPENAI_BASE_URL={base_url} OPENAI_API_KEY="{reveal}"\n' in shown


def test_main_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"airelays {__version__}\n"


@pytest.mark.parametrize("module", ["json", "asyncio", "hashlib"])
def test_a_python_without_parts_of_its_library_is_named(tmp_path: Path, module: str) -> None:
    # Debian's python3-minimal has no json.
    code = f"import sys; sys.modules[{module!r}] = None; from airelays.cli import main; "
    code += "sys.exit(main(['serve', '--demo']))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "AIRELAYS_BEARER_TOKEN": TOKEN},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        f"airelays: this Python does not include {module}, which is part of its standard library; install the "
        "complete library (Debian: apt-get install python3), or use the executable\n"
    )
