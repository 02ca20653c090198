"""Running in the background: service files, their installation, the notification, completions, the manual page."""

from __future__ import annotations

import os
import plistlib
import shutil
import socket
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from airelays.commands.line import flags_of
from airelays.commands.servicefile import service_text
from airelays.commands.table import COMMANDS
from tests import live

ROOT = Path(__file__).resolve().parent.parent
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
    unit.write_text(service_text("systemd", [str(program)], system=system))
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
        ('/q"u\\o', '"/q\\"u\\\\o"'),
    ],
)
def test_words_of_a_unit_are_quoted(word: str, quoted: str) -> None:
    assert f"ExecStart={quoted} serve\n" in service_text("systemd", [word], system=False)


def test_the_unit_is_hardened_and_waits_for_ready() -> None:
    text = service_text("systemd", ["/usr/bin/airelays"], system=True)
    lines = set(text.splitlines())
    assert {
        "Type=notify",
        "DynamicUser=yes",
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
    assert found["ProgramArguments"] == ["/a & b/air<lays", "serve"]
    assert found["Umask"] == 0o077 and found["RunAtLoad"] is True
    assert found["StandardErrorPath"] == "/Users/x/Library/Logs/airelays.log"


def test_the_task_is_one() -> None:
    words = [r"C:\Program Files\a&b\python.exe", "-I", r"C:\x y\airelays.py"]
    tree = ElementTree.fromstring(service_text("windows", words, system=False))
    space = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"
    assert tree.findtext(f".//{space}Command") == words[0]
    assert tree.findtext(f".//{space}Arguments") == r'-I "C:\x y\airelays.py" serve'
    assert tree.findtext(f".//{space}RunLevel") == "LeastPrivilege"


# ---- installation, with a manager that writes down what it is told


@pytest.fixture
def manager(tmp_path: Path) -> Path:
    """A folder with a `systemctl` that notes its arguments; `fails` beside it makes it fail."""
    folder = tmp_path / "bin"
    folder.mkdir()
    tool = folder / "systemctl"
    tool.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/told\nif [ -e {folder}/fails ]; then echo "no bus" >&2; exit 3; fi\n'
    )
    tool.chmod(0o755)
    return folder


needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")


@needs_linux
def test_a_user_service_is_installed_shown_and_removed(tmp_path: Path, manager: Path) -> None:
    path = f"{manager}:{os.defpath}"
    unit = tmp_path / ".config" / "systemd" / "user" / "airelays.service"
    done = run(tmp_path, "service", "install", PATH=path)
    assert done.returncode == 0, done.stderr
    assert unit.read_text() == run(tmp_path, "service", "print").stdout
    assert (manager / "told").read_text().splitlines() == [
        "--user daemon-reload",
        "--user enable --now airelays.service",
    ]
    assert run(tmp_path, "service", "status", PATH=path).returncode == 0
    done = run(tmp_path, "service", "uninstall", PATH=path)
    assert done.returncode == 0 and not unit.exists()
    assert "--user disable --now airelays.service" in (manager / "told").read_text()
    assert run(tmp_path, "service", "uninstall", PATH=path).stdout.startswith("Not installed: ")


@needs_linux
def test_a_manager_that_refuses_is_quoted(tmp_path: Path, manager: Path) -> None:
    (manager / "fails").touch()
    done = run(tmp_path, "service", "install", PATH=f"{manager}:{os.defpath}")
    assert done.returncode == 1
    assert done.stderr == "airelays: `systemctl --user daemon-reload` failed: no bus\n"
    assert run(tmp_path, "service", "status", PATH=f"{manager}:{os.defpath}").returncode == 1


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
            assert sock.recv(100) == b"STOPPING=1"


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
    assert done.returncode == 1
    assert done.stderr == "airelays: the shell is 'csh'; expected bash, zsh, fish, powershell\n"


def test_the_manual_page_is_clean_troff(tmp_path: Path) -> None:
    text = run(tmp_path, "manpage").stdout
    for command in COMMANDS:
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
