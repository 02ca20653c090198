"""The machine's own troubles: no HOME, no locale, a read-only home, no descriptors, two relays, wrong owners."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live import ROOT, TOKEN, Relay, program, running, start, wait_ready
from tests.net.test_live_wire import WIDE, chat


def test_a_second_relay_on_one_folder_is_exit_75(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        holder = json.loads((relay.home / "ready.json").read_text())["pid"]
        process, _ = start(tmp_path)
        _, err = process.communicate(timeout=20)
        assert process.returncode == 75
        assert str(tmp_path / ".airelays") in err and str(holder) in err
        assert relay.get("/v1/models").status == 200
    with running(tmp_path) as again:
        assert again.get("/v1/models").status == 200


def test_a_killed_relay_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    process, ready = start(tmp_path)
    wait_ready(process, ready)
    process.kill()
    process.communicate()
    with running(tmp_path) as relay:
        assert relay.get("/v1/models").status == 200


@pytest.mark.parametrize(
    "env",
    [
        {"LC_ALL": "C", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
        {"TZ": "Pacific/Kiritimati"},
        {"TMPDIR": "/nonexistent"},
        {"PYTHONOPTIMIZE": "1"},
    ],
    ids=["locale C", "far time zone", "no temp folder", "python -O"],
)
def test_odd_environments_serve_all_the_same(tmp_path: Path, env: dict[str, str]) -> None:
    with running(tmp_path, env={**WIDE, **env}) as relay:
        reply = relay.send("POST", "/v1/chat/completions", chat("grüße \u2028 世界"))
        text = reply.json()["choices"][0]["message"]["content"]
        assert text == "You said: grüße \u2028 世界"


def test_without_home_a_data_folder_must_be_named(tmp_path: Path) -> None:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "AIRELAYS_BEARER_TOKEN": TOKEN}
    words = [*program(), "serve", "--demo", "--port", "0", "--data-dir", str(tmp_path / "data")]
    words += ["--ready-file", str(tmp_path / "ready.json")]
    process = subprocess.Popen(
        words, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        assert wait_ready(process, tmp_path / "ready.json")["port"]
    finally:
        process.terminate()
        process.communicate()
    assert (tmp_path / "data").stat().st_mode & 0o777 == 0o700


def test_out_of_descriptors_is_waited_out(tmp_path: Path) -> None:
    with running(tmp_path, env={**WIDE, "AIRELAYS_FIRST_BYTE_SECONDS": "1"}) as relay:
        relay.get("/v1/models")
        used = len(os.listdir(f"/proc/{relay.process.pid}/fd"))
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (used + 5, used + 5))
        crowd = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(30)]
        for sock in crowd:
            sock.close()
        assert relay.get("/v1/models").status == 200
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (used, used + 5))
        held = [socket.create_connection(("127.0.0.1", relay.port)) for _ in range(3)]
        said = relay.process.stderr
        assert said is not None and "cannot accept clients" in said.readline()
        resource.prlimit(relay.process.pid, resource.RLIMIT_NOFILE, (used + 5, used + 5))
        assert relay.get("/v1/models").status == 200
        for sock in held:
            sock.close()
        relay.stop()
        assert "cannot accept" not in said.read()  # one line a minute


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (lambda path: path.symlink_to("/etc/hostname"), "symbolic link"),
        (lambda path: path.mkdir(), "regular file"),
        (lambda path: (path.write_text(TOKEN), path.chmod(0o666)), "chmod"),
    ],
    ids=["a link", "a folder", "writable by others"],
)
def test_a_token_file_that_cannot_be_trusted_is_refused(
    tmp_path: Path, make: object, text: str
) -> None:
    folder = tmp_path / ".airelays"
    folder.mkdir(mode=0o700)
    make(folder / "relay-token")  # type: ignore[operator]
    process, _ = start(tmp_path, token=None, demo=False)
    out, err = process.communicate(timeout=20)
    assert process.returncode == 1
    assert str(folder / "relay-token") in err
    assert text in err and "Traceback" not in out + err


@pytest.mark.skipif(
    os.geteuid() != 0, reason="only root can be kept from writing by a read-only mount"
)
def test_a_read_only_home_is_one_sentence(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    inside = (
        f"mount -t tmpfs -o size=1m tmpfs {home} && mount -o remount,ro {home} && "
        f"exec {sys.executable} -m airelays serve --demo --port 0"
    )
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", inside],
        env={"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    if "unshare" in done.stderr or "mount:" in done.stderr:
        pytest.skip(f"no mounts here: {done.stderr.strip()[:100]}")
    assert done.returncode == 1
    assert str(home) in done.stderr and "Traceback" not in done.stdout + done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_the_demo_needs_no_disk_with_a_token_of_the_environment(tmp_path: Path) -> None:
    below = tmp_path / "file" / "data"
    below.parent.touch()
    with running(tmp_path, env={"AIRELAYS_DATA_DIR": str(below)}) as relay:
        assert relay.send("POST", "/v1/chat/completions", chat("hi")).status == 200
        assert relay.send("POST", "/v1/conversations", {}).status == 503
        assert relay.send("GET", "/v1/models", token="wrong").status == 401
        assert relay.stop() == 0
        said = relay.process.stderr.read() if relay.process.stderr else ""
    assert said.startswith(f"airelays: folder {below} cannot be used: Not a directory; choose ")
    assert "nothing is logged, stored or counted, and there are no named keys\n" in said
    assert "Traceback" not in said


@pytest.mark.parametrize("moment", range(6))
@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_signals_during_the_start_end_it_cleanly(tmp_path: Path, how: int, moment: int) -> None:
    process, _ = start(tmp_path)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(moment * 0.04)
    process.send_signal(how)
    out, err = process.communicate(timeout=20)
    if "Could not import runpy module" in err:
        return  # Python itself was not up yet: nothing of ours has run
    assert process.returncode in (0, 130, -how), (process.returncode, err)
    assert "Traceback" not in out + err


# A relay with a user of its own, and root

NOBODY = 65534


def python_of_another_user() -> tuple[list[str], dict[str, Any]]:
    """Return the words and the keywords that run the program as another user, or skip."""
    if os.geteuid() != 0:
        pytest.skip("only root can be another user")
    import h11

    paths = f"{ROOT}{os.pathsep}{Path(h11.__file__).parent.parent}"
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    keys: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": [], "env": env}
    test = "import sys, sqlite3, asyncio, h11, airelays.cli; sys.exit(sys.version_info < (3, 11))"
    for python in (sys.executable, "/usr/bin/python3"):
        with contextlib.suppress(OSError):
            if not subprocess.run([python, "-c", test], **keys, capture_output=True).returncode:
                return [python, "-m", "airelays"], keys
    pytest.skip("no Python here may be run by another user")


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that other users may go through, with an empty `data` of another user."""
    path = Path(tempfile.mkdtemp(prefix="airelays-test-", dir="/tmp"))
    path.chmod(0o755)
    (path / "data").mkdir(mode=0o700)
    yield path
    shutil.rmtree(path)


@contextlib.contextmanager
def relay_of_another_user(place: Path) -> Iterator[Relay]:
    words, keys = python_of_another_user()
    os.chown(place / "data", NOBODY, NOBODY)
    ready = place / "data" / "ready.json"
    words = [*words, "serve", "--demo", "--port", "0", "--data-dir", str(place / "data")]
    keys["env"]["HOME"] = str(place)
    process = subprocess.Popen(
        [*words, "--ready-file", str(ready)],
        **keys,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        port = wait_ready(process, ready)["port"]
        token = (place / "data" / "relay-token").read_text().strip()
        yield Relay(process, port, place, token)
    finally:
        process.terminate()
        process.communicate()


def as_root(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*program(), *words, "--data-dir", str(place / "data")],
        env={"HOME": str(place), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_root_can_look_after_the_relay_of_another_user(place: Path) -> None:
    with relay_of_another_user(place) as relay:
        assert as_root(place, "token", "show").stdout.strip() == relay.token
        new = as_root(place, "token", "rotate").stdout.strip()
        assert relay.send("GET", "/v1/models", token=new).status == 200
        assert relay.send("GET", "/v1/models").status == 401
        relay.token = new
        done = as_root(place, "unblock", "--json")
        assert (done.returncode, json.loads(done.stdout)["lifted"]) == (0, 1)
        assert as_root(place, "logs", "--retention-days", "3").returncode == 0
        logging = relay.get("/v1/relay/logging").json()
        assert (logging["policy_source"], logging["policy"]["retention_days"]) == ("saved", 3)
        status = json.loads(as_root(place, "status", "--json").stdout)
        assert status["relay"]["bearer_token_present"] is True
        assert as_root(place, "storage").returncode == 0
        advice = f"belongs to user {NOBODY}, you are 0; run it as that user (sudo -u"
        assert advice in as_root(place, "logout").stderr
        assert [p for p in (place / "data").rglob("*") if p.stat().st_uid != NOBODY] == []


@pytest.mark.parametrize(
    "words",
    [
        "token show",
        "token rotate",
        "status",
        "storage",
        "storage check",
        "storage prune",
        "explain abcdef12",
        "unblock",
        "logs",
        "logs -f",
        "logs prune",
        "logs --reset",
        "logout",
    ],
)
def test_a_folder_that_may_not_be_read_is_not_called_empty(place: Path, words: str) -> None:
    python, keys = python_of_another_user()
    (place / "data" / "logs").mkdir()
    keys["env"]["HOME"] = str(place)
    done = subprocess.run(
        [*python, *words.split(), "--data-dir", str(place / "data")],
        **keys,
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith(f"airelays: {place / 'data'}")
    assert "belongs to user 0, you are 65534; run it as that user" in done.stderr
    assert "sudo airelays ..." in done.stderr and "chown" not in done.stderr


def test_logs_in_a_closed_folder_are_not_called_none(place: Path) -> None:
    python, keys = python_of_another_user()
    month = place / "data" / "logs" / "2026" / "01"
    month.mkdir(parents=True)
    for path in (place / "data", *(place / "data").rglob("*")):
        os.chown(path, NOBODY, NOBODY)
    os.chown(month, 0, 0)
    month.chmod(0o700)
    done = subprocess.run(
        [*python, "logs", "--data-dir", str(place / "data")], **keys, capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr.startswith(f"airelays: {month} cannot be read: Permission denied")


# A token file that cannot be used while the relay runs


def test_a_relay_says_once_that_its_token_is_gone_and_once_that_it_is_back(tmp_path: Path) -> None:
    path = tmp_path / ".airelays" / "relay-token"
    path.parent.mkdir(mode=0o700)
    path.write_text(TOKEN)
    path.chmod(0o600)
    spoilers: tuple[Callable[[], object], ...] = (
        lambda: None,
        lambda: path.touch(mode=0o600),
        lambda: os.mkfifo(path),
        lambda: path.symlink_to("/etc/hostname"),
    )
    said = []
    with running(tmp_path, token=None, env=WIDE) as relay:
        assert relay.process.stderr is not None
        for spoil in spoilers:
            path.unlink()
            spoil()
            for _ in range(3):
                reply = relay.send("GET", "/v1/models", token=TOKEN)
                assert reply.status in (401, 429) and str(path) not in reply.body.decode()
            path.unlink(missing_ok=True)
            path.touch(mode=0o600)
            path.write_text(TOKEN)
            assert relay.send("GET", "/v1/models", token=TOKEN).status == 200
            said += [relay.process.stderr.readline(), relay.process.stderr.readline()]
    for at, reason in enumerate(("missing", "empty", "not a regular file", "a symbolic link")):
        assert f"all clients are refused: {path} is {reason}" in said[2 * at]
        assert said[2 * at + 1] == f"airelays: the relay token in {path} is in use again\n"
