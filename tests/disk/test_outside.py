"""Files outside the relay's own folders: one writer, no link that is not the user's own, no FIFO that is waited for."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from airelays.commands.connect.command import BEGIN
from airelays.disk.outside import find_target, remove_outside, write_outside
from airelays.disk.regular import NotRegular, check_regular, open_regular, read_regular
from airelays.errors import ConfigError
from tests import live

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 60.0
OTHER = 12345

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links, owners and modes are POSIX")
needs_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can be root, and make others' files"
)
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="systemd is of Linux")


def refused(work: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        work()
    return str(caught.value)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def identity(path: Path) -> tuple[int, ...]:
    """What a write would change, and reading would not."""
    found = path.lstat()
    return found.st_ino, found.st_mode, found.st_uid, found.st_size, found.st_mtime_ns


class Person:
    """Somebody who is not root, with a home folder; commands run as that user."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.uid = OTHER if os.geteuid() == 0 else os.geteuid()

    def run(self, *words: str, **env: str) -> subprocess.CompletedProcess[str]:
        """Run a command as that user, who may read everything: the interpreter can be in a folder of root's."""
        become: list[str] = []
        if os.geteuid() == 0:
            become = ["setpriv", f"--reuid={self.uid}", f"--regid={self.uid}", "--clear-groups"]
            become += ["--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search", "--"]
        return subprocess.run(
            [*become, sys.executable, "-m", "airelays", *words],
            env={"HOME": str(self.home), "PYTHONPATH": str(ROOT), "PATH": os.defpath, **env},
            cwd="/",
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )

    def put(self, name: str, text: str, mode: int = 0o644) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(mode)
        self.own()
        return path

    def link(self, name: str, target: Path | str, uid: int | None = None) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.symlink_to(target)
        self.own()
        if uid is not None:
            os.chown(path, uid, uid, follow_symlinks=False)
        return path

    def own(self) -> None:
        if os.geteuid() == 0:
            for path in (self.home, *self.home.rglob("*")):
                os.chown(path, self.uid, self.uid, follow_symlinks=False)


@pytest.fixture
def person() -> Iterator[Person]:
    """In a folder that everybody may enter, which pytest's own are not."""
    if os.geteuid() == 0 and shutil.which("setpriv", path=os.defpath) is None:
        pytest.skip("there is no setpriv here to become another user")
    folder = Path(tempfile.mkdtemp(prefix="airelays-outside-"))
    try:
        folder.chmod(0o755)
        (folder / "home").mkdir()
        one = Person(folder / "home")
        one.own()
        yield one
    finally:
        shutil.rmtree(folder, ignore_errors=True)


CODEX = ".codex/config.toml"


# ---- the writer


def test_a_new_file_has_the_mode_that_was_asked_for(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "new"
    assert write_outside(str(path), b"x", mode=0o644, folder_mode=0o755) == str(path)
    assert path.read_bytes() == b"x" and mode(path) == 0o644
    assert {mode(tmp_path / "a"), mode(path.parent)} == {0o755}
    write_outside(str(tmp_path / "c" / "secret"), b"y")
    assert (mode(tmp_path / "c"), mode(tmp_path / "c" / "secret")) == (0o700, 0o600)


@pytest.mark.parametrize(
    ("before", "most", "after"), [(0o640, 0o777, 0o640), (0o666, 0o644, 0o644)]
)
def test_an_existing_file_keeps_its_mode_less_what_it_may_not_have(
    tmp_path: Path, before: int, most: int, after: int
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    path.chmod(before)
    inode = path.stat().st_ino
    write_outside(str(path), b"new", most=most)
    assert (path.read_bytes(), mode(path)) == (b"new", after)
    assert path.stat().st_ino != inode  # renamed into its place, never opened for writing
    assert os.listdir(tmp_path) == ["f"]


@needs_root
def test_an_existing_file_keeps_its_owner_and_a_new_one_is_of_the_folder_s(tmp_path: Path) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    (folder / "old").write_bytes(b"old")
    for path in (folder, folder / "old"):
        os.chown(path, OTHER, OTHER + 1)
    write_outside(str(folder / "old"), b"new")
    write_outside(str(folder / "deep" / "new"), b"new")
    for path in (folder / "old", folder / "deep", folder / "deep" / "new"):
        assert (path.stat().st_uid, path.stat().st_gid) == (OTHER, OTHER + 1), path


@contextlib.contextmanager
def special(path: Path, kind: str) -> Iterator[str]:
    """Put something that is not a file at `path`; give the word for it."""
    with contextlib.ExitStack() as stack:
        if kind == "FIFO":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "device":
            path.unlink(missing_ok=True)
            os.mknod(path, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        else:
            here = os.getcwd()
            os.chdir(path.parent)  # the name of a socket has little room
            try:
                stack.enter_context(socket.socket(socket.AF_UNIX)).bind(path.name)
            finally:
                os.chdir(here)
        yield kind


KINDS = ["FIFO", "socket", "folder", pytest.param("device", marks=needs_root)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_file_is_neither_written_nor_removed(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    sentence = f"{path} is a {kind}, not a regular file; move it away, then try again"
    with special(path, kind):
        before = identity(path)
        assert refused(lambda: write_outside(str(path), b"x")) == sentence
        assert refused(lambda: remove_outside(str(path))) == sentence
        assert refused(lambda: find_target(str(path), str(tmp_path))) == sentence
        assert identity(path) == before
    assert os.listdir(tmp_path) == ["it"]


@needs_root
def test_root_follows_no_link(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"kept")
    link.symlink_to(target)
    assert refused(lambda: write_outside(str(link), b"x", home=str(tmp_path))) == (
        f"{link} is a link to {target}, and root does not follow links; run the command as the user whose file it is, "
        "or put a file in place of the link"
    )
    assert target.read_bytes() == b"kept" and link.is_symlink()


@needs_root
def test_root_goes_through_no_folder_link_of_another_user(tmp_path: Path) -> None:
    home, elsewhere = tmp_path / "home", tmp_path / "etc"
    home.mkdir()
    elsewhere.mkdir()
    (home / ".codex").symlink_to(elsewhere)
    os.chown(home / ".codex", OTHER, OTHER, follow_symlinks=False)
    assert refused(lambda: write_outside(str(home / CODEX), b"x")) == (
        f"{home}/.codex is a link of user {OTHER}, you are 0; it is not followed"
    )
    assert os.listdir(elsewhere) == []
    os.chown(home / ".codex", 0, 0, follow_symlinks=False)
    write_outside(str(home / CODEX), b"x")  # a link of root's own, as /home is on some systems
    assert os.listdir(elsewhere) == ["config.toml"]


def test_links_in_a_circle_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    said = refused(lambda: write_outside(str(tmp_path / "a" / "f"), b"x"))
    assert f"{tmp_path}/a/f cannot be written: Too many levels of symbolic links; look at " in said


def test_a_write_that_fails_leaves_the_old_file_and_nothing_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "f").write_bytes(b"old")

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    said = refused(lambda: write_outside(str(tmp_path / "f"), b"new"))
    assert said == (
        f"{tmp_path}/f cannot be written: No space left on device; edit the file by hand"
    )
    assert os.listdir(tmp_path) == ["f"] and (tmp_path / "f").read_bytes() == b"old"


# ---- links of a user who manages dotfiles


def test_the_target_of_the_user_s_own_link_is_written_and_the_link_stays(person: Person) -> None:
    target = person.put("dotfiles/codex.toml", "# mine\n", 0o640)
    link = person.link(CODEX, "../dotfiles/codex.toml")
    done = person.run("connect", "codex", "--write")
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith(f"wrote {target}; the previous file is {target}.airelays.bak\n")
    assert link.is_symlink() and os.readlink(link) == "../dotfiles/codex.toml"
    assert BEGIN in target.read_text() and mode(target) == 0o640
    assert target.stat().st_uid == person.uid
    done = person.run("connect", "codex", "--undo")
    assert done.returncode == 0, done.stderr
    assert done.stdout == (
        f"removed the block from {target}; the previous file is {target}.airelays.bak\n"
    )
    assert link.is_symlink() and target.read_text() == "# mine\n" and mode(target) == 0o640
    assert BEGIN in Path(f"{target}.airelays.bak").read_text()


def test_undo_through_a_link_takes_out_every_block_and_keeps_the_link(person: Person) -> None:
    target = person.put("dotfiles/codex.toml", "")
    link = person.link(CODEX, target)
    assert person.run("connect", "codex", "--write").returncode == 0
    block = target.read_text()
    other = block.replace("[model_providers.airelays]", "[model_providers.second]")
    person.put("dotfiles/codex.toml", f"{block}\n{other}")
    done = person.run("connect", "codex", "--undo")
    assert done.returncode == 0, done.stderr
    assert f"the previous file is {target}.airelays.bak" in done.stdout
    assert link.is_symlink() and target.read_text().strip() == ""


def test_undo_that_would_leave_a_broken_file_is_refused(person: Person) -> None:
    target = person.put("dotfiles/codex.toml", "x = [\n")
    person.link(CODEX, target)
    text = f"x = [\n{BEGIN}\n]\n# <<< airelays connect <<<\n"
    person.put("dotfiles/codex.toml", text)
    done = person.run("connect", "codex", "--undo")
    assert (done.returncode, done.stderr) == (
        1,
        f"airelays: {person.home}/{CODEX} would not be valid TOML without the block; remove the block by hand\n",
    )
    assert target.read_text() == text


@pytest.mark.parametrize("dotted", [True, False])
def test_a_folder_of_dotfiles_may_itself_be_a_link(person: Person, dotted: bool) -> None:
    person.put("dotfiles/codex/keep", "")
    person.link(
        ".codex", "./dotfiles/../dotfiles/codex" if dotted else person.home / "dotfiles/codex"
    )
    assert person.run("connect", "codex", "--write").returncode == 0
    assert BEGIN in (person.home / "dotfiles/codex/config.toml").read_text()


def refusals(person: Person, case: str) -> tuple[Path, str]:
    """Prepare one link that is refused; return its target and the reason."""
    home = person.home
    if case == "outside the home":
        target = home.parent / "outside"
        target.write_text("kept")
        if os.geteuid() == 0:
            os.chown(target, person.uid, person.uid)
        return target, f"which is outside {home}"
    if case == "a device":
        return Path("/dev/null"), "which is a device, not a regular file"
    if case == "a FIFO":
        os.mkfifo(home / "pipe")
        return home / "pipe", "which is a FIFO, not a regular file"
    if case == "nothing":
        return home / "gone", "and there is no such file"
    if case == "a circle":
        (home / "one").symlink_to(home / "two")
        (home / "two").symlink_to(home / "one")
        return home / "one", "which leads in a circle"
    raise AssertionError(case)


@pytest.mark.parametrize("case", ["outside the home", "a device", "a FIFO", "nothing", "a circle"])
def test_every_other_link_is_refused_with_path_and_target(person: Person, case: str) -> None:
    target, reason = refusals(person, case)
    link = person.link(CODEX, target)
    for flag in ("--write", "--undo"):
        done = person.run("connect", "codex", flag)
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(f"airelays: {link} is a link to {target}, {reason}"), done
    assert link.is_symlink()
    if case == "outside the home":
        assert target.read_text() == "kept"
    assert sorted(p.name for p in link.parent.iterdir()) == ["config.toml"]


@needs_root
def test_what_belongs_to_somebody_else_is_refused(person: Person) -> None:
    target = person.put("theirs", "kept")
    os.chown(target, 0, 0)
    link = person.home / CODEX
    link.parent.mkdir()
    link.symlink_to(target)
    os.chown(link.parent, person.uid, person.uid)
    for uid, reason in ((0, "that belongs to user 0"), (person.uid, "which belongs to user 0")):
        os.chown(link, uid, uid, follow_symlinks=False)
        done = person.run("connect", "codex", "--write")
        assert done.returncode == 1 and f"is a link to {target}" in done.stderr
        assert reason in done.stderr and target.read_text() == "kept"
    link.unlink()
    target.rename(link)
    done = person.run("connect", "codex", "--write")
    assert done.stderr == (
        f"airelays: {link} belongs to user 0, you are {person.uid}; edit the file by hand\n"
    )


def test_a_config_that_is_a_link_is_written_where_it_is(person: Person) -> None:
    target = person.put("dotfiles/airelays.toml", "[server]\nport = 8099\n", 0o600)
    link = person.link(".config/airelays/config.toml", target)
    done = person.run("init", "--force")
    assert done.returncode == 0, done.stderr
    assert link.is_symlink() and "port = 8099" in target.read_text()
    assert target.with_name("airelays.toml.bak").read_text() == "[server]\nport = 8099\n"


# ---- units


@pytest.fixture
def manager(person: Person) -> str:
    """A PATH with a `systemctl` that notes its arguments."""
    tool = person.put("bin/systemctl", f'#!/bin/sh\necho "$@" >> {person.home}/told\n')
    tool.chmod(0o755)
    return f"{tool.parent}:{os.defpath}"


UNIT = ".config/systemd/user/airelays.service"


@needs_linux
@pytest.mark.parametrize("mask", ["a link to /dev/null", "empty"])
def test_a_masked_unit_is_reported_as_masked(person: Person, manager: str, mask: str) -> None:
    unit = person.put(UNIT, "") if mask == "empty" else person.link(UNIT, "/dev/null")
    null, before = os.stat("/dev/null"), identity(unit)
    done = person.run("service", "install", PATH=manager)
    assert (done.returncode, done.stderr) == (
        1,
        f"airelays: airelays.service is masked ({unit} is {mask}), so it is not installed; to allow it, run: "
        "systemctl --user unmask airelays.service\n",
    )
    shown = person.run("service", "status", PATH=manager).stdout
    assert "Masked:" in shown and "systemctl --user unmask airelays.service" in shown
    done = person.run("service", "uninstall", PATH=manager)
    assert done.stdout == (
        "Not installed: airelays.service is masked; systemctl --user unmask airelays.service allows it again\n"
    )
    assert identity(unit) == before
    assert os.stat("/dev/null").st_mode == null.st_mode
    assert "enable" not in (person.home / "told").read_text()


@needs_linux
def test_a_unit_is_never_written_through_a_link(person: Person, manager: str) -> None:
    target = person.put("dotfiles/unit", "# kept\n")
    unit = person.link(UNIT, target)
    for command in ("install", "uninstall"):
        done = person.run("service", command, PATH=manager)
        assert (done.returncode, done.stderr) == (
            1,
            f"airelays: {unit} is a link to {target}, and this file is never written through a link; "
            "remove the link, then try again\n",
        )
    assert target.read_text() == "# kept\n" and unit.is_symlink()
    assert not (person.home / "told").exists()


@needs_linux
@needs_root
def test_a_masked_unit_of_the_machine_leaves_dev_null_alone(tmp_path: Path) -> None:
    """`service install --system` as root, with a /dev/null and an /etc/systemd of this test's own."""
    if shutil.which("unshare") is None:
        pytest.skip("there is no unshare here")
    (tmp_path / "etc").mkdir()
    script = (
        f"mount --bind {tmp_path}/etc /etc/systemd/system && "
        f"ln -s /dev/null /etc/systemd/system/airelays.service && "
        f"stat -c '%a %t %T' /dev/null && {sys.executable} -m airelays service install --system --no-start; "
        "echo code $?; stat -c '%a %t %T' /dev/null; readlink /etc/systemd/system/airelays.service"
    )
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script],
        env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    if "mount:" in done.stderr or "unshare:" in done.stderr:
        pytest.skip("a mount of its own cannot be made here")
    assert done.stdout.splitlines() == ["666 1 3", "code 1", "666 1 3", "/dev/null"]
    assert "run: systemctl unmask airelays.service" in done.stderr


# ---- reading


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_not_a_file_is_not_opened_for_reading(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it"
    with special(path, kind):
        for read in (open_regular, check_regular, lambda p: read_regular(p, 10)):
            with pytest.raises(OSError) as caught:
                read(str(path))
            if kind == "folder":
                assert isinstance(caught.value, IsADirectoryError)
            else:
                assert isinstance(caught.value, NotRegular)
                assert caught.value.strerror == f"it is a {kind}, not a regular file"
    assert not check_regular(str(tmp_path / "gone"))


# Every file that the program reads, by the command that reads it first.
READ = {
    "config": (".config/airelays/config.toml", ("config", "check"), 1),
    "token": (".airelays/relay-token", ("token", "show"), 1),
    "sign-in": (".airelays/auth.json", ("status",), 3),
    "client settings": (CODEX, ("connect", "codex", "--write"), 1),
    "client settings, undo": (CODEX, ("connect", "codex", "--undo"), 1),
    "database": (".airelays/state.sqlite3", ("storage",), 1),
    "database log": (".airelays/state.sqlite3-wal", ("storage", "check"), 1),
    "database journal": (".airelays/state.sqlite3-journal", ("storage", "check"), 1),
    "log policy": (".airelays/logs/.retention.json", ("logs",), 1),
    "lock": (".airelays/relay.lock", ("serve", "--demo", "--port", "0"), 1),
    "unit": (UNIT, ("service", "install"), 1),
}


@pytest.mark.parametrize("kind", ["FIFO", "socket", pytest.param("device", marks=needs_root)])
@pytest.mark.parametrize("what", READ)
def test_what_takes_the_place_of_a_file_is_refused_at_once(
    tmp_path: Path, what: str, kind: str
) -> None:
    name, words, code = READ[what]
    path = tmp_path / name
    path.parent.mkdir(parents=True)
    for folder in (path.parent, tmp_path / ".airelays"):
        if folder.exists():
            folder.chmod(0o700)
    if what.startswith("database "):
        (tmp_path / ".airelays" / "state.sqlite3").touch(0o600)
    with special(path, kind):
        done = subprocess.run(
            [sys.executable, "-m", "airelays", *words],
            env={"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "PATH": os.defpath},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
        assert done.returncode == code, done.stdout + done.stderr
        said = done.stdout + done.stderr
        assert "Traceback" not in said and "not a regular file" in said, said
        assert path.name in said


def test_a_relay_answers_when_its_database_is_a_pipe(tmp_path: Path) -> None:
    with live.running(tmp_path) as relay:
        data = tmp_path / ".airelays"
        os.mkfifo(data / "state.sqlite3")
        reply = relay.get("/v1/files")
        assert reply.status == 503
        assert "state.sqlite3 is not a regular file" in reply.json()["error"]["message"]
        assert relay.get("/v1/models").status == 200


def test_a_stored_file_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    from tests.state.test_live_files import upload

    with live.running(tmp_path) as relay:
        made = upload(relay, b"some bytes").json()["id"]
        path = tmp_path / ".airelays" / "uploads" / made
        path.unlink()
        os.mkfifo(path)
        assert relay.get(f"/v1/files/{made}/content").status in (404, 503)
        assert relay.get("/v1/models").status == 200
