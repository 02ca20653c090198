"""The one-file edition: what it carries, that it is true to its sources, and that it runs with nothing beside it."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from airelays import __version__
from tests import live

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "build" / "onefile.py"
DEADLINE_S = 60.0


def build(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT), *map(str, words)],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("built") / "airelays.py"
    done = build("--write", "--file", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.fixture
def alone(built: Path, tmp_path: Path) -> Path:
    """The file, copied into a folder that holds nothing else and has an awkward name."""
    folder = tmp_path / "with blanks and ä"
    folder.mkdir()
    return Path(shutil.copy(built, folder))


def run(
    words: list[str], home: Path, *, text: str | None = None, **env: str
) -> subprocess.CompletedProcess[str]:
    """Run with nothing in the environment but HOME."""
    return subprocess.run(
        words,
        env={"HOME": str(home), **env},
        cwd=home,
        input=text,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )


def test_check_knows_whether_the_file_is_current(built: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(built, tmp_path))
    assert build("--check", "--file", copy).returncode == 0
    copy.write_text(copy.read_text(encoding="utf-8") + "#\n", encoding="utf-8")
    done = build("--check", "--file", copy)
    assert done.returncode == 1
    assert done.stderr.endswith("is not current: python3 build/onefile.py --write\n")


def test_unpacking_gives_back_every_file_byte_for_byte(built: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    assert build("--unpack", folder, "--file", built).returncode == 0
    out = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    ours = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "airelays").rglob("*")
        if p.suffix in (".py", ".md", ".html", ".css", ".js")
    }
    assert ours <= out
    for name in [*ours, "LICENSE"]:
        assert (folder / name).read_bytes() == (ROOT / name).read_bytes(), name
    import certifi
    import h11

    for package in (h11, certifi):
        home = Path(str(package.__file__)).parent
        names = [n for n in out if n.startswith(home.name + "/") and not n.endswith("/LICENSE")]
        assert f"{home.name}/__init__.py" in names and f"{home.name}/LICENSE" in out
        for name in names:
            assert (folder / name).read_bytes() == (home.parent / name).read_bytes(), name
    assert "certifi/cacert.pem" in out


def test_unpacking_writes_only_below_the_folder(tmp_path: Path) -> None:
    evil = tmp_path / "evil.py"
    evil.write_text('FILES = {}\nFILES["../x.py"] = (1, "pass")\n')
    done = build("--unpack", tmp_path / "out", "--file", evil)
    assert done.returncode == 1 and "would lie outside" in done.stderr
    assert not (tmp_path / "x.py").exists()


def test_two_builds_give_the_same_bytes(built: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.py"
    build("--write", "--file", again)
    assert again.read_bytes() == built.read_bytes()


def old_pythons() -> list[str]:
    found = sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin/python"))
    script = "import sys; sys.exit(sys.version_info >= (3, 11))"
    usable = [str(p) for p in found if subprocess.run([p, "-c", script]).returncode == 0]
    return usable or ["none"]


@pytest.mark.parametrize("python", old_pythons())
def test_an_old_python_gets_a_sentence(alone: Path, python: str, tmp_path: Path) -> None:
    if python == "none":
        pytest.skip("no older Python here")
    done = run([python, str(alone), "serve"], tmp_path, PYTHONIOENCODING="utf-8")
    assert done.returncode == 1
    assert done.stderr.startswith(
        "airelays: AIRelays requires Python 3.11 or newer, and this is Python "
    )
    assert "Traceback" not in done.stderr


def new_pythons() -> list[str]:
    found = sorted(Path("~/.pyenv/versions").expanduser().glob("*/bin/python"))
    script = "import sys, ssl, sqlite3; sys.exit(sys.version_info < (3, 12))"
    usable = [str(p) for p in found if subprocess.run([p, "-c", script], stderr=-3).returncode == 0]
    return [sys.executable, *usable]


@pytest.mark.parametrize("python", new_pythons())
def test_it_answers_with_nothing_but_python(alone: Path, python: str, tmp_path: Path) -> None:
    done = run([python, "-I", "-S", str(alone), "version", "--json"], tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    assert facts["version"] == __version__
    assert facts["h11"] == "0.16.0" and facts["certifi"]


def test_only_what_it_carries_is_imported(alone: Path, tmp_path: Path) -> None:
    for name in ("h11", "certifi", "json", "ssl"):
        (alone.parent / f"{name}.py").write_text("raise SystemExit('the wrong file')")
    done = run([sys.executable, str(alone), "version"], tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_said_before_anything_is_imported(
    alone: Path, tmp_path: Path, flag: str
) -> None:
    done = run([sys.executable, "-X", "importtime", str(alone), flag], tmp_path)
    assert (done.returncode, done.stdout) == (0, f"airelays {__version__}\n")
    assert " airelays" not in done.stderr
    done = run([sys.executable, str(alone), "status", flag], tmp_path)
    assert done.stdout == f"airelays {__version__}\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_version_that_cannot_be_written_is_told(alone: Path, tmp_path: Path) -> None:
    words = f"exec '{sys.executable}' '{alone}' --version > /dev/full"
    done = run(["/bin/sh", "-c", words], tmp_path)
    assert done.returncode == 1
    assert done.stderr == "airelays: output cannot be written: No space left on device\n"


def test_a_page_comes_out_of_the_file(alone: Path, tmp_path: Path) -> None:
    done = run([sys.executable, "-I", str(alone), "docs", "security"], tmp_path)
    assert done.stdout == (ROOT / "airelays" / "docs" / "security.md").read_text()


PROBE = """
import inspect, linecache, runpy, sys, traceback
space = runpy.run_path(sys.argv[1], run_name="one")
carried = space["Carried"](sys.argv[1])
sys.meta_path.insert(0, carried)
import airelays.errors, airelays.settings.parse, airelays.app.pages as pages, h11._headers
mine = open(sys.argv[1], encoding="utf-8").read().split("\\n")
for thing in (airelays.errors.error_body, airelays.errors.RelayError.to_object, h11._headers.get_comma_header):
    lines, first = inspect.getsourcelines(thing)
    assert mine[first - 1] + "\\n" == lines[0], (thing, first, lines[0])
    assert thing.__name__ in "".join(lines[:2]) and thing.__code__.co_filename == sys.argv[1]
assert inspect.getsource(airelays.errors.ConfigError).startswith("class ConfigError(")
assert inspect.getsource(pages) == carried.get_source("airelays.app.pages")
try:
    pages.page_text("nowhere")
except Exception as error:
    frame = traceback.extract_tb(error.__traceback__)[-1]
    assert mine[frame.lineno - 1].strip() == frame.line and frame.line.startswith("raise ConfigError(")
import certifi
assert len(carried.get_data(certifi.__file__.replace("__init__.py", "cacert.pem"))) > 100_000
print("good")
"""


@pytest.mark.parametrize("python", new_pythons())
def test_line_numbers_are_those_of_the_file(alone: Path, python: str, tmp_path: Path) -> None:
    done = run([python, "-I", "-c", PROBE, str(alone)], tmp_path)
    assert done.stdout == "good\n", done.stderr


def test_certificates_of_the_file_serve_tls(alone: Path, tmp_path: Path) -> None:
    script = (
        "import runpy, sys; s = runpy.run_path(sys.argv[1]); sys.meta_path.insert(0, s['Carried'](sys.argv[1]))\n"
        "from airelays.net.trust import Trust; t = Trust(env={}, system_stores=())\n"
        "print(t.store().kind, len(t.context_now().get_ca_certs()) > 100, t.describe()['date'] is not None)"
    )
    done = run([sys.executable, "-I", "-c", script, str(alone)], tmp_path)
    assert done.stdout == "certifi True True\n", done.stderr


# ---- the cache of compiled code


def cached(home: Path) -> list[Path]:
    return list((home / ".cache" / "airelays").glob("*"))


def test_compiled_code_is_kept_in_the_users_own_cache(alone: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-I", str(alone), "docs"]
    first = run(words, tmp_path)
    (kept,) = cached(tmp_path)
    assert kept.stat().st_mode & 0o777 == 0o600
    assert kept.parent.stat().st_mode & 0o777 == 0o700
    before = kept.read_bytes()
    second = run(words, tmp_path)
    assert first.stdout == second.stdout and kept.read_bytes() == before


def test_a_changed_file_does_not_run_old_code(alone: Path, tmp_path: Path) -> None:
    words = [sys.executable, "-I", str(alone), "docs", "nowhere"]
    assert "there is no page" in run(words, tmp_path).stderr
    text = alone.read_text(encoding="utf-8")
    alone.write_text(text.replace("there is no page", "no page is called"), encoding="utf-8")
    assert "no page is called" in run(words, tmp_path).stderr


@pytest.mark.parametrize("damage", ["garbage", "cut", "open to others", "a link", "open folder"])
def test_a_cache_that_cannot_be_trusted_is_not_read(
    alone: Path, tmp_path: Path, damage: str
) -> None:
    words = [sys.executable, "-I", str(alone), "docs"]
    want = run(words, tmp_path).stdout
    (kept,) = cached(tmp_path)
    whole = kept.read_bytes()
    if damage == "garbage":
        kept.write_bytes(whole[:200] + b"\xff" * 400 + whole[600:])
    elif damage == "cut":
        kept.write_bytes(whole[:-100])
    elif damage == "a link":
        kept.rename(kept.with_suffix(".elsewhere"))
        kept.symlink_to(kept.with_suffix(".elsewhere"))
    elif damage == "open to others":
        kept.chmod(0o666)
    else:
        kept.parent.chmod(0o777)
    done = run(words, tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, want, "")
    if damage in ("garbage", "cut"):
        assert kept.read_bytes() == whole  # made again


@pytest.mark.parametrize("flags", [["-B"], []])
def test_nothing_is_written_where_it_must_not_be(
    alone: Path, tmp_path: Path, flags: list[str]
) -> None:
    home = tmp_path / "home"
    home.mkdir(mode=0o700 if flags else 0o500)
    env = {} if flags else {"XDG_CACHE_HOME": "/proc/self"}
    done = run([sys.executable, "-I", *flags, str(alone), "docs"], home, **env)
    assert done.returncode == 0 and done.stderr == ""
    assert not list(home.rglob("*"))


# ---- it serves


def serve(words: list[str], home: Path, stdin: Path | None = None) -> Iterator[live.Relay]:
    ready = home / "ready.json"
    words = [*words, "serve", "--demo", "--port", "0", "--ready-file", str(ready)]
    with open(stdin or os.devnull, "rb") as source:
        process = subprocess.Popen(
            words,
            env={"HOME": str(home), "AIRELAYS_BEARER_TOKEN": live.TOKEN},
            cwd=home,
            stdin=source,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
    try:
        facts = live.wait_ready(process, ready)
        yield live.Relay(process, facts["port"], home, live.TOKEN)
    finally:
        process.terminate()
        process.communicate(timeout=DEADLINE_S)


CHAT = {"model": "demo", "messages": [{"role": "user", "content": "one file"}], "stream": True}


@pytest.mark.parametrize("how", ["file", "stdin"])
def test_it_serves_streams_and_stops(built: Path, alone: Path, tmp_path: Path, how: str) -> None:
    words = [sys.executable, "-I", str(alone)] if how == "file" else [sys.executable, "-"]
    for relay in serve(words, tmp_path, built if how == "stdin" else None):
        events = relay.send("POST", "/v1/chat/completions", CHAT).events()
        assert events[-1] == "[DONE]"
        said = "".join(e["choices"][0]["delta"].get("content") or "" for e in events[:-1])
        assert "one file" in said
        assert relay.send("GET", "/v1/models", token="wrong").status == 401
        assert relay.stop(signal.SIGTERM) == 0


def test_wheels_of_a_prepared_folder_are_checked_against_the_list(tmp_path: Path) -> None:
    done = build("--write", "--wheels", tmp_path, "--file", tmp_path / "x.py")
    assert done.returncode == 1 and "there is no h11-0.16.0-*.whl in" in done.stderr
    (tmp_path / "h11-0.16.0-py3-none-any.whl").write_bytes(b"PK")
    done = build("--write", "--wheels", tmp_path, "--file", tmp_path / "x.py")
    assert done.returncode == 1 and "is not the archive that the locked list names" in done.stderr
    assert (
        hashlib.sha256(b"PK").hexdigest() not in (ROOT / "build/requirements/run.txt").read_text()
    )


@pytest.fixture
def namespace() -> list[str]:
    """Words that run a command where there is no network but a loopback of its own."""
    words = ["unshare", "--net", "--map-root-user", "sh", "-c", 'ip link set lo up; exec "$@"', "-"]
    try:
        done = subprocess.run([*words, "true"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no unshare here")
    if done.returncode != 0:
        pytest.skip(f"no network namespace can be made here: {done.stderr.decode().strip()}")
    return words


CLIENT = """
import http.client, json, os, socket, subprocess, sys, time
one, home = sys.argv[1:]
try:
    socket.create_connection(("192.0.2.1", 9), timeout=2)
    sys.exit("there is a network here")
except OSError as error:
    assert error.errno == 101, error
ready = home + "/ready.json"
relay = subprocess.Popen([sys.executable, "-I", one, "serve", "--demo", "--port", "0", "--ready-file", ready])
end = time.monotonic() + 30
while not os.path.exists(ready) and relay.poll() is None and time.monotonic() < end:
    time.sleep(0.01)
facts = json.load(open(ready))
client = http.client.HTTPConnection("127.0.0.1", facts["port"], timeout=20)
body = json.dumps({"model": "demo", "messages": [{"role": "user", "content": "no route"}]})
client.request("POST", "/v1/chat/completions", body, {"Authorization": "Bearer " + os.environ["AIRELAYS_BEARER_TOKEN"]})
print(json.loads(client.getresponse().read())["choices"][0]["message"]["content"])
relay.terminate()
print(relay.wait(30))
"""


def test_it_runs_where_there_is_no_network(
    alone: Path, namespace: list[str], tmp_path: Path
) -> None:
    words = [*namespace, sys.executable, "-I", "-c", CLIENT, str(alone), str(tmp_path)]
    done = run(
        words, tmp_path, AIRELAYS_BEARER_TOKEN=live.TOKEN, PATH=os.environ.get("PATH", os.defpath)
    )
    assert done.returncode == 0, done.stderr
    said = done.stdout.splitlines()
    assert "no route" in "".join(said[:-1]) and said[-1] == "0"


def test_a_python_without_its_whole_library_is_one_sentence(alone: Path, tmp_path: Path) -> None:
    block = (
        "import runpy, sys; sys.modules['asyncio'] = None; sys.argv = [sys.argv[1], 'serve', '--demo']; "
        "runpy.run_path(sys.argv[0], run_name='__main__')"
    )
    done = run([sys.executable, "-I", "-c", block, str(alone)], tmp_path)
    assert done.returncode == 1 and "Traceback" not in done.stderr
    last = done.stderr.splitlines()[-1]
    assert last.startswith("airelays: this Python does not include asyncio, which is part of its")
