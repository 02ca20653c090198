"""The sign-in is never lost: refresh rules, single flight, other processes, crashes at every step."""

from __future__ import annotations

import asyncio
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path
from typing import IO, Any, TypeVar

import pytest

from airelays.errors import ConfigError, UpstreamFault
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore
from airelays.upstream.chatgpt.tokens import Tokens
from tests.fakes.backend import FakeBackend
from tests.fakes.issuer import ACCOUNT, IssuerState, jwt
from tests.fakes.refresh_child import make_tokens, refresh
from tests.fakes.secret_tool import put_secret_tool

ROOT = Path(__file__).resolve().parents[2]
T = TypeVar("T")
Act = Callable[[Tokens, IssuerState], Awaitable[T]]
posix_only = pytest.mark.skipif(os.name != "posix", reason="SIGKILL and fork")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "data"
    path.mkdir(mode=0o700)
    return path


def pipe(end: IO[str] | None) -> IO[str]:
    assert end is not None
    return end


def put(folder: Path, document: Any) -> None:
    path = folder / "auth.json"
    path.write_text(json.dumps(document))
    path.chmod(0o600)


def token_in(sign_in: SignIn | None) -> str:
    assert sign_in is not None
    return sign_in.refresh_token


def stored(folder: Path) -> Any:
    return json.loads((folder / "auth.json").read_bytes())


def run(folder: Path, act: Act[T], document: Any = None, **switches: Any) -> Any:
    """Run `act(tokens, issuer)` with a stored sign-in; `document` may change it."""

    async def main() -> Any:
        async with asyncio.timeout(20), FakeBackend() as backend:
            issuer = backend.issuer
            for name, value in switches.items():
                setattr(issuer, name, value)
            put(folder, (document or (lambda issuer: issuer.auth_json()))(issuer))
            tokens = make_tokens(str(folder), backend.url)
            return await act(tokens, issuer)

    return asyncio.run(main())


def fault_from(folder: Path, act: Act[T], document: Any = None, **switches: Any) -> Any:
    async def expect(tokens: Tokens, issuer: IssuerState) -> Any:
        with pytest.raises(UpstreamFault) as caught:
            await act(tokens, issuer)
        return caught.value

    return run(folder, expect, document, **switches)


def has_called(issuer: IssuerState, times: int) -> bool:
    return issuer.refresh_calls == times


async def current(tokens: Tokens, issuer: IssuerState) -> Any:
    return await tokens.current()


async def reject(tokens: Tokens, issuer: IssuerState) -> Any:
    return await tokens.after_rejection(await tokens.current())


# --- when -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("left_s", "calls"), [(301 + 5, 0), (300 - 5, 1), (10, 1), (-10, 1)])
def test_refresh_is_due_five_minutes_before_exp(folder: Path, left_s: int, calls: int) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        issuer.expires_in_s = 864_000
        sign_in = await tokens.current()
        assert issuer.refresh_calls == calls
        assert sign_in.access_token == stored(folder)["tokens"]["access_token"]
        assert (sign_in.refresh_token == issuer.refresh_token) and sign_in.account_id == ACCOUNT

    run(folder, act, expires_in_s=left_s)


@pytest.mark.parametrize(("age_days", "calls"), [(7.99, 0), (8.01, 1), (None, 1)])
def test_age_decides_when_exp_cannot_be_read(
    folder: Path, age_days: float | None, calls: int
) -> None:
    def document(issuer: IssuerState) -> Any:
        document = issuer.auth_json()
        document["tokens"]["access_token"] = "opaque"
        document["last_refresh"] = None
        if age_days is not None:
            at = time.gmtime(time.time() - age_days * 86400)
            document["last_refresh"] = time.strftime("%Y-%m-%dT%H:%M:%SZ", at)
        return document

    async def act(tokens: Tokens, issuer: IssuerState) -> Any:
        await tokens.current()
        return issuer.refresh_calls

    assert run(folder, act, document) == calls


def test_rejection_refreshes_once_and_saves_before_use(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        before = await tokens.current()
        after = await tokens.after_rejection(before)
        assert issuer.refresh_calls == 1
        assert (
            stored(folder)["tokens"]["refresh_token"] == issuer.refresh_token == after.refresh_token
        )
        # The same rejection again, from a request that still held the old one: no call.
        assert (await tokens.after_rejection(before)).same_tokens(after)
        assert issuer.refresh_calls == 1

    run(folder, act)
    assert stat.S_IMODE((folder / "auth.json").stat().st_mode) == 0o600


def test_what_the_issuer_leaves_out_is_kept(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        before = await tokens.current()
        after = await tokens.after_rejection(before)
        assert after.access_token != before.access_token
        assert (after.id_token, after.refresh_token) == (before.id_token, before.refresh_token)

    run(folder, act, omit={"id_token", "refresh_token"})


def test_unknown_keys_of_the_file_survive(folder: Path) -> None:
    document = lambda issuer: issuer.auth_json(auth_mode="chatgpt", OPENAI_API_KEY=None, mine=[1])  # noqa: E731
    run(folder, reject, document)
    assert {"auth_mode", "OPENAI_API_KEY", "mine", "bound_account_id"} <= set(stored(folder))


# --- shapes of the file -------------------------------------------------------------------------------------


def test_codex_shape_of_the_id_token_is_read(folder: Path) -> None:
    def document(issuer: IssuerState) -> Any:
        document = issuer.auth_json()
        document["tokens"]["id_token"] = {"raw_jwt": document["tokens"]["id_token"], "email": "x"}
        return document

    assert run(folder, current, document).email == "someone@example.test"


def test_file_without_id_token_is_read(folder: Path) -> None:
    def document(issuer: IssuerState) -> Any:
        document = issuer.auth_json()
        del document["tokens"]["id_token"]
        return document

    sign_in = run(folder, reject, document)
    assert sign_in.account_id == ACCOUNT


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (None, "missing"),
        ("{}", "incomplete"),
        ('{"tokens": {}}', "incomplete"),
        ("[]", "error"),
        ("x", "error"),
    ],
)
def test_unusable_file_is_503_with_its_kind(folder: Path, content: str | None, kind: str) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        path = folder / "auth.json"
        path.unlink()
        if content is not None:
            path.write_text(content)
            path.chmod(0o600)
        await tokens.current()

    fault = fault_from(folder, act)
    assert (fault.status, fault.code, fault.hop) == (503, f"upstream_auth_{kind}", "sign_in")
    assert fault.headers == {"x-airelays-upstream-auth": kind}
    assert fault.should_retry is False and fault.type == "authentication_error"
    assert "airelays login" in fault.message


def test_tokens_of_another_account_are_refused(folder: Path) -> None:
    fault = fault_from(folder, current, lambda issuer: issuer.auth_json(bound_account_id="other"))
    assert fault.code == "upstream_auth_account_mismatch"


def test_symbolic_link_is_refused(folder: Path, tmp_path: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        (folder / "auth.json").rename(tmp_path / "elsewhere")
        (folder / "auth.json").symlink_to(tmp_path / "elsewhere")
        await tokens.current()

    assert fault_from(folder, act).code == "upstream_auth_error"


def test_expired_without_refresh_token_is_incomplete(folder: Path) -> None:
    def document(issuer: IssuerState) -> Any:
        document = issuer.auth_json()
        document["tokens"]["refresh_token"] = ""
        return document

    assert fault_from(folder, current, document, expires_in_s=-5).code == "upstream_auth_incomplete"
    assert fault_from(folder, reject, document, expires_in_s=5000).code == "upstream_auth_rejected"


# --- failures -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["expired", "reused", "invalidated", "invalid_grant", "401"])
def test_permanent_refusal_is_remembered_for_that_snapshot_only(folder: Path, fault: str) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        used = await tokens.current()
        for _ in range(3):
            with pytest.raises(UpstreamFault) as caught:
                await tokens.after_rejection(used)
            assert caught.value.code == "upstream_auth_refresh_failed"
            assert caught.value.should_retry is False and "airelays login" in caught.value.message
        assert issuer.refresh_calls == 1
        # Nothing was cleared, the token in hand still serves what it can, and a new sign-in is taken.
        assert stored(folder)["tokens"]["refresh_token"] == used.refresh_token
        assert tokens.describe()["ready_for_requests"] is False
        issuer.refresh_fault = ""
        put(folder, issuer.auth_json())
        assert (await tokens.after_rejection(used)).refresh_token == issuer.refresh_token
        assert issuer.refresh_calls == 1 and tokens.describe()["ready_for_requests"] is True

    run(folder, act, refresh_fault=fault)


@pytest.mark.parametrize("fault", ["500", "400"])
def test_passing_failure_is_not_final_and_does_not_storm(folder: Path, fault: str) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        used = await tokens.current()
        for _ in range(3):
            with pytest.raises(UpstreamFault) as caught:
                await tokens.after_rejection(used)
            assert caught.value.should_retry is None and caught.value.retry_after_s == 5.0
        assert issuer.refresh_calls == 1 and tokens.describe()["ready_for_requests"] is True

    run(folder, act, refresh_fault=fault)


def test_failed_early_refresh_does_not_fail_the_request(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> Any:
        assert (await tokens.current()).access_token in issuer.valid_access
        assert (await tokens.current()).access_token in issuer.valid_access
        return issuer.refresh_calls

    assert run(folder, act, expires_in_s=100, refresh_fault="500") == 1


def test_refusal_because_somebody_without_our_lock_refreshed_is_no_refusal(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        issuer.pause["refresh"] = asyncio.Event()
        used = await tokens.current()
        task = asyncio.ensure_future(tokens.after_rejection(used))
        await issuer.wait_for(lambda: issuer.refresh_calls == 1)
        put(folder, issuer.auth_json())  # uses up the token that is on its way
        issuer.pause["refresh"].set()
        assert (await task).refresh_token == issuer.refresh_token

    run(folder, act)


def test_no_token_is_in_any_error(folder: Path) -> None:
    fault = fault_from(folder, reject, refresh_fault="reused")
    document = stored(folder)
    for secret in document["tokens"].values():
        assert secret not in repr(fault) + fault.message or secret == ACCOUNT
    assert document["tokens"]["access_token"] not in repr(SignIn.from_document(document))


def test_full_disk_keeps_the_new_token_in_memory_and_stores_it_later(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        used = await tokens.current()
        issuer.pause["rotated"] = asyncio.Event()
        task = asyncio.ensure_future(tokens.after_rejection(used))
        await issuer.wait_for(lambda: issuer.refresh_calls == 1)
        # A folder in the way: the write fails, as on a full disk, after the old token is used up.
        (folder / "auth.json").rename(folder / "old")
        (folder / "auth.json").mkdir()
        issuer.pause["rotated"].set()
        fresh = await task
        assert fresh.refresh_token == issuer.refresh_token
        assert "kept in memory" in tokens.describe()["problem"]
        (folder / "auth.json").rmdir()
        (folder / "old").rename(folder / "auth.json")
        await tokens.settle()
        assert stored(folder)["tokens"]["refresh_token"] == issuer.refresh_token

    run(folder, act)


# --- one refresh at a time ------------------------------------------------------------------------------------


def test_many_tasks_make_one_call(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> Any:
        used = await tokens.current()
        found = await asyncio.gather(*(tokens.after_rejection(used) for _ in range(20)))
        assert {sign_in.access_token for sign_in in found} == {
            stored(folder)["tokens"]["access_token"]
        }
        return issuer.refresh_calls

    assert run(folder, act) == 1


def test_many_tasks_hold_up_one_thread(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        issuer.pause["refresh"] = asyncio.Event()
        used = await tokens.current()
        tasks = [asyncio.ensure_future(tokens.after_rejection(used)) for _ in range(40)]
        await issuer.wait_for(lambda: issuer.refresh_calls == 1)
        try:
            async with asyncio.timeout(2):
                await asyncio.to_thread(int)  # files and name lookups need threads too
        finally:
            issuer.pause["refresh"].set()
            await asyncio.gather(*tasks)

    run(folder, act)


def test_cancelled_request_does_not_cancel_the_refresh(folder: Path) -> None:
    async def act(tokens: Tokens, issuer: IssuerState) -> None:
        issuer.pause["rotated"] = asyncio.Event()
        used = await tokens.current()
        task = asyncio.ensure_future(tokens.after_rejection(used))
        await issuer.wait_for(lambda: issuer.refresh_calls == 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        issuer.pause["rotated"].set()
        await tokens.settle()
        assert stored(folder)["tokens"]["refresh_token"] == issuer.refresh_token

    run(folder, act)


def test_end_of_the_event_loop_does_not_cut_a_refresh(folder: Path) -> None:
    with FakeBackend() as backend:
        put(folder, backend.issuer.auth_json())
        backend.issuer.pause["rotated"] = asyncio.Event()

        async def main() -> None:
            tokens = make_tokens(str(folder), backend.url)
            used = await tokens.current()
            task = asyncio.ensure_future(tokens.after_rejection(used))
            await asyncio.to_thread(backend.wait_until, lambda: backend.issuer.refresh_calls > 0)
            assert not task.done()
            backend.loop.call_soon_threadsafe(backend.issuer.pause["rotated"].set)

        asyncio.run(main())
        assert stored(folder)["tokens"]["refresh_token"] == backend.issuer.refresh_token


def test_eight_processes_at_once_make_one_call(folder: Path) -> None:
    code = "import sys; from tests.fakes.refresh_child import *; refresh_on_signal(*sys.argv[1:])"
    with FakeBackend() as backend:
        put(folder, backend.issuer.auth_json())
        children = [
            subprocess.Popen(
                [sys.executable, "-c", code, str(folder), backend.url],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _ in range(8)
        ]
        assert {pipe(child.stdout).readline() for child in children} == {"ready\n"}
        for child in children:
            pipe(child.stdin).write("go\n")
            pipe(child.stdin).flush()
        said = {child.communicate(timeout=30)[0] for child in children}
        assert {child.returncode for child in children} == {0}
        assert backend.issuer.refresh_calls == 1
        assert said == {stored(folder)["tokens"]["access_token"] + "\n"}


# --- kill -9 ----------------------------------------------------------------------------------------------


class Zygote:
    """Forks refreshing children on demand."""

    def __init__(self, folder: Path, url: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.fakes.refresh_child", str(folder), url],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert pipe(self.process.stdout).readline() == "ready\n"

    def refresh(self, die_at: int) -> Any:
        pipe(self.process.stdin).write(f"{die_at}\n")
        pipe(self.process.stdin).flush()
        status, _, said = pipe(self.process.stdout).readline().partition(" ")
        return int(status), said.strip()

    def close(self) -> None:
        self.process.communicate(timeout=10)


@posix_only
def test_kill_at_every_step_of_a_refresh_never_loses_a_token_that_reached_the_disk(
    folder: Path,
) -> None:
    kills = kept = 0
    with FakeBackend() as backend:
        issuer = backend.issuer
        put(folder, issuer.auth_json())
        zygote = Zygote(folder, backend.url)
        status, said = zygote.refresh(0)
        assert status == 0, said
        steps = int(said)
        assert steps >= 6
        for turn in range(240):
            die_at = turn % steps + 1
            status, said = zygote.refresh(die_at)
            assert status == 9, (die_at, status, said)
            kills += 1
            on_disk = any(
                issuer.refresh_token.encode() in path.read_bytes() for path in folder.iterdir()
            )
            if not on_disk:
                # Rotated and killed before the answer was written anywhere: nobody can keep that.
                assert issuer.refresh_calls
                put(folder, issuer.auth_json())
                continue
            kept += 1
            before = issuer.refresh_calls
            assert refresh(str(folder), backend.url) in issuer.valid_access
            assert issuer.refresh_token == stored(folder)["tokens"]["refresh_token"]
            assert issuer.refresh_calls <= before + 1
        zygote.close()
    lost = kills - kept
    # At most the steps between the answer and its first byte on disk: connect, and the open of the new file.
    assert kills == 240 and lost <= 3 * (240 // steps + 1), (kills, kept, steps)


@posix_only
@pytest.mark.parametrize("step", ["refresh", "rotated"])
def test_kill_while_the_issuer_works(folder: Path, step: str) -> None:
    with FakeBackend() as backend:
        issuer = backend.issuer
        put(folder, issuer.auth_json())
        code = "import sys; from tests.fakes.refresh_child import *; print(refresh(*sys.argv[1:]))"
        for _ in range(4):
            issuer.pause[step] = asyncio.Event()
            calls = issuer.refresh_calls
            child = subprocess.Popen(
                [sys.executable, "-c", code, str(folder), backend.url], cwd=ROOT
            )
            backend.wait_until(partial(has_called, issuer, calls + 1), 10)
            child.kill()
            child.wait(10)
            event = issuer.pause.pop(step)
            backend.loop.call_soon_threadsafe(event.set)
            # Nothing of it reached the disk; the file is as it was, whole, and no lock is left.
            SignIn.from_bytes((folder / "auth.json").read_bytes(), "x")
            with SignInStore(str(folder)).lock(0):
                put(folder, issuer.auth_json())


def test_leftover_of_a_crash_is_finished_only_when_it_is_newer_and_ours(folder: Path) -> None:
    store = SignInStore(str(folder))

    def document(day: int, account: str = "a", refresh: str = "r") -> Any:
        tokens = {"access_token": jwt({"exp": 1}), "refresh_token": refresh, "account_id": account}
        return json.dumps({"tokens": tokens, "last_refresh": f"2026-01-{day:02}T00:00:00Z"})

    def leave(number: int, text: str) -> None:
        path = folder / f".auth.json.{number:016x}.staged"
        path.write_text(text)
        path.chmod(0o600)

    put(folder, json.loads(document(10)))
    leave(1, document(9, refresh="old"))
    leave(2, document(12, account="b", refresh="foreign"))
    leave(3, document(11, refresh="new")[:-5])
    assert store.recover() is None
    assert list(folder.glob(".auth*")) == [] and token_in(store.load()) == "r"
    leave(4, document(11, refresh="new"))
    assert token_in(store.recover()) == "new"
    assert token_in(store.load()) == "new"


# --- keyrings ---------------------------------------------------------------------------------------------


@pytest.fixture
def secret_tool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    tools = put_secret_tool(tmp_path / "tools")
    monkeypatch.setenv("PATH", f"{tools}:{os.environ['PATH']}")
    return tools


@pytest.mark.skipif(sys.platform != "linux", reason="secret-tool")
def test_keyring_keeps_the_sign_in_and_no_file(folder: Path, secret_tool: Path) -> None:
    store = SignInStore(str(folder), "keyring")
    assert store.load() is None
    tokens = {"access_token": "a", "refresh_token": "r"}
    store.save(SignIn.from_document({"tokens": tokens}))
    assert token_in(store.load()) == "r" and not (folder / "auth.json").exists()
    assert store.delete() is True and store.load() is None and store.delete() is False


@pytest.mark.skipif(sys.platform != "linux", reason="secret-tool")
def test_auto_falls_back_to_the_file_and_keyring_does_not(folder: Path, secret_tool: Path) -> None:
    (secret_tool / "broken").touch()
    said: list[str] = []
    store = SignInStore(str(folder), "auto", warn=said.append)
    store.save(SignIn.from_document({"tokens": {"access_token": "a", "refresh_token": "r"}}))
    assert token_in(store.load()) == "r" and (folder / "auth.json").exists()
    assert "Cannot autolaunch D-Bus" in said[0]
    with pytest.raises(ConfigError, match="unlock it"):
        SignInStore(str(folder), "keyring").load()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for secret-tool")
def test_keyring_mode_without_a_tool_says_what_to_do(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(folder))
    with pytest.raises(ConfigError, match=r'set auth\.storage = "file"'):
        SignInStore(str(folder), "keyring")
    assert SignInStore(str(folder), "auto").describe()["storage_mode"] == "auto"


SECURITY_TOOL = """#!{python}
import json, os, shlex, sys
path = {folder!r} + "/keychain.json"
entries = json.load(open(path)) if os.path.exists(path) else {{}}
assert "SECRET" not in " ".join(sys.argv)
argv = sys.argv[1:]
if argv == ["-i"]:
    line = sys.stdin.readline()
    assert len(line) < 4096
    argv = shlex.split(line)
command, given = argv[0], dict(zip(argv[1:], argv[2:]))
key = given["-s"] + "/" + given["-a"]
if command == "add-generic-password":
    entries[key] = given["-w"]
    if {folder!r} and os.path.exists({folder!r} + "/die"):
        sys.exit(1)
elif key not in entries:
    sys.exit(44)
elif command == "find-generic-password":
    print(entries[key])
else:
    del entries[key]
json.dump(entries, open(path, "w"))
"""


@posix_only
def test_keychain_takes_a_long_secret_in_parts_and_keeps_the_old_one_on_failure(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airelays.credentials.keyring import KeyringFailure, _MacKeychain

    tool = tmp_path / "security"
    tool.write_text(SECURITY_TOOL.format(python=sys.executable, folder=str(tmp_path)))
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    keychain = _MacKeychain("AIRelays Auth", "cli|0123")
    assert keychain.read() is None and keychain.delete() is False
    for secret in (b"SECRET" * 2000, b'{"short": "SECRET"}'):
        keychain.write(secret)
        assert keychain.read() == secret
    entries = json.loads((tmp_path / "keychain.json").read_bytes())
    assert len(entries) == 2, "parts of the long one are gone"
    (tmp_path / "die").touch()
    with pytest.raises(KeyringFailure):
        keychain.write(b"SECRET new")
    assert keychain.read() == b'{"short": "SECRET"}'
    (tmp_path / "die").unlink()
    assert keychain.delete() is True and keychain.read() is None
