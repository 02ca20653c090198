"""The machine's own troubles: no HOME, no locale, a read-only home, no descriptors, two relays, wrong owners."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import ROOT, TOKEN, program, running, start, wait_ready
from tests.test_live_wire import WIDE, chat


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
