"""Secret files, the lock between processes, the relay token: on a real disk, with real processes."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from airelays.credentials.as_owner import (
    check_readable,
    make_their_dir,
    opened,
    put,
)
from airelays.credentials.lock import FileLock
from airelays.credentials.secretfile import (
    create_private,
    read_secret,
    sweep_leftovers,
    write_private,
)
from airelays.credentials.token import (
    TokenSource,
    create_token,
    fingerprint,
    generate_token,
    write_token,
)
from airelays.disk.folder import make_private_dir
from airelays.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="modes and owners are POSIX")
as_root = pytest.mark.skipif(
    os.name != "posix" or os.geteuid() != 0, reason="only root can make a file of somebody else"
)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def read(path: Path) -> tuple[bytes | None, list[str]]:
    warnings: list[str] = []
    return read_secret(str(path), warn=warnings.append), warnings


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(ConfigError) as caught:
        act()
    return str(caught.value)


def age(path: Path, seconds: int) -> None:
    now = path.lstat().st_mtime
    os.utime(path, (now - seconds, now - seconds), follow_symlinks=False)


# Writing


@posix
@pytest.mark.parametrize("umask", [0o000, 0o022, 0o277])
def test_a_written_file_is_0600_in_a_0700_folder_whatever_the_umask(
    tmp_path: Path, umask: int
) -> None:
    path = tmp_path / "new" / "secret"
    before = os.umask(umask & 0o077)
    try:
        make_private_dir(str(path.parent))
        os.umask(umask)
        write_private(str(path), b"x")
    finally:
        os.umask(before)
    assert mode(path) == 0o600
    assert mode(path.parent) == 0o700
    assert os.listdir(path.parent) == ["secret"]


@posix
def test_bytes_are_durable_before_the_name_and_the_name_after(tmp_path: Path) -> None:
    # What a crash would leave cannot be seen without one; the order of the system calls can.
    seen: list[str] = []

    def note(frame: object, event: str, what: Any) -> None:
        if event == "c_call" and what in (os.write, os.fsync, os.replace):
            seen.append(what.__name__)

    sys.setprofile(note)
    try:
        write_private(str(tmp_path / "secret"), b"x")
    finally:
        sys.setprofile(None)
    assert seen == ["write", "fsync", "replace", "fsync"]


def test_a_file_is_replaced_and_never_changed_in_place(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(str(path), b"old")
    with open(path, "rb") as reader:
        write_private(str(path), b"new")
        assert reader.read() == b"old"
    assert read(path) == (b"new", [])


def test_the_previous_content_can_be_kept(tmp_path: Path) -> None:
    path, backup = tmp_path / "secret", tmp_path / "secret.bak"
    write_private(str(path), b"1", backup=True)
    assert not backup.exists()
    write_private(str(path), b"2", backup=True)
    write_private(str(path), b"3", backup=True)
    assert (path.read_bytes(), backup.read_bytes()) == (b"3", b"2")
    assert mode(backup) == 0o600
    assert sorted(os.listdir(tmp_path)) == ["secret", "secret.bak"]


@posix
def test_a_symbolic_link_is_neither_written_through_nor_replaced(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "secret"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    assert refused(lambda: write_private(str(link), b"x")) == (
        f"{link} is not a regular file; move it away, then try again"
    )
    assert link.is_symlink() and target.read_bytes() == b"theirs"


def test_a_folder_in_the_way_is_refused(tmp_path: Path) -> None:
    assert refused(lambda: write_private(str(tmp_path), b"x")).startswith(
        f"{tmp_path} is not a regular file"
    )


@posix
def test_a_disk_that_is_full_leaves_the_old_content_and_nothing_else() -> None:
    # /dev/full stands for the disk only as a file, so a limit on file size plays the full disk.
    script = """
import os, resource, signal, sys, tempfile
from airelays.credentials.secretfile import write_private
from airelays.errors import ConfigError
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
folder = tempfile.mkdtemp()
path = os.path.join(folder, "secret")
write_private(path, b"old")
resource.setrlimit(resource.RLIMIT_FSIZE, (4, 4))
try:
    write_private(path, b"longer than four")
except ConfigError as error:
    print(error)
print(open(path, "rb").read(), os.listdir(folder))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
    )
    sentence, rest = done.stdout.splitlines()
    assert sentence.endswith("/secret cannot be written: File too large")
    assert rest == "b'old' ['secret']"


def test_of_many_who_create_at_once_exactly_one_does(tmp_path: Path) -> None:
    path = str(tmp_path / "secret")
    start = threading.Barrier(8)
    made: list[bytes] = []

    def create(content: bytes) -> None:
        start.wait()
        if create_private(path, content):
            made.append(content)

    threads = [threading.Thread(target=create, args=(b"%d" % n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [Path(path).read_bytes()] == made
    assert os.listdir(tmp_path) == ["secret"]


def test_old_leftovers_are_swept_and_young_ones_kept(tmp_path: Path) -> None:
    old, young, other = (
        tmp_path / f".{name}.00.staged" for name in ("secret", "secret.x", "other")
    )
    plain = tmp_path / "secret.staged"
    for path in (old, young, other, plain):
        path.write_bytes(b"half")
    for path in (old, other, plain):
        age(path, 120)
    write_private(str(tmp_path / "secret"), b"x")
    assert sorted(os.listdir(tmp_path)) == sorted(
        [young.name, other.name, "secret", "secret.staged"]
    )
    assert sweep_leftovers(str(tmp_path)) == 1
    assert not other.exists() and young.exists() and plain.exists()
    assert sweep_leftovers(str(tmp_path / "missing")) == 0


# Reading


def test_a_missing_file_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / "missing") == (None, [])


@posix
@pytest.mark.parametrize("bits", [0o640, 0o604, 0o644, 0o611])
def test_a_file_that_others_could_read_is_closed_with_a_warning(tmp_path: Path, bits: int) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(bits)
    warning = f"{path} could be read by other users (mode {bits:04o}); it is now 0600"
    assert read(path) == (b"x", [warning])
    assert mode(path) == 0o600
    assert read(path) == (b"x", [])


@posix
@pytest.mark.parametrize("bits", [0o620, 0o602, 0o666, 0o777])
def test_a_file_that_others_could_change_is_refused_with_the_command(
    tmp_path: Path, bits: int
) -> None:
    path = tmp_path / "a secret"
    path.write_bytes(b"x")
    path.chmod(bits)
    assert refused(lambda: read(path)) == (
        f"{path} can be changed by other users (mode {bits:04o}); "
        f"check its content, then run: chmod 600 '{path}'"
    )
    assert mode(path) == bits


@as_root
def test_a_file_of_somebody_else_is_refused_and_not_to_be_made_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    path.write_bytes(b"x")
    path.chmod(0o600)
    os.chown(path, 12345, -1)
    sentence = f"{path} belongs to user 12345, you are 0; check its content, then move it away"
    assert refused(lambda: read(path)) == sentence
    os.chown(tmp_path, 54321, -1)
    assert refused(lambda: read(path)) == sentence
    os.chown(tmp_path, 12345, -1)
    tmp_path.chmod(0o770)
    assert refused(lambda: read(path)) == sentence
    tmp_path.chmod(0o700)
    assert read(path) == (b"x", [])


@posix
def test_a_symbolic_link_is_not_read(tmp_path: Path) -> None:
    target, link = tmp_path / "target", tmp_path / "secret"
    write_private(str(target), b"x")
    link.symlink_to(target)
    assert refused(lambda: read(link)) == (
        f"{link} is a symbolic link; put the file itself there, or use its target's path"
    )


@posix
def test_a_pipe_or_a_folder_is_refused_without_waiting(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, tmp_path):
        said: list[str] = []

        def look(path: Path = path, said: list[str] = said) -> None:
            said.append(refused(lambda: read(path)))

        # In a thread: opening a pipe could wait for ever.
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        looking.join(5.0)
        assert said == [f"{path} is not a regular file; move it away, then try again"]


@pytest.mark.parametrize(("size", "good"), [(9, True), (10, True), (11, False)])
def test_the_size_limit_is_exact(tmp_path: Path, size: int, good: bool) -> None:
    path = tmp_path / "secret"
    write_private(str(path), b"x" * size)

    def read_limited() -> bytes | None:
        return read_secret(str(path), warn=print, max_bytes=10)

    if good:
        assert read_limited() == b"x" * size
    else:
        assert refused(read_limited) == (
            f"{path} is larger than 10 bytes; so it is not a file of the relay"
        )


# Folders


@posix
def test_a_folder_of_ours_is_closed_to_others(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.mkdir()
    path.chmod(0o755)
    make_private_dir(str(path))
    assert mode(path) == 0o700


@posix
def test_a_folder_that_everybody_shares_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "shared"
    path.mkdir()
    path.chmod(0o1777)
    assert refused(lambda: make_private_dir(str(path))) == (
        f"{path} is a folder shared by all users; choose your own"
    )
    assert mode(path) == 0o1777


@as_root
def test_a_folder_of_somebody_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "theirs"
    path.mkdir()
    os.chown(path, 12345, -1)
    assert refused(lambda: make_private_dir(str(path))) == (
        f"{path} belongs to user 12345, you are 0; run it as that user "
        "(sudo -u '#12345' airelays ...), or choose your own folder with --data-dir"
    )


def test_a_file_where_a_folder_should_be_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"")
    assert refused(lambda: make_private_dir(str(path))) == (
        f"folder {path} cannot be used: File exists; choose another one with --data-dir (and, where the home folder "
        "cannot be written, another config file with --config)"
    )


# Root in the folder of another user


@pytest.fixture
def theirs(tmp_path: Path) -> Path:
    """A private folder of another user."""
    path = tmp_path / "theirs"
    path.mkdir(mode=0o700)
    os.chown(path, 12345, 54321)
    return path


def owner(path: Path) -> tuple[int, int]:
    found = path.lstat()
    return found.st_uid, found.st_gid


@as_root
def test_what_root_writes_into_the_folder_of_another_user_is_theirs(theirs: Path) -> None:
    made, new, deep = theirs / "relay-token", theirs / "new", theirs / "logs" / "policy"
    made.write_bytes(b"left by root")
    write_private(str(made), b"x", keep_owner=True)
    assert create_private(str(new), b"x", keep_owner=True)
    assert not create_private(str(new), b"y", keep_owner=True)
    write_private(str(deep), b"x", keep_owner=True)
    for path in (made, new, deep):
        assert (owner(path), mode(path), path.read_bytes()) == ((12345, 54321), 0o600, b"x")
    assert (owner(deep.parent), mode(deep.parent)) == ((12345, 54321), 0o700)
    assert sorted(os.listdir(theirs)) == ["logs", "new", "relay-token"]
    own = theirs.parent / "own"
    write_private(str(own), b"x", keep_owner=True)
    assert owner(own)[0] == 0


@as_root
def test_without_being_asked_root_gives_nothing_away(theirs: Path) -> None:
    write_private(str(theirs / "copied"), b"x")
    assert owner(theirs / "copied")[0] == 0
    with pytest.raises(ValueError, match="not copied"):
        write_private(str(theirs / "copied"), b"x", backup=True, keep_owner=True)


@as_root
@pytest.mark.parametrize("bits", [0o720, 0o702, 0o1777])
def test_root_gives_nothing_to_a_folder_that_others_can_change(theirs: Path, bits: int) -> None:
    theirs.chmod(bits)
    sentence = refused(lambda: write_private(str(theirs / "secret"), b"x", keep_owner=True))
    assert sentence == (
        f"{theirs} of user 12345 can be changed by others (mode {bits:04o}); "
        "check its content, then make it private: chmod 700"
    )
    assert os.listdir(theirs) == []


@as_root
def test_a_folder_that_is_swapped_meanwhile_leads_root_nowhere(theirs: Path) -> None:
    moved, roots = theirs.parent / "moved", theirs.parent / "roots"
    roots.mkdir(mode=0o700)
    with opened(str(theirs)) as their:
        assert their is not None
        theirs.rename(moved)
        theirs.symlink_to(roots)
        assert put(their, str(theirs / "secret"), b"x", keep=False)
    assert os.listdir(roots) == []
    assert (moved / "secret").read_bytes() == b"x"


@as_root
def test_links_in_the_folder_of_another_user_give_them_nothing(theirs: Path) -> None:
    roots, soft, hard = (theirs.parent / "roots", theirs / "soft", theirs / "hard")
    roots.write_bytes(b"root's")
    roots.chmod(0o600)
    soft.symlink_to(roots)
    hard.hardlink_to(roots)
    assert refused(lambda: write_private(str(soft), b"x", keep_owner=True)) == (
        f"{soft} is not a regular file; move it away, then try again"
    )
    write_private(str(hard), b"x", keep_owner=True)
    assert (owner(roots)[0], roots.read_bytes()) == (0, b"root's")
    assert (owner(hard)[0], hard.read_bytes()) == (12345, b"x")


@as_root
def test_a_full_folder_of_root_s_is_not_given_away(
    theirs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_their_dir(str(theirs / "new"))
    assert owner(theirs / "new")[0] == 12345
    (theirs.parent / "roots").mkdir()
    (theirs.parent / "roots" / "secret").write_bytes(b"x")
    (theirs.parent / "roots").rename(theirs / "late")
    # What the other user could do between the two system calls.
    monkeypatch.setattr(os, "mkdir", lambda *_, **__: None)
    make_their_dir(str(theirs / "late"))
    assert owner(theirs / "late")[0] == 0


@as_root
def test_a_lock_that_root_makes_in_the_folder_of_another_user_is_theirs(theirs: Path) -> None:
    with FileLock(str(theirs / "lock")).held(0):
        assert (owner(theirs / "lock"), mode(theirs / "lock")) == ((12345, 54321), 0o600)
    (theirs.parent / "roots").write_bytes(b"")
    (theirs / "hard").hardlink_to(theirs.parent / "roots")
    with FileLock(str(theirs / "hard")).held(0):
        assert owner(theirs / "hard")[0] == 0


@posix
def test_a_folder_may_be_missing_but_not_closed(tmp_path: Path) -> None:
    check_readable(str(tmp_path))
    check_readable(str(tmp_path / "missing"))
    script = """
import os, sys
from airelays.credentials.as_owner import check_readable
from airelays.errors import ConfigError
import pwd
if os.geteuid() == 0:
    os.setuid(12345)
try:
    check_readable(sys.argv[1])
except ConfigError as error:
    print(error)
"""
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o000)
    done = subprocess.run(
        [sys.executable, "-c", script, str(closed)], cwd=ROOT, capture_output=True, text=True
    )
    assert done.stdout.startswith(f"{closed} cannot be read: Permission denied; it ")


# The lock

HOLD = """
import sys
from airelays.credentials.lock import FileLock
lock = FileLock(sys.argv[1])
print(lock.acquire(), flush=True)
sys.stdin.read()
"""


def hold_elsewhere(path: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(path)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.readline().strip() == b"True"
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    with process:
        process.send_signal(signal.SIGKILL)


def test_two_holders_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    first, second = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    assert first.acquire() and first.locked
    assert not second.acquire() and not second.acquire(0.02)
    first.release()
    first.release()
    assert second.acquire()
    second.release()
    assert (tmp_path / "lock").exists()


def test_a_lock_is_not_taken_twice_by_one_holder(tmp_path: Path) -> None:
    lock = FileLock(str(tmp_path / "lock"))
    with lock.held(0), pytest.raises(RuntimeError):
        lock.acquire()
    assert not lock.locked


def test_another_process_excludes_us_until_it_is_killed(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    holder = hold_elsewhere(path)
    lock = FileLock(str(path))
    try:
        assert not lock.acquire(0.02)
        with pytest.raises(TimeoutError), lock.held(0.02):
            pass
    finally:
        end(holder)
    assert lock.acquire(10)
    lock.release()


def test_a_waiting_holder_gets_the_lock_when_it_is_given_back(tmp_path: Path) -> None:
    first, second = FileLock(str(tmp_path / "lock")), FileLock(str(tmp_path / "lock"))
    assert first.acquire()
    got: list[bool] = []
    waiter = threading.Thread(target=lambda: got.append(second.acquire(10)))
    waiter.start()
    first.release()
    waiter.join()
    assert got == [True]
    second.release()


@posix
def test_a_lock_file_is_private_and_never_a_link(tmp_path: Path) -> None:
    with FileLock(str(tmp_path / "lock")).held(0):
        assert mode(tmp_path / "lock") == 0o600
    (tmp_path / "link").symlink_to(tmp_path / "lock")
    assert refused(lambda: FileLock(str(tmp_path / "link")).acquire()) == (
        f"{tmp_path / 'link'} is a symbolic link; remove it, then try again"
    )
    assert refused(lambda: FileLock(str(tmp_path / "no" / "lock")).acquire()) == (
        f"lock file {tmp_path / 'no' / 'lock'} cannot be opened: No such file or directory"
    )


# The relay token


def test_a_token_is_43_url_safe_characters_and_never_the_same() -> None:
    tokens = {generate_token() for _ in range(100)}
    assert len(tokens) == 100
    for token in tokens:
        assert len(token) == 43
        assert all(c.isascii() and (c.isalnum() or c in "-_") for c in token)


def test_the_file_s_token_is_found_and_a_change_counts_at_once(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    source = TokenSource(str(path))
    assert (source.current(), source.source) == (None, None)
    for token in ("first", "other", "third-is-longer"):
        write_token(str(path), token)
        assert source.current() == token.encode()
        assert source.source == "file"
    path.unlink()
    assert source.current() is None


def test_a_change_in_place_of_the_same_length_within_one_tick_counts(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    source = TokenSource(str(path))
    for token in (b"aaaa", b"bbbb", b"cccc"):
        path.write_bytes(token)
        path.chmod(0o600)
        assert source.current() == token


def test_an_unchanged_file_is_not_opened_again(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    write_token(str(path), "token")
    age(path, 60)
    opened: list[object] = []
    sys.addaudithook(lambda event, args: opened.append(args[0]) if event == "open" else None)
    source = TokenSource(str(path))
    for _ in range(3):
        assert source.current() == b"token"
    assert opened.count(str(path)) == 1


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    write_token(str(path), "file")
    source = TokenSource(str(path), {"AIRELAYS_BEARER_TOKEN": " env ", "AIRELAY_BEARER_TOKEN": "x"})
    assert (source.current(), source.source) == (b"env", "env")
    assert TokenSource(str(path), {"AIRELAYS_BEARER_TOKEN": ""}).current() == b"file"
    assert TokenSource(str(path), {"AIRELAY_BEARER_TOKEN": "old"}).current() == b"old"


@pytest.mark.parametrize("content", [b"", b"\n", b"  \r\n"])
def test_an_empty_file_holds_no_token_and_may_be_filled(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay-token"
    path.write_bytes(content)
    path.chmod(0o600)
    assert TokenSource(str(path)).current() is None
    assert create_token(str(path))
    assert len(TokenSource(str(path)).current() or b"") == 43


@pytest.mark.parametrize(
    "content",
    [
        b"two words",
        b"two\nlines",
        b"a\0b",
        b"x" * 4097,
        b"\xff\xfe",
        "gr\u00fcn".encode(),
        b"a\x7f",
    ],
)
def test_what_no_client_could_send_is_no_token(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "relay-token"
    path.write_bytes(content)
    path.chmod(0o600)
    source = TokenSource(str(path))
    assert source.current() is None
    assert source.problem.startswith(f"{path} ")
    assert content.decode("utf-8", "replace") not in source.problem
    assert len(content) > 4096 or "one line of visible ASCII characters" in source.problem
    write_token(str(path), "good")
    assert (source.current(), source.problem) == (b"good", "")


@pytest.mark.parametrize("token", ["two words", os.fsdecode(b"\xff"), "gr\u00fcn"])
def test_a_token_of_the_environment_that_no_client_could_send_is_refused(
    tmp_path: Path, token: str
) -> None:
    sentence = refused(lambda: TokenSource(str(tmp_path / "t"), {"AIRELAYS_BEARER_TOKEN": token}))
    assert sentence == (
        "environment variable AIRELAYS_BEARER_TOKEN does not contain exactly one token; expected one line of visible "
        "ASCII characters without spaces, at most 4,096 bytes; `airelays token rotate` creates a good one"
    )


def test_every_visible_ascii_character_may_be_in_a_token(tmp_path: Path) -> None:
    token = bytes(range(0x21, 0x7F))
    env = {"AIRELAYS_BEARER_TOKEN": token.decode()}
    assert TokenSource(str(tmp_path / "t"), env).current() == token


def test_why_there_is_no_token_is_told(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    source = TokenSource(str(path))
    assert source.lack() == f"{path} is missing"
    path.write_bytes(b"")
    path.chmod(0o600)
    assert source.lack() == f"{path} is empty"
    write_token(str(path), "good")
    assert source.lack() == ""
    path.write_bytes(b"two words")
    assert source.lack().startswith(f"{path} does not contain exactly one token")


@posix
def test_an_untrusted_file_lets_nobody_in(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    write_token(str(path), "token")
    source = TokenSource(str(path))
    assert source.current() == b"token"
    path.chmod(0o666)
    assert source.current() is None
    assert "can be changed by other users" in source.problem
    path.chmod(0o600)
    assert source.current() == b"token"


def test_an_existing_token_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "relay-token"
    assert create_token(str(path))
    first = path.read_bytes()
    assert not create_token(str(path))
    assert path.read_bytes() == first


def test_a_token_is_not_in_the_repr(tmp_path: Path) -> None:
    source = TokenSource(str(tmp_path / "t"), {"AIRELAYS_BEARER_TOKEN": "hush-hush"})
    assert repr(source) == f"TokenSource({str(tmp_path / 't')!r}, source='env')"


def test_a_fingerprint_is_the_start_of_the_digest() -> None:
    # printf token | sha256sum
    assert fingerprint(b"token") == "3c469e9d6c58"
