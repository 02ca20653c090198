"""Running in the background: service files, their installation, the notification, completions, the manual page."""

from __future__ import annotations

import contextlib
import os
import plistlib
import shutil
import signal
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import pytest

from airelays.commands.service.ahead import check_program
from airelays.commands.service.files import service_text
from airelays.commands.service.live import is_of
from airelays.commands.service.place import find_launchd, find_windows
from airelays.commands.service.words import ServiceWords
from airelays.commands.table import COMMANDS, SHOWN
from airelays.errors import ConfigError
from airelays.host.account import Account, closed_to
from airelays.terminal.line import flags_of
from tests import live

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0


def run(home: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "airelays", *words],
        env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.defpath, **env},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_files_under_packaging_are_what_the_program_prints() -> None:
    words = [sys.executable, str(ROOT / "build" / "printed.py"), "--check"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr


# ---- service files


@pytest.mark.parametrize("system", [True, False])
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path, system: bool) -> None:
    tool = shutil.which("systemd-analyze")
    if tool is None:
        pytest.skip("there is no systemd-analyze here")
    program = tmp_path / "with blank 50%"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    unit = tmp_path / "airelays.service"
    given = ServiceWords(
        flags=("--data-dir", "/srv/a b%"),
        writes=("/srv/a b%", "/home/x:y/d", "/tmp/d"),
        reads=("/home/x/c;d",),
    )
    unit.write_text(service_text("systemd", [str(program)], system=system, given=given))
    words = [tool, "verify", "--man=no", *([] if system else ["--user"]), str(unit)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, timeout=DEADLINE_S, env=env)
    ours = [line for line in done.stderr.splitlines() if "airelays.service" in line]
    assert not ours, done.stderr


@pytest.mark.parametrize(
    "word, quoted",
    [
        ("/usr/bin/airelays", "/usr/bin/airelays"),
        ("/a b/x", '"/a b/x"'),
        ("/50%/$x", "/50%%/$$x"),
    ],
)
def test_words_of_a_unit_are_quoted(word: str, quoted: str) -> None:
    text = service_text("systemd", [word], system=False)
    assert f"ExecStart={quoted} serve --make-token\nExecReload={quoted} reload\n" in text


COMMON = ("--config", "c.toml", "--data-dir", "d %$x", "--offline", "--auth-storage", "keyring")


def test_flags_of_every_command_go_into_the_unit(tmp_path: Path) -> None:
    done = run(tmp_path, "service", "print", "--kind", "systemd", "--program", "/a", *COMMON)
    flags = f'--config {tmp_path}/c.toml --data-dir "{tmp_path}/d %%$$x"'
    start = f"ExecStart=/a serve --make-token {flags} --auth-storage keyring --offline\n"
    assert f"{start}ExecReload=/a reload {flags}\n" in done.stdout, done.stderr


def test_flags_of_serve_go_into_the_unit(tmp_path: Path) -> None:
    flags = "--host ::1 --port 8081 --upstream http://127.0.0.1:11434/v1 --listen 127.0.0.1:9,key=x"
    words = ("service", "print", "--kind", "systemd", "--program", "/a", *flags.split())
    done = run(tmp_path, *words)
    assert f"ExecStart=/a serve --make-token {flags}\nExecReload=/a reload\n" in done.stdout


def test_flags_of_every_command_go_into_the_property_list(tmp_path: Path) -> None:
    words = ("service", "print", "--kind", "launchd", "--program", "/a", "--ca-file", "b<&.pem")
    found = plistlib.loads(run(tmp_path, *words, *COMMON).stdout.encode())["ProgramArguments"]
    assert found[:5] == ["/a", "serve", "--make-token", "--config", f"{tmp_path}/c.toml"]
    assert found[5:] == [
        *("--data-dir", f"{tmp_path}/d %$x", "--auth-storage", "keyring", "--offline"),
        *("--ca-file", f"{tmp_path}/b<&.pem"),
    ]


def test_flags_of_every_command_go_into_the_task(tmp_path: Path) -> None:
    words = ("service", "print", "--kind", "windows", "--program", r"C:\a b\x.exe", "--offline")
    done = run(tmp_path, *words, "--data-dir", "C:\\my data\\", "--logs-dir", r"D:\a&b")
    tree = ElementTree.fromstring(done.stdout)
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert tree.findtext(f".//{space}Arguments") == (
        r'serve --make-token --data-dir "C:\my data\\" --logs-dir D:\a&b --offline'
    )


def test_the_sandbox_is_open_for_the_folders_that_were_given(tmp_path: Path) -> None:
    words = ("service", "print", "--kind", "systemd", "--system", "--program", "/usr/bin/true")
    folders = (
        "--data-dir",
        "/srv/a b",
        "--logs-dir",
        "/home/x/l:1",
        "--config",
        "/home/x/c%n.toml",
    )
    done = run(tmp_path, *words, *folders)
    lines = done.stdout.splitlines()
    assert 'ReadWritePaths="-/srv/a b"' in lines
    assert 'BindPaths="-/home/x/l:1"' in lines
    assert "BindReadOnlyPaths=-/home/x/c%%n.toml" in lines
    assert "ProtectHome=tmpfs" in lines and "ProtectSystem=strict" in lines
    own = run(tmp_path, *words, "--data-dir", "/var/lib/airelays").stdout
    assert "ProtectHome=yes" in own and "ReadWritePaths" not in own


@pytest.mark.parametrize(
    "words, sentence",
    [
        (
            ("--data-dir", "/a\nExecStart=/b"),
            "'/a\\nExecStart=/b' contains a control character or is not UTF-8, which a service file does not "
            "allow; use another path",
        ),
        (
            ("--kind", "systemd", "--program", "/it's/airelays"),
            '"/it\'s/airelays" contains a quote or a backslash, which systemd does not allow in the path of a '
            "program; move the program to another folder",
        ),
        (
            ("--kind", "windows", "--data-dir", "C:\\%TEMP%"),
            "'C:\\\\%TEMP%' contains %...% or $(, which the Task Scheduler expands; use another path",
        ),
        (("--auth-storage", "x"), '--auth-storage is "x"; expected "file", "keyring" or "auto"'),
    ],
)
def test_a_flag_that_a_service_file_cannot_hold_is_refused(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    program = () if "--program" in words else ("--program", "/usr/bin/true")
    done = run(tmp_path, "service", "print", *program, *words)
    assert (done.returncode, done.stderr, done.stdout) == (2, f"airelays: {sentence}\n", "")


def test_what_the_environment_says_now_is_named_and_not_written(tmp_path: Path) -> None:
    env = {
        "AIRELAYS_PORT": "8099",
        "AIRELAYS_BEARER_TOKEN": "s3cret-token",
        "AIRELAYS_DATA_DIR": "/d",
        "AIRELAYS_X": "1",
    }
    done = run(tmp_path, "service", "print", "--data-dir", "/srv/x", **env)
    assert done.returncode == 0 and "8099" not in done.stdout
    assert "s3cret-token" not in done.stdout + done.stderr
    assert done.stderr == (
        "airelays: the service starts without AIRELAYS_BEARER_TOKEN, AIRELAYS_PORT from this environment; put "
        "what it needs into the config file, or pass it as a flag\n"
    )


def test_the_unit_is_hardened_and_waits_for_ready() -> None:
    text = service_text("systemd", ["/usr/bin/airelays"], system=True)
    lines = set(text.splitlines())
    assert {
        "Type=notify",
        "User=airelays",
        "StateDirectory=airelays",
        "NoNewPrivileges=yes",
        "ProtectSystem=strict",
        "ProtectHome=yes",
        "CapabilityBoundingSet=",
        "MemoryDenyWriteExecute=yes",
        "SystemCallFilter=@system-service",
        "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6",
        "UMask=0077",
    } <= lines


def test_the_property_list_is_one() -> None:
    text = service_text("launchd", ["/a & b/air<lays"], system=False, home="/Users/x")
    found = plistlib.loads(text.encode())
    assert found["ProgramArguments"] == ["/a & b/air<lays", "serve", "--make-token"]
    assert found["Umask"] == 0o077 and found["RunAtLoad"] is True
    assert found["StandardErrorPath"] == "/Users/x/Library/Logs/airelays.log"


def test_the_task_is_one() -> None:
    words = [r"C:\Program Files\a&b\python.exe", "-I", r"C:\x y\airelays.py"]
    tree = ElementTree.fromstring(service_text("windows", words, system=False))
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert tree.findtext(f".//{space}Command") == words[0]
    assert tree.findtext(f".//{space}Arguments") == r'-I "C:\x y\airelays.py" serve --make-token'
    assert tree.findtext(f".//{space}RunLevel") == "LeastPrivilege"


# ---- installation, with a manager that writes down what it is told


# Does what systemd would with the unit of the user: starts the relay that it names, in a process of its own.
SYSTEMCTL = """\
#!/bin/sh
cd "$(dirname "$0")"
echo "$@" >> told
if [ -e fails ]; then echo "no bus" >&2; exit 3; fi
case "$2 $3" in
"restart airelays.service")
    if [ -e pid ]; then kill "$(cat pid)"; while kill -0 "$(cat pid)" 2>/dev/null; do :; done; fi
    if [ -e refuses ]; then rm -f pid; exit 1; fi
    rm -f ready
    command=$(sed -n 's/^ExecStart=//p' "$HOME/.config/systemd/user/airelays.service")
    exec 3>&-
    $command --ready-file "$PWD/ready" >log 2>&1 </dev/null &
    echo $! > pid
    while kill -0 "$(cat pid)" 2>/dev/null && ! [ -s ready ]; do :; done
    ;;
"show --property=MainPID") cat pid 2>/dev/null || echo 0 ;;
"disable --now") if [ "$4" = airelays.service ] && [ -e pid ]; then kill "$(cat pid)"; rm pid; fi ;;
"is-active airelays.service") test -e pid ;;
"is-active airelays.socket") exit 3 ;;
esac
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[Path]:
    """A folder with a `systemctl` that notes its arguments; `fails` beside it makes it fail, `refuses` the start."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, text in (
        ("systemctl", SYSTEMCTL),
        ("journalctl", "#!/bin/sh\necho its last words\n"),
    ):
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    yield folder
    with contextlib.suppress(OSError, ValueError):
        os.kill(int((folder / "pid").read_text()), signal.SIGKILL)


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")
INSTALL = ("service", "install", "--demo", "--port", "0")


def install(home: Path, manager: Path, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
    return run(home, *INSTALL, *words, PATH=f"{manager}:{os.defpath}", **env)


def pid_of(manager: Path) -> int:
    return int((manager / "pid").read_text())


@needs_linux
def test_a_user_service_is_installed_changed_and_removed(tmp_path: Path, manager: Path) -> None:
    path = f"{manager}:{os.defpath}"
    unit = tmp_path / ".config" / "systemd" / "user" / "airelays.service"
    done = install(tmp_path, manager)
    assert done.returncode == 0, done.stderr
    assert "The relay is running on http://127.0.0.1:" in done.stdout
    assert unit.read_text() == run(tmp_path, "service", "print", *INSTALL[2:]).stdout
    told = [t for t in (manager / "told").read_text().splitlines() if "show" not in t]
    assert [t for t in told if "is-active" not in t] == [
        "--user daemon-reload",
        "--user enable airelays.service",
        "--user restart airelays.service",
    ]
    assert run(tmp_path, "service", "status", PATH=path).returncode == 0
    first = pid_of(manager)
    done = install(tmp_path, manager, "--offline")
    assert done.returncode == 0, done.stderr
    assert pid_of(manager) != first
    assert b"--offline" in Path(f"/proc/{pid_of(manager)}/cmdline").read_bytes()
    # It was refused before anything was written or told.
    with socket.create_server(("127.0.0.1", 0)) as taken:
        before, port, second = unit.read_bytes(), taken.getsockname()[1], pid_of(manager)
        done = run(tmp_path, "service", "install", "--port", str(port), PATH=path)
    assert done.returncode == 1 and f"port {port} on 127.0.0.1 is in use" in done.stderr
    assert (unit.read_bytes(), pid_of(manager)) == (before, second)
    done = run(tmp_path, "service", "uninstall", PATH=path)
    assert done.returncode == 0 and not unit.exists()
    assert "--user disable --now airelays.service" in (manager / "told").read_text()
    assert run(tmp_path, "service", "uninstall", PATH=path).stdout.startswith("Not installed: ")


@needs_linux
def test_a_service_that_does_not_start_is_kept_and_its_last_words_are_shown(
    tmp_path: Path, manager: Path
) -> None:
    (manager / "refuses").touch()
    unit = tmp_path / ".config" / "systemd" / "user" / "airelays.service"
    done = install(tmp_path, manager)
    assert done.returncode == 1 and unit.exists() and "runs" not in done.stdout
    *_, words, sentence = done.stderr.splitlines()
    assert words == "  its last words"
    assert sentence == (
        f"airelays: the service did not start; {unit} was kept; once the cause is fixed, run: "
        "systemctl --user restart airelays.service"
    )


@needs_linux
def test_a_write_that_fails_leaves_what_was_there(tmp_path: Path, manager: Path) -> None:
    folder = tmp_path / ".config" / "systemd" / "user"
    folder.mkdir(parents=True)
    (folder / "airelays.service").write_text("# of before\n")
    words = f"ulimit -f 1; exec {sys.executable} -m airelays service install --demo --socket"
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": f"{manager}:{os.defpath}"}
    done = subprocess.run(
        ["sh", "-c", f"trap '' XFSZ; {words} --port 18081"],
        env={**env, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 1 and "File too large" in done.stderr
    assert os.listdir(folder) == ["airelays.service"]
    assert (folder / "airelays.service").read_text() == "# of before\n"


@needs_linux
def test_a_relay_that_is_not_the_service_keeps_its_folder(tmp_path: Path, manager: Path) -> None:
    with live.running(tmp_path) as relay:
        done = install(tmp_path, manager, "--data-dir", str(tmp_path / ".airelays"))
    assert done.returncode == 1
    assert (
        f"another relay (pid {relay.process.pid}), which is not this service, uses" in done.stderr
    )
    assert not (tmp_path / ".config" / "systemd").exists()


@needs_linux
def test_a_config_that_cannot_be_used_is_no_service(tmp_path: Path, manager: Path) -> None:
    config = tmp_path / ".config" / "airelays" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text("[server]\nprt = 1\n")
    done = install(tmp_path, manager, AIRELAYS_CONFIG="/dev/null")
    assert done.returncode == 1 and f"{config}: server.prt is unknown" in done.stderr
    assert not (tmp_path / ".config" / "systemd").exists() and not (manager / "told").exists()


@needs_linux
def test_a_manager_that_refuses_is_quoted(tmp_path: Path, manager: Path) -> None:
    (manager / "fails").touch()
    done = install(tmp_path, manager)
    assert done.returncode == 1
    assert done.stderr == "airelays: `systemctl --user daemon-reload` failed: no bus\n"
    assert run(tmp_path, "service", "status", PATH=f"{manager}:{os.defpath}").returncode == 1


@needs_linux
@pytest.mark.parametrize("before", [None, "# of before\n"])
def test_a_file_that_the_manager_refuses_is_taken_back(
    tmp_path: Path, manager: Path, before: str | None
) -> None:
    unit = tmp_path / ".config" / "systemd" / "user" / "airelays.service"
    if before is not None:
        unit.parent.mkdir(parents=True)
        unit.write_text(before)
    (manager / "fails").touch()
    assert install(tmp_path, manager).returncode == 1
    assert (unit.read_text() if unit.exists() else None) == before


@needs_linux
def test_a_program_that_cannot_be_run_is_no_service(tmp_path: Path, manager: Path) -> None:
    words = ("service", "install", "--program", f"{tmp_path}/nothing")
    done = run(tmp_path, *words, PATH=f"{manager}:{os.defpath}")
    assert done.returncode == 2
    assert done.stderr == (
        f"airelays: --program is '{tmp_path}/nothing', which is not a program that can be run\n"
    )
    assert not (tmp_path / ".config").exists() and not (manager / "told").exists()


@needs_linux
def test_nobody_else_may_write_what_is_installed(tmp_path: Path, manager: Path) -> None:
    words = [sys.executable, "-m", "airelays", *INSTALL, "--no-start"]
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": f"{manager}:{os.defpath}"}
    done = subprocess.run(words, env=env, capture_output=True, umask=0, timeout=DEADLINE_S)
    assert done.returncode == 0, done.stderr
    config = tmp_path / ".config"
    made = [config, *config.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in made if path.is_dir()} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in made if path.is_file()} == {0o644}


@needs_linux
def test_only_the_file_is_written_when_asked(tmp_path: Path, manager: Path) -> None:
    done = run(tmp_path, "service", "install", "--no-start", PATH=f"{manager}:{os.defpath}")
    assert done.returncode == 0 and not (manager / "told").exists()


@pytest.mark.parametrize(
    "words, sentence",
    [
        (["--kind", "upstart"], "--kind is 'upstart'; expected systemd, launchd, windows"),
        (
            ["--kind", "systemd", "--program", "bin/x"],
            "--program is 'bin/x'; expected an absolute path",
        ),
    ],
)
def test_a_wrong_wish_is_one_sentence(tmp_path: Path, words: list[str], sentence: str) -> None:
    done = run(tmp_path, "service", "print", *words)
    assert (done.returncode, done.stderr) == (2, f"airelays: {sentence}\n")


@pytest.mark.parametrize("top", ["/root", "/home", "/tmp"])
def test_a_program_that_the_sandbox_hides_is_refused(top: str) -> None:
    with pytest.raises(
        ConfigError, match=f"cannot read {top}/x/airelays: its sandbox hides {top};"
    ):
        check_program([f"{top}/x/airelays"], None)


def test_a_program_that_is_closed_to_the_user_is_refused(tmp_path: Path) -> None:
    program = tmp_path / "airelays"
    program.touch(mode=0o700)
    assert closed_to(None, str(program)) in (str(program), *map(str, program.parents))
    assert closed_to(None, "/usr/bin/env") == ""
    assert closed_to(Account(os.getuid(), os.getgid()), sys.executable) == ""


def test_a_socket_unit_has_every_address(tmp_path: Path) -> None:
    words = ("service", "print", "--kind", "systemd", "--socket", "--host", "localhost")
    lines = run(tmp_path, *words, "--listen", "127.0.0.1:9").stdout.splitlines()
    streams = [line.partition("=")[2] for line in lines if line.startswith("ListenStream=")]
    assert streams == ["127.0.0.1:8080", "[::1]:8080", "127.0.0.1:9"]


@pytest.mark.parametrize(
    "words, sentence",
    [
        (("--port", "0"), "systemd cannot pick a free port; choose one with --port"),
        (
            ("--host", "host.example"),
            "systemd can listen only on addresses, but the host is host.example; give its address with --host",
        ),
    ],
)
def test_an_address_that_systemd_cannot_open_is_refused(
    tmp_path: Path, words: tuple[str, ...], sentence: str
) -> None:
    done = run(tmp_path, "service", "print", "--kind", "systemd", "--socket", *words)
    assert (done.returncode, done.stderr) == (1, f"airelays: {sentence}\n")


@needs_linux
def test_the_process_of_a_service_is_known_on_every_system(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tool = tmp_path / "launchctl"
    tool.write_text("#!/bin/sh\nprintf 'io.airelays.relay = {\\n\\tpid = 41\\n}\\n'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    launchd = find_launchd(str(tmp_path))
    assert (is_of(launchd, 41), is_of(launchd, 42)) == (True, False)
    tool.write_text("#!/bin/sh\nexit 113\n")
    assert not is_of(launchd, 41)
    task = tmp_path / "task.xml"
    assert not is_of(find_windows(str(task)), 41)
    task.touch()
    assert is_of(find_windows(str(task)), 41)


# ---- the notification


@needs_linux
@pytest.mark.parametrize("abstract", [False, True])
def test_the_manager_is_told_when_the_relay_is_ready_and_when_it_stops(
    tmp_path: Path, abstract: bool
) -> None:
    name = f"@airelays-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind("\0" + name[1:] if abstract else name)
        sock.settimeout(DEADLINE_S)
        with live.running(tmp_path, env={"NOTIFY_SOCKET": name}) as relay:
            assert sock.recv(100) == b"READY=1"
            assert relay.get("/healthz").status == 200
            assert relay.stop() == 0
            assert sock.recv(100) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000"


def test_a_manager_that_is_not_there_changes_nothing(tmp_path: Path) -> None:
    with live.running(tmp_path, env={"NOTIFY_SOCKET": str(tmp_path / "nowhere")}) as relay:
        assert relay.get("/healthz").status == 200


# ---- completions and the manual page


def bash_offers(tmp_path: Path, line: str) -> list[str]:
    script = tmp_path / "completion"
    script.write_text(run(tmp_path, "completion", "bash").stdout)
    words = line.split(" ")
    probe = (
        f"source {script}; COMP_WORDS=({' '.join(w or chr(39) * 2 for w in words)}); "
        f"COMP_CWORD={len(words) - 1}; _airelays; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    )
    done = subprocess.run(["bash", "-c", probe], capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    "line, offered",
    [
        ("airelays ser", ["serve", "service"]),
        ("airelays token ", ["show", "rotate"]),
        ("airelays service in", ["install"]),
        ("airelays docs disc", ["disclaimer"]),
        ("airelays serve --rea", ["--ready-file"]),
        ("airelays logs prune --dr", ["--dry-run"]),
        ("airelays connect aid", ["aider"]),
        ("airelays --config /x token ", ["show", "rotate"]),
        ("airelays --config = /x --data-dir /y token r", ["rotate"]),
        ("airelays --he", ["--help"]),
        ("airelays token --off", ["--offline"]),
        (
            "airelays -",
            [
                *("--auth-storage", "--bearer-token-file", "--ca-file", "--config", "--data-dir"),
                *("--help", "--logs-dir", "--no-pager", "--offline", "--version"),
            ],
        ),
        ("airelays serve --network-scope ", ["loopback", "private", "any"]),
        ("airelays serve --network-scope = pr", ["private"]),
        ("airelays serve --network-scope =", ["loopback", "private", "any"]),
        ("airelays --auth-storage key", ["keyring"]),
        ("airelays service print --kind ", ["systemd", "launchd", "windows"]),
        ("airelays logs --lines ", []),
        ("airelays logs -n 5 pr", ["prune"]),
        ("airelays serve --port 8 --rea", ["--ready-file"]),
        ("airelays serve --config /nonex", []),
    ],
)
def test_bash_offers_what_may_come_next(tmp_path: Path, line: str, offered: list[str]) -> None:
    assert bash_offers(tmp_path, line) == offered


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish", "powershell"])
def test_a_completion_knows_every_command_and_flag(tmp_path: Path, shell: str) -> None:
    text = run(tmp_path, "completion", shell).stdout
    for command in COMMANDS:
        assert command.name.split()[-1] in text
        for flag in flags_of(command):
            assert (flag.name if shell != "fish" else f"-l {flag.name[2:]} ") in text + " "
    tool = shutil.which({"powershell": "pwsh"}.get(shell, shell))
    if tool is not None and shell != "powershell":
        done = subprocess.run([tool, "-n"], input=text, capture_output=True, text=True)
        assert (done.returncode, done.stderr) == (0, "")


def test_an_unknown_shell_is_named(tmp_path: Path) -> None:
    done = run(tmp_path, "completion", "csh")
    assert done.returncode == 2
    assert (
        done.stderr == "airelays: the shell is 'csh'; expected one of bash, zsh, fish, powershell\n"
    )


def test_the_manual_page_is_clean_troff(tmp_path: Path) -> None:
    text = run(tmp_path, "manpage").stdout
    for command in SHOWN:
        assert f".SS airelays {command.name}".replace("-", "\\-") in text
    if shutil.which("man") is None:
        pytest.skip("there is no man here")
    page = tmp_path / "airelays.1"
    page.write_text(text)
    done = subprocess.run(
        ["man", "--warnings", "-l", str(page)],
        env={**os.environ, "LC_ALL": "C.UTF-8", "MANWIDTH": "80"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.stderr == "" and "airelays token show" in done.stdout
