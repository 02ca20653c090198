"""Signing in and out, and what the terminal shows of it: real sockets, real processes, a real pseudo-terminal."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import parse_qs, urlsplit

import pytest

from airelays.errors import ConfigError
from airelays.net.client import Client
from airelays.terminal.browser import is_headless
from airelays.upstream.chatgpt.callback import CallbackServer, code_from_url
from airelays.upstream.chatgpt.login import browser_login, device_login
from airelays.upstream.chatgpt.oauth import Issuer, TokenRefused
from tests.fakes.authority import Authority
from tests.fakes.backend import FakeBackend
from tests.fakes.clock import run_fast
from tests.fakes.http import FakeServer, Reply, Seen, json_reply
from tests.fakes.issuer import ACCOUNT
from tests.live import wait_for

ROOT = Path(__file__).resolve().parents[2]
STATE = "the-state"
T = TypeVar("T")
ISSUER = "https://auth.example"
posix_only = pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals")


# --- the callback listener ----------------------------------------------------------------------------------


def visit(port: int, raw: bytes, host: str = "127.0.0.1") -> bytes:
    """Send raw bytes to the listener and return its whole answer."""
    with socket.create_connection((host, port), timeout=5) as sock:
        sock.sendall(raw.replace(b"PORT", b"%d" % port))
        data = b""
        while piece := sock.recv(65536):
            data += piece
    return data


def get(
    query: bytes,
    host: bytes = b"localhost:PORT",
    path: bytes = b"/auth/callback",
    method: bytes = b"GET",
) -> Any:
    return method + b" " + path + b"?" + query + b" HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"


def listening(act: Callable[[CallbackServer], T], ports: tuple[int, ...] = (0,)) -> Any:
    """Run `act(server)` in a thread beside a listening server; return what `act` returned and the outcome."""

    async def main() -> Any:
        server = CallbackServer(STATE, ISSUER, ports)
        await server.start()
        try:
            result = await asyncio.to_thread(act, server)
            outcome = None
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.05):
                    outcome = await server.code()
            return result, outcome
        finally:
            await server.close()

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("raw", "status", "code"),
    [
        (get(b"code=c1&state=the-state"), 200, "c1"),
        (get(b"code=c1&state=the-state.onboarding_entrypoint=life_sciences"), 200, "c1"),
        (get(b"code=c1&state=the-state&iss=https%3A%2F%2Fauth.example"), 200, "c1"),
        (get(b"code=c1&state=the-state", host=b"127.0.0.1:PORT"), 200, "c1"),
        (get(b"code=c1&state=the-state", host=b"[::1]:PORT"), 200, "c1"),
        (get(b"code=c1&state=other"), 400, None),
        (get(b"code=c1"), 400, None),
        (get(b"code=c1&state=the-state&state=the-state"), 400, None),
        (get(b"code=c1&state=the-state&iss=https%3A%2F%2Fevil.example"), 400, None),
        (get(b"code=c1&state=%ff%fe"), 400, None),
        (get(b"&".join(b"a%d=1" % n for n in range(50))), 400, None),
        (get(b"code=c1&state=the-state", host=b"evil.example:PORT"), 421, None),
        (get(b"code=c1&state=the-state", host=b"localhost"), 421, None),
        (get(b"code=c1&state=the-state", path=b"/auth/callback/"), 404, None),
        (get(b"code=c1&state=the-state", path=b"/success"), 404, None),
        (get(b"code=c1&state=the-state", method=b"HEAD"), 405, None),
        (get(b"code=c1&state=the-state", method=b"POST"), 405, None),
        (
            b"GET /auth/callback?code=c1&state=the-state HTTP/1.1\nHost: localhost\n\n\r\n\r\n",
            400,
            None,
        ),
        (
            get(b"code=c1&state=the-state", host=b"localhost:PORT\r\nHost: localhost:PORT"),
            400,
            None,
        ),
    ],
)
def test_only_the_one_redirect_counts(raw: bytes, status: int, code: str | None) -> None:
    answer, outcome = listening(lambda server: visit(server.port, raw))
    assert answer.startswith(b"HTTP/1.1 %d " % status) and outcome == code
    head = answer.partition(b"\r\n\r\n")[0].lower()
    for field in (
        b"cache-control: no-store",
        b"referrer-policy: no-referrer",
        b"connection: close",
    ):
        assert field in head
    assert b"c1" not in answer and b"the-state" not in answer


def test_wrong_state_does_not_end_the_wait_and_the_right_one_counts_once() -> None:
    def act(server: CallbackServer) -> Any:
        queries = (b"code=evil&state=guess", b"code=c1&state=the-state", b"code=c2&state=the-state")
        return [visit(server.port, get(query))[9:12] for query in queries]

    assert listening(act) == ([b"400", b"200", b"400"], "c1")


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (b"error=access_denied&state=the-state", "declined in the browser"),
        (
            b"error=access_denied&error_description=missing_codex_entitlement&state=the-state",
            "is not allowed to use Codex",
        ),
        (b"error=%1b%5b31mserver_error&state=the-state", "(31mserver_error)"),
        (b"state=the-state", "no authorization code"),
    ],
)
def test_refusal_of_the_issuer_ends_the_wait(query: bytes, said: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        listening(lambda server: visit(server.port, get(query)))
    assert said in caught.value.message and caught.value.message.isprintable()


def test_listens_on_both_loopback_addresses() -> None:
    def act(server: CallbackServer) -> Any:
        return visit(server.port, get(b"code=c1&state=the-state", host=b"[::1]:PORT"), host="::1")

    answer, code = listening(act)
    assert answer.startswith(b"HTTP/1.1 200 ") and code == "c1"


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_busy_port_gives_way_to_the_next_and_none_is_an_error(family: socket.AddressFamily) -> None:
    with socket.socket(family, socket.SOCK_STREAM) as busy:
        busy.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        assert listening(lambda server: server.port, (port, 0))[0] != port
        with pytest.raises(ConfigError) as caught:
            listening(lambda server: None, (port,))
        assert f"needs port {port} on this machine" in str(caught.value) and "--device" in str(
            caught.value
        )


def test_silent_and_endless_visitors_do_not_stop_the_right_one() -> None:
    def act(server: CallbackServer) -> Any:
        with (
            socket.create_connection(("127.0.0.1", server.port)) as silent,
            socket.create_connection(("127.0.0.1", server.port)) as endless,
        ):
            silent.sendall(b"GET ")
            with contextlib.suppress(OSError):
                endless.sendall(b"GET /auth/callback?" + b"a" * 1_000_000)
            return visit(server.port, get(b"code=c1&state=the-state"))[9:12]

    assert listening(act) == (b"200", "c1")


def test_other_addresses_cannot_reach_the_listener() -> None:
    def act(server: CallbackServer) -> None:
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", server.port), timeout=5)

    listening(act)


def test_a_head_without_end_is_cut() -> None:
    def act(server: CallbackServer) -> Any:
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as endless:
            endless.sendall(b"GET /auth/callback?" + b"a" * 9000)
            return endless.recv(65536)[9:12]

    assert listening(act)[0] in (b"400", b"414")


def test_a_browser_that_never_comes_back_is_not_waited_for() -> None:
    async def main() -> None:
        client = Client([ISSUER])
        issuer = Issuer(client, ISSUER, "client", "airelays/test")
        shown: list[str] = []
        with pytest.raises(ConfigError, match="no sign-in within"):
            async with asyncio.timeout(5):
                await browser_login(issuer, show=shown.append, timeout_s=0.05, ports=(0,))
        assert shown[0].startswith(ISSUER)

    asyncio.run(main())


def test_slow_down_is_obeyed() -> None:
    asked_s: list[float] = []

    class SlowIssuer(FakeServer):
        async def handle(self, seen: Seen) -> Reply:
            if seen.path.endswith("usercode"):
                return json_reply({"device_auth_id": "d", "user_code": "u", "interval": 1})
            asked_s.append(asyncio.get_running_loop().time())
            if len(asked_s) == 1:
                return json_reply({"error": "slow_down"}, 400)
            return json_reply({"error": "access_denied"}, 400)

    async def main() -> None:
        async with SlowIssuer() as server:
            client = Client([server.url])
            issuer = Issuer(client, server.url, "client", "airelays/test")
            with pytest.raises(TokenRefused, match="declined"):
                await device_login(issuer, show=lambda device: None, timeout_s=60)
            await client.close()

    run_fast(main())
    assert asked_s[1] - asked_s[0] >= 6.0


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://localhost:1455/auth/callback?code=c1&state=the-state", "c1"),
        ("  http://localhost:1455/auth/callback?state=the-state&code=c1#x \n", "c1"),
        ("http://localhost:1455/auth/callback", ConfigError),
        ("http://localhost:1455/auth/callback?code=c1&state=x", ConfigError),
        ("?error=access_denied&state=the-state", TokenRefused),
    ],
)
def test_pasted_address_is_read(url: str, expected: str | type[Exception]) -> None:
    if isinstance(expected, str):
        assert code_from_url(url, STATE, ISSUER) == expected
    else:
        with pytest.raises(expected):
            code_from_url(url, STATE, ISSUER)


@pytest.mark.parametrize(
    ("env", "platform", "expected"),
    [
        ({"SSH_CONNECTION": "x", "DISPLAY": ":0"}, "linux", True),
        ({"SSH_TTY": "x"}, "darwin", True),
        ({}, "linux", True),
        ({"DISPLAY": ":0"}, "linux", False),
        ({"WAYLAND_DISPLAY": "w"}, "linux", False),
        ({}, "darwin", False),
        ({}, "win32", False),
    ],
)
def test_headless_is_recognised(env: dict[str, Any], platform: str, expected: bool) -> None:
    assert is_headless(env, platform) is expected


# --- the commands -------------------------------------------------------------------------------------------


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / ".airelays").mkdir(mode=0o700)
    return tmp_path


@pytest.fixture
def backend() -> Iterator[FakeBackend]:
    with FakeBackend() as backend:
        yield backend


def environment(home: Path, backend: FakeBackend, **extra: str) -> Any:
    kept = {key: os.environ[key] for key in ("PATH", "LANG", "SYSTEMROOT") if key in os.environ}
    return {
        **kept,
        "HOME": str(home),
        "TERM": "xterm",
        "PYTHONPATH": str(ROOT),
        "DISPLAY": ":99",
        "AIRELAYS_UPSTREAM_BASE_URL": backend.base_url,
        "AIRELAYS_ISSUER_BASE_URL": backend.issuer_url,
        **extra,
    }


def start(home: Path, backend: FakeBackend, *words: str, **extra: str) -> Any:
    return subprocess.Popen(
        [sys.executable, "-m", "airelays", *words],
        env=environment(home, backend, **extra),
        cwd=home,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def command(home: Path, backend: FakeBackend, *words: str, **extra: str) -> Any:
    process = start(home, backend, *words, **extra)
    out, err = process.communicate(timeout=30)
    return process.returncode, out, err


def sign_in(home: Path, backend: FakeBackend) -> Any:
    path = home / ".airelays" / "auth.json"
    path.write_bytes(backend.auth_json())
    path.chmod(0o600)
    return path


def consent(backend: FakeBackend, address: str, code: str = "ac_1") -> Any:
    """Do what the issuer's page does: remember the challenge, send the browser back. Return its answer."""
    asked = {key: values[0] for key, values in parse_qs(urlsplit(address).query).items()}
    backend.issuer.authorize(code, asked["code_challenge"], asked["redirect_uri"])
    back = urlsplit(asked["redirect_uri"])
    target = f"{back.path}?code={code}&state={asked['state']}"
    return back.port, target, asked


def read_address(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None and process.stderr is not None
    for line in process.stdout:
        if line.strip().startswith("http"):
            return line.strip()
    raise AssertionError(process.stderr.read())


def test_browser_login_stores_the_sign_in(home: Path, backend: FakeBackend) -> None:
    process = start(home, backend, "login", "--callback-port", "0", "--no-browser")
    address = read_address(process)
    port, target, asked = consent(backend, address)
    assert asked["redirect_uri"] == f"http://localhost:{port}/auth/callback"
    answer = visit(port, f"GET {target} HTTP/1.1\r\nHost: localhost:{port}\r\n\r\n".encode())
    assert b"Answer received" in answer
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    path = home / ".airelays" / "auth.json"
    document = json.loads(path.read_bytes())
    assert document["tokens"]["refresh_token"] == backend.issuer.refresh_token
    assert document["bound_account_id"] == ACCOUNT and path.stat().st_mode & 0o777 == 0o600
    assert "someone@example.test" in out and "airelays init" in out
    for secret in (*document["tokens"].values(), "ac_1"):
        assert secret not in out + err or secret == ACCOUNT


@posix_only
def test_the_browser_is_opened_without_a_shell_and_the_loaders_variables(
    home: Path, backend: FakeBackend, tmp_path: Path
) -> None:
    tools, seen = tmp_path / "bin", tmp_path / "seen"
    tools.mkdir()
    opener = tools / ("open" if sys.platform == "darwin" else "xdg-open")
    opener.write_text(
        f'#!/bin/sh\nprintf "%s\\n" "$#" "$1" > "{seen}.part"\nenv >> "{seen}.part"\n'
        f'mv "{seen}.part" "{seen}"\n'
    )
    opener.chmod(0o755)
    loader = {
        "PATH": f"{tools}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": "/inside",
        "LD_LIBRARY_PATH_ORIG": "/before",
        "_MEIPASS2": "/inside",
        "AIRELAYS_BROWSER_OPEN": "true",
    }
    process = start(home, backend, "login", "--callback-port", "0", **loader)
    address = read_address(process)
    wait_for(seen.exists)
    process.terminate()
    process.communicate(timeout=20)
    count, given, *environment_ = seen.read_text().splitlines()
    assert (count, given) == ("1", address)
    assert "LD_LIBRARY_PATH=/before" in environment_
    assert not [line for line in environment_ if "/inside" in line]


def test_device_login_is_chosen_without_a_display_and_reports_json(
    home: Path, backend: FakeBackend
) -> None:
    backend.issuer.device_pending = 2
    code, out, err = command(home, backend, "login", "--json", DISPLAY="")
    assert code == 0, err
    assert "there is probably no browser here" in err
    facts = json.loads(out[out.index("{") :])
    assert (
        facts["authenticated"]
        and facts["account_id"] == ACCOUNT
        and facts["email"] == "someone@example.test"
    )
    assert "ABCD-12345" in out and f"{backend.url}/codex/device" in out


@pytest.mark.parametrize(("before", "said"), [("acc-before", True), (ACCOUNT, False)])
def test_login_says_when_it_replaces_the_sign_in_of_another_account(
    home: Path, backend: FakeBackend, before: str, said: bool
) -> None:
    path = sign_in(home, backend)
    stored = json.loads(path.read_bytes())
    stored["tokens"]["account_id"] = before
    path.write_text(json.dumps(stored))
    code, _, err = command(home, backend, "login", "--device")
    assert code == 0, err
    assert ("this replaces the stored sign-in" in err) is said
    assert json.loads(path.read_bytes())["tokens"]["account_id"] == ACCOUNT


@pytest.mark.parametrize(
    ("switches", "said"),
    [
        ({"device_answer": "declined"}, "declined in the browser"),
        ({"device_answer": "expired"}, "has expired"),
        ({"device_answer": "500"}, "refused the device code (500 odd)"),
        ({"device_off": True}, "no device sign-in"),
        ({"device_pending": 10**6}, "no sign-in within 1 s"),
    ],
)
def test_device_login_that_fails_changes_nothing(
    home: Path, backend: FakeBackend, switches: dict[str, Any], said: str
) -> None:
    for name, value in switches.items():
        setattr(backend.issuer, name, value)
    code, _, err = command(home, backend, "login", "--device", AIRELAYS_LOGIN_TIMEOUT_SECONDS="1")
    assert code == 1 and said in err and "nothing was changed" in err
    assert err.count("\n") <= 3 and "Traceback" not in err
    assert not (home / ".airelays" / "auth.json").exists()


def test_nobody_signs_in_where_it_cannot_be_stored(home: Path, backend: FakeBackend) -> None:
    data = home / "data"
    data.touch()
    code, out, err = command(home, backend, "login", "--device", "--data-dir", str(data))
    assert (code, out) == (1, "")
    assert err.startswith(f"airelays: folder {data} cannot be used: File exists; choose another")
    assert not backend.requests


def test_paste_login_takes_the_address_back(home: Path, backend: FakeBackend) -> None:
    process = start(home, backend, "login", "--paste")
    address = read_address(process)
    port, target, _ = consent(backend, address)
    assert port == 1455
    _, err = process.communicate(f"http://localhost:1455{target}\n", timeout=20)
    assert process.returncode == 0, err
    assert (home / ".airelays" / "auth.json").exists() and "Paste its full address here" in err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no address was pasted"),
        ("nonsense\n", "not the address"),
        ("http://localhost/?code=a&state=b\n", "another sign-in"),
    ],
)
def test_paste_login_refuses_another_address(
    home: Path, backend: FakeBackend, text: str, said: str
) -> None:
    process = start(home, backend, "login", "--paste")
    _, err = process.communicate(text, timeout=20)
    assert process.returncode == 1 and said in err and "Traceback" not in err


def test_wrong_workspace_is_refused(home: Path, backend: FakeBackend) -> None:
    code, _, err = command(home, backend, "login", "--device", "--workspace-id", "other")
    assert code == 1 and f"is for workspace {ACCOUNT}, not other" in err
    assert not (home / ".airelays" / "auth.json").exists()


def test_two_ways_at_once_are_refused(home: Path, backend: FakeBackend) -> None:
    code, _, err = command(home, backend, "login", "--device", "--paste")
    assert code == 2 and "choose one" in err


def test_unreachable_issuer_is_one_sentence(home: Path, backend: FakeBackend) -> None:
    code, _, err = command(
        home, backend, "login", "--device", AIRELAYS_ISSUER_BASE_URL="http://127.0.0.1:1"
    )
    assert code == 1 and "cannot connect to 127.0.0.1:1 (connection refused)" in err
    assert err.count("\n") == 1


# --- on a terminal ------------------------------------------------------------------------------------------


class Terminal:
    """A program on a pseudo-terminal; `screen` is everything it wrote."""

    def __init__(self, argv: list[str], env: dict[str, str], cwd: Path) -> None:
        import pty

        self.fd, inner = pty.openpty()
        self.process = subprocess.Popen(
            argv, env=env, cwd=cwd, stdin=inner, stdout=inner, stderr=inner, start_new_session=True
        )
        os.close(inner)
        self.screen = ""
        self.changed = threading.Condition()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            with self.changed:
                self.screen += data.decode(errors="replace")
                self.changed.notify_all()
            if not data:
                return

    def wait_for(self, pattern: str, within_s: float = 15) -> None:
        with self.changed:
            if not self.changed.wait_for(lambda: re.search(pattern, self.screen), within_s):
                raise AssertionError(f"{pattern!r} is not in {self.screen!r}")

    def end(self, within_s: float = 15) -> Any:
        code = self.process.wait(within_s)
        self.reader.join(5)
        os.close(self.fd)
        return code


@posix_only
def test_countdown_on_a_terminal_and_ctrl_c_is_clean(home: Path, backend: FakeBackend) -> None:
    backend.issuer.device_pending = 10**6
    argv = [sys.executable, "-m", "airelays", "login", "--device"]
    terminal = Terminal(argv, environment(home, backend), home)
    terminal.wait_for(r"\r[|/\\-] waiting for you to confirm the code, 14:59 left")
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() == 130
    tail = terminal.screen[terminal.screen.rindex("left") :]
    assert "\r\x1b[K" in tail and "interrupted; nothing was changed" in tail
    assert "Traceback" not in terminal.screen
    assert not (home / ".airelays" / "auth.json").exists()


@posix_only
def test_usage_draws_bars_on_a_terminal(home: Path, backend: FakeBackend) -> None:
    sign_in(home, backend)
    argv = [sys.executable, "-m", "airelays", "usage"]
    terminal = Terminal(argv, environment(home, backend), home)
    assert terminal.end() == 0
    assert "5h:" in terminal.screen and "\x1b[32m###---------------------\x1b[0m" in terminal.screen
    assert " 12.0 % used" in terminal.screen and "weekly:" in terminal.screen
    assert "Synthetic image quota 1d:" in terminal.screen


# --- logout, status, usage, doctor ----------------------------------------------------------------------------


def test_logout_revokes_and_removes(home: Path, backend: FakeBackend) -> None:
    path = sign_in(home, backend)
    token = json.loads(path.read_bytes())["tokens"]["refresh_token"]
    code, out, _ = command(home, backend, "logout", "--json")
    assert code == 0 and json.loads(out) == {
        "deleted": True,
        "revoked": True,
        "signed_out": ["someone@example.test"],
        "remaining": [],
    }
    assert not path.exists() and backend.issuer.revoked[0]["token"] == token
    code, out, _ = command(home, backend, "logout", "--json")
    assert code == 0 and json.loads(out)["deleted"] is False


def test_logout_removes_also_when_the_issuer_is_away(home: Path, backend: FakeBackend) -> None:
    path = sign_in(home, backend)
    code, out, err = command(home, backend, "logout", AIRELAYS_ISSUER_BASE_URL="http://127.0.0.1:1")
    assert code == 0 and not path.exists() and "deleted" in out
    assert "not revoked at the sign-in service" in err


def test_status_asks_nobody_and_shows_no_secret(home: Path, backend: FakeBackend) -> None:
    path = sign_in(home, backend)
    before = len(backend.requests)
    code, out, err = command(home, backend, "status", "--json")
    facts = json.loads(out)
    assert code == 3 and len(backend.requests) == before
    assert facts["auth"]["ready_for_requests"] is True and facts["auth"]["plan_type"] == "plus"
    assert facts["relay"]["bearer_token_present"] is False and facts["next_steps"][0].endswith(
        "airelays init"
    )
    tokens = json.loads(path.read_bytes())["tokens"]
    assert not any(tokens[n] in out + err for n in ("access_token", "refresh_token", "id_token"))
    code, out, _ = command(home, backend, "status")
    assert code == 3 and "someone@example.test" in out


def test_usage_json_and_its_errors(home: Path, backend: FakeBackend) -> None:
    sign_in(home, backend)
    code, out, _ = command(home, backend, "usage", "--json", "--raw")
    facts = json.loads(out)
    assert (code, facts["object"]) == (0, "usage")
    (account,) = facts["openai"]["accounts"]
    assert account["status"]["object"] == "subscription_status"
    assert account["status"]["raw"]["plan_type"] == "plus"
    backend.usage_status = 500
    code, out, err = command(home, backend, "usage")
    assert (code, out) == (1, "") and "usage is broken" in err
    (home / ".airelays" / "auth.json").unlink()
    code, _, err = command(home, backend, "usage")
    assert code == 1 and "airelays login" in err


def doctor(home: Path, backend: FakeBackend, *words: str, **extra: str) -> Any:
    code, out, err = command(home, backend, "doctor", "--json", *words, **extra)
    report = json.loads(out)
    return code, {check["name"]: check for check in report["checks"]}, report, err


def test_doctor_walks_to_one_answer_over_tls(home: Path, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    with FakeBackend(tls=authority.server_context("127.0.0.1")) as backend:
        sign_in(home, backend)
        extra = {"AIRELAYS_BEARER_TOKEN": "t" * 40, "AIRELAYS_CA_FILE": authority.ca_file}
        code, checks, report, err = doctor(home, backend, "--ask", **extra)
    assert code == 0, (report, err)
    wanted = {"trust", "proxy", "dns", "tls", "openai_auth", "openai_models", "openai_response"}
    assert {name for name in wanted if checks[name]["status"] == "pass"} == wanted
    assert checks["tls"]["data"]["issuer"] == "Throw-away Test CA"
    assert checks["openai_models"]["data"]["model_count"] == 4
    assert report["ok"] is True and report["summary"]["failed"] == 0


def test_doctor_says_what_is_wrong(home: Path, backend: FakeBackend) -> None:
    code, checks, report, _ = doctor(home, backend)
    assert code == 1 and checks["openai_auth"]["status"] == "fail"
    assert [step.rpartition(" ")[2] for step in report["next_steps"]] == ["init", "login", "serve"]
    sign_in(home, backend)
    backend.cut_after_events = 3
    code, checks, _, _ = doctor(home, backend, "--ask", AIRELAYS_BEARER_TOKEN="t" * 40)
    assert code == 1 and checks["openai_response"]["data"] == {
        "hop": "stream",
        "code": "incomplete_stream",
    }
    code, checks, _, _ = doctor(home, backend, "--skip-response", AIRELAYS_BEARER_TOKEN="t" * 40)
    assert code == 0 and checks["openai_response"]["status"] == "skip"


def test_doctor_names_the_hop_that_fails(home: Path, backend: FakeBackend) -> None:
    sign_in(home, backend)
    away = "http://127.0.0.1:1/backend-api/codex"
    code, checks, _, _ = doctor(home, backend, AIRELAYS_UPSTREAM_BASE_URL=away)
    assert (
        code == 1
        and checks["tls"]["data"]["hop"] == "tcp"
        and checks["openai_auth"]["status"] == "skip"
    )


def test_doctor_with_the_demo_asks_nobody(home: Path, backend: FakeBackend) -> None:
    extra = {
        "AIRELAYS_UPSTREAM_KIND": "demo",
        "AIRELAYS_UPSTREAM_BASE_URL": "",
        "AIRELAYS_BEARER_TOKEN": "t" * 40,
    }
    started_s = time.monotonic()
    code, checks, _, _ = doctor(home, backend, **extra)
    assert code == 0 and set(checks) == {"config", "data_dir", "relay_token", "relay"}
    assert backend.requests == [] and time.monotonic() - started_s < 10
