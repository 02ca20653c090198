"""The system user of the machine-wide relay: whose folder it is, and what is left of root in a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from airelays.errors import ConfigError
from airelays.host.account import Account, environment, find_account, prepare_folder
from tests.live import DEADLINE_S

pytestmark = pytest.mark.skipif(
    sys.platform == "win32" or os.geteuid() != 0, reason="only root can become another user"
)
THEIRS = Account(65533, 65533)
# Prints what a process has: ids, groups, umask, folder, environment, descriptors, whether a terminal controls it.
LOOK = """
import json, os
umask = os.umask(0)
fds = [fd for fd in range(3, 64) if os.path.exists(f"/proc/self/fd/{fd}")]
try:
    os.setuid(0); back = True
except OSError:
    back = False
print(json.dumps({"ids": [*os.getresuid(), *os.getresgid()], "groups": os.getgroups(), "umask": umask,
    "cwd": os.getcwd(), "env": dict(os.environ), "fds": fds, "leads": os.getsid(0) == os.getpid(), "back": back}))
"""
BECOME = """
import os, sys
from airelays.host.account import Account, environment, run_as
os.setgroups([0, 4, 27])
os.dup2(os.open("/etc/shadow", os.O_RDONLY), 50)
sys.exit(run_as(Account(65533, 65533), ["/usr/bin/python3", "-S", "-c", sys.argv[1]], environment(os.environ)))
"""


@pytest.mark.skipif(not Path("/usr/bin/python3").exists(), reason="no Python for every user")
def test_nothing_of_root_is_left() -> None:
    done = subprocess.run(
        [sys.executable, "-c", BECOME, LOOK],
        env={"PYTHONPATH": os.getcwd(), "TERM": "vt100", "AWS_SECRET": "x", "AIRELAYS_PORT": "1"},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    found = json.loads(done.stdout)
    env = found.pop("env")
    env.pop("LC_CTYPE", None)
    assert env == environment({"TERM": "vt100"})
    assert all(fd < 4 for fd in found.pop("fds"))  # the folder that is being listed
    assert found == {
        "ids": [65533] * 6,
        "groups": [],
        "umask": 0o077,
        "cwd": "/",
        "leads": True,
        "back": False,
    }


@pytest.mark.parametrize(("words", "code"), [("sys.exit(3)", 3), ("os.kill(os.getpid(), 9)", 137)])
def test_the_exit_code_is_that_of_the_command(words: str, code: int) -> None:
    look = f"import os, sys; {words}"
    done = subprocess.run(
        [sys.executable, "-c", BECOME, look],
        env={"PYTHONPATH": os.getcwd()},
        capture_output=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == code


@pytest.mark.parametrize("words", [["login"], ["token", "show"], ["key", "list"], ["doctor"]])
def test_without_a_machine_wide_relay_it_is_one_sentence(tmp_path: Path, words: list[str]) -> None:
    if find_account() is not None:
        pytest.skip("this machine has one")
    done = subprocess.run(
        [sys.executable, "-m", "airelays", *words, "--system"],
        env={"PYTHONPATH": os.getcwd(), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1 and done.stderr.startswith(
        (
            "airelays: there is no machine-wide relay on this machine (no user airelays); install it: sudo ",
            "airelays: --system works only on machines with systemd; leave it out",
        )
    )
    assert not list(tmp_path.iterdir())


def test_hints_are_for_the_machine_wide_relay() -> None:
    look = (
        "from airelays.hints import hint, know_start, know_system; know_start('airelays'); "
        "know_system(('login', 'token rotate')); "
        "print(*map(hint, ('login --device', 'serve', 'init', 'connect CLIENT')), sep='|')"
    )
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True)
    assert done.stdout.strip().split("|") == [
        "airelays login --device --system",
        "systemctl restart airelays",
        "airelays token rotate --system",
        "airelays connect CLIENT",
    ]


def test_a_folder_of_that_user_is_fine(tmp_path: Path) -> None:
    os.chown(tmp_path, *THEIRS)
    tmp_path.chmod(0o700)
    prepare_folder(THEIRS, str(tmp_path))


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda path: path.mkdir(0o700), "belongs to user 0, but the machine-wide relay runs as"),
        (
            lambda path: path.symlink_to("/etc"),
            "is a link to /etc; use the folder that it leads to",
        ),
        (lambda path: path.touch(), "is not a folder; move it away"),
        (lambda path: None, "cannot be used .* install -d -o airelays -g airelays -m 700"),
    ],
    ids=["root", "link", "file", "nothing"],
)
def test_a_folder_that_is_not_that_users_is_refused(
    tmp_path: Path, make: object, sentence: str
) -> None:
    make(tmp_path / "d")  # type: ignore[operator]
    with pytest.raises(ConfigError, match=sentence):
        prepare_folder(THEIRS, str(tmp_path / "d"))


def test_a_folder_that_others_can_change_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, *THEIRS)
    tmp_path.chmod(0o770)
    with pytest.raises(
        ConfigError, match=r"can be changed by users other than airelays .mode 0770."
    ):
        prepare_folder(THEIRS, str(tmp_path))
