"""The access token for the next call: refreshed when due, once, on disk before use, never lost to a stale copy.

Refresh tokens are single-use, so one refresh runs at a time: across tasks by one shared task, across
processes by a file lock inside which the file is read again. The work itself runs in a thread with an event
loop of its own: a cancelled request, or the end of the relay's loop, cannot cut it off between the issuer's
answer and the disk. Owns: when to refresh and what a failure means. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

from airelays.errors import ConfigError, RelayError, UpstreamFault
from airelays.hints import told
from airelays.settings.record import Record
from airelays.upstream.chatgpt.oauth import TokenRefused
from airelays.upstream.chatgpt.signin import SignIn, SignInProblem, sign_in_fault
from airelays.upstream.chatgpt.store import LOCK_WAIT_S, SignInStore, Stamp

# How long a stat of the file answers for the next requests.
STAMP_S = 1.0
# After a passing failure nothing is asked for so long: with a token that still works, and without.
CALM_S = 30.0
URGENT_S = 5.0
# Codes of a refresh that found no usable sign-in: nothing gets better before somebody signs in.
_LASTING: dict[str, SignInProblem] = {
    "upstream_auth_missing": "missing",
    "upstream_auth_incomplete": "incomplete",
}
# What a client is told of a file; the path and the reason are in the log and on the terminal.

AskIssuer = Callable[[str, str], Awaitable[dict[str, Any]]]


class _Failure(Record):
    """What the last refresh of one snapshot ended in. `permanent` holds until the file changes."""

    sign_in: SignIn
    message: str
    permanent: bool
    kind: SignInProblem
    at_s: float
    local: str = ""

    def fault(self) -> UpstreamFault:
        wait_s = None if self.permanent else URGENT_S
        return sign_in_fault(self.kind, self.message, retry_after_s=wait_s, local=self.local)


class _Unsaved(Record):
    """A refreshed sign-in that the disk did not take: the only copy, until a later try stores it."""

    sign_in: SignIn
    replaces: SignIn
    problem: str
    tried_s: float


class Tokens:
    """Gives out the sign-in. `ask_issuer(refresh_token, reason)` makes the one call of a refresh.

    It is awaited in a loop of its own, in a thread, so it must not use connections of another loop.
    """

    def __init__(
        self,
        store: SignInStore,
        ask_issuer: AskIssuer,
        *,
        clock: Callable[[], float] = time.time,
        lock_wait_s: float = LOCK_WAIT_S,
    ) -> None:
        self.store = store
        self.refreshes = 0
        self._ask_issuer = ask_issuer
        self._clock = clock
        self._lock_wait_s = lock_wait_s
        self._sign_in: SignIn | None = None
        self._due_s = 0.0
        self._stamp: Stamp | None = None
        self._stamped_s = 0.0
        self._failure: _Failure | None = None
        self._unsaved: _Unsaved | None = None
        self._flight: asyncio.Task[SignIn] | None = None

    async def current(self) -> SignIn:
        """Return a sign-in whose access token should work; refreshes it when due.

        Raises UpstreamFault 503 (hop "sign_in") when there is none, it is incomplete or of another
        account, or an overdue refresh failed.
        """
        sign_in = await self._read()
        now_s = self._clock()
        if now_s < self._due_s:
            return sign_in
        if not sign_in.refresh_token:
            return self._without_refresh(sign_in, now_s)
        try:
            return await self._refresh(sign_in, "proactive_expiry")
        except UpstreamFault:
            if sign_in.has_expired(now_s):
                raise
            # It was only due, not over: the request need not fail because the issuer did.
            return sign_in

    async def after_rejection(self, used: SignIn) -> SignIn:
        """Return another sign-in after the upstream answered 401 to `used`, refreshing at most once.

        When the file or memory holds a newer one already, that is returned without a call.
        """
        sign_in = await self._read(fresh=True)
        if not sign_in.same_tokens(used):
            return await self.current()
        if not sign_in.refresh_token:
            raise rejected()
        return await self._refresh(sign_in, "unauthorized_recovery")

    def peek(self) -> SignIn | None:
        """Return the stored sign-in as it is, or None. Raises ConfigError when it cannot be read."""
        return self.store.load()

    def describe(self) -> dict[str, Any]:
        """Return the facts of the stored sign-in for `status`; never a secret, no network."""
        unsaved = self._unsaved
        if unsaved is not None:
            problem = (
                f"the refreshed sign-in could not be stored ({unsaved.problem}); it is kept in memory and "
                "storing is tried again; free some space before you stop the relay"
            )
            return {**unsaved.sign_in.describe(), **self.store.describe(), "problem": problem}
        try:
            sign_in = self.peek()
        except ConfigError as error:
            return {**SignIn().describe(), **self.store.describe(), "problem": str(error)}
        facts = {**(sign_in or SignIn()).describe(), **self.store.describe()}
        failure = self._failure
        if failure is not None and sign_in is not None and failure.sign_in.same_tokens(sign_in):
            facts["problem"] = failure.local or failure.message
            facts["ready_for_requests"] = facts["ready_for_requests"] and not failure.permanent
        return facts

    def secrets(self) -> list[bytes]:
        """Return the tokens in memory, for redaction. Reads attributes only: any thread may ask."""
        unsaved = self._unsaved
        held = (self._sign_in, unsaved.sign_in if unsaved is not None else None)
        return [
            token.encode()
            for sign_in in held
            if sign_in is not None
            for token in (sign_in.access_token, sign_in.refresh_token, sign_in.id_token)
            if token
        ]

    async def settle(self) -> None:
        """Wait for a running refresh to be on disk; called before the relay ends."""
        if self._flight is not None:
            await asyncio.wait([self._flight])
        if self._unsaved is not None:
            await asyncio.to_thread(self._save_again, self._unsaved)

    # --- reading ---------------------------------------------------------------------------------------

    def forget(self) -> None:
        """Have the next call read the stored sign-in, whatever its stamp says."""
        self._sign_in, self._stamp = None, None

    async def _read(self, *, fresh: bool = False) -> SignIn:
        now_s = time.monotonic()
        unsaved = self._unsaved
        if unsaved is not None and now_s - unsaved.tried_s >= URGENT_S:
            self._unsaved = unsaved.replace(tried_s=now_s)
            await asyncio.to_thread(self._save_again, unsaved)
        if fresh or self._sign_in is None or now_s - self._stamped_s >= STAMP_S:
            stamp = self.store.stamp()
            self._stamped_s = now_s
            if self._sign_in is None or stamp != self._stamp:
                self._adopt(await asyncio.to_thread(self._load), stamp)
        sign_in = self._sign_in
        if sign_in is None:
            raise sign_in_fault("missing", f"no ChatGPT sign-in is stored; run: {told('login')}")
        if not (sign_in.access_token or sign_in.refresh_token):
            text = f"the stored sign-in has no token; {_again()}"
            local = f"the stored sign-in {self.store.path} has no token; {_again()}"
            raise sign_in_fault("incomplete", text, local=local)
        if sign_in.bound_account_id and not sign_in.account_bound:
            text = f"the stored tokens belong to a different account than the sign-in; {_again()}"
            raise sign_in_fault("account_mismatch", text)
        return sign_in

    def _load(self) -> SignIn | None:
        try:
            return self.store.load()
        except ConfigError as error:
            raise sign_in_fault("error", unreadable(), local=str(error)) from error

    def _adopt(self, sign_in: SignIn | None, stamp: Stamp | None) -> None:
        self._sign_in, self._stamp = sign_in, stamp
        self._due_s = 0.0 if sign_in is None else sign_in.due_s()

    def _without_refresh(self, sign_in: SignIn, now_s: float) -> SignIn:
        if not sign_in.has_expired(now_s):
            return sign_in
        text = f"the access token has expired and no refresh token is stored; {_again()}"
        raise sign_in_fault("incomplete", text)

    # --- refreshing ------------------------------------------------------------------------------------

    async def _refresh(self, sign_in: SignIn, reason: str) -> SignIn:
        failure = self._failure
        if failure is not None and failure.sign_in.same_tokens(sign_in):
            overdue = sign_in.has_expired(self._clock()) or reason == "unauthorized_recovery"
            calm_s = URGENT_S if overdue else CALM_S
            if failure.permanent or time.monotonic() - failure.at_s < calm_s:
                raise failure.fault()
        if self._flight is None:
            loop = asyncio.get_running_loop()
            self._flight = loop.create_task(self._fly(sign_in, reason), name="token-refresh")
            # Also fetched when every waiter was cancelled, so that no failure goes unread.
            self._flight.add_done_callback(self._landed)
        return await asyncio.shield(self._flight)

    def _landed(self, flight: asyncio.Task[SignIn]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()

    async def _fly(self, sign_in: SignIn, reason: str) -> SignIn:
        try:
            found = await asyncio.to_thread(self.refresh_now, sign_in, reason)
        except TokenRefused as refused:
            self._failure = _explain(sign_in, refused)
            raise self._failure.fault() from refused
        except (UpstreamFault, TimeoutError, ConfigError) as error:
            self._failure = _explain_passing(sign_in, error)
            raise self._failure.fault() from error
        self._failure = None
        self._adopt(found, self.store.stamp())
        return found

    def refresh_now(self, stale: SignIn, reason: str) -> SignIn:
        """Refresh under the lock, in the calling thread; return what is stored then.

        `stale` is the snapshot that is due or was refused. When the file holds another one that works,
        that is adopted and the issuer is not asked.
        """
        with self.store.lock(self._lock_wait_s):
            # A write that a crash cut off holds the successor of the token in the file.
            stored = self.store.recover() or self.store.load()
            if stored is None:
                raise sign_in_fault(
                    "missing", f"the sign-in was removed in the meantime; run: {told('login')}"
                )
            if not stored.same_tokens(stale) and self._clock() < stored.due_s():
                return stored
            if not stored.refresh_token:
                return self._without_refresh(stored, self._clock())
            try:
                answer = asyncio.run(_await(self._ask_issuer(stored.refresh_token, reason)))
            except TokenRefused as refused:
                # Somebody who does not know our lock may have used it: their result is as good.
                again = self.store.load() if refused.permanent else None
                if again is None or again.same_tokens(stored) or again.has_expired(self._clock()):
                    raise
                return again
            self.refreshes += 1
            fresh = stored.refreshed(answer, self._clock())
            try:
                self.store.save(fresh)
            except ConfigError as error:
                # A full disk: the old token is used up, so losing this copy would lose the login.
                self._unsaved = _Unsaved(fresh, stored, str(error), time.monotonic())
            return fresh

    def _save_again(self, unsaved: _Unsaved) -> None:
        """Store what could not be stored, unless somebody signed in meanwhile; runs in a thread."""
        try:
            with self.store.lock(self._lock_wait_s):
                stored = self.store.load()
                if stored is None or stored.same_tokens(unsaved.replaces):
                    self.store.save(unsaved.sign_in)
        except (ConfigError, TimeoutError):
            return
        self._unsaved = None


async def _await(call: Awaitable[dict[str, Any]]) -> dict[str, Any]:
    return await call


def rejected() -> UpstreamFault:
    """Return the fault of a sign-in that the upstream still refuses after a refresh."""
    return sign_in_fault("rejected", f"ChatGPT refuses the stored sign-in; {_again()}")


def _explain(sign_in: SignIn, refused: TokenRefused) -> _Failure:
    advice = _again() if refused.permanent else "try again in a moment"
    message = f"the sign-in could not be refreshed: {refused.message}; {advice}"
    return _Failure(sign_in, message, refused.permanent, "refresh_failed", time.monotonic())


def _explain_passing(sign_in: SignIn, error: Exception) -> _Failure:
    now_s = time.monotonic()
    if isinstance(error, RelayError) and error.code in _LASTING:
        kind = _LASTING[error.code]
        return _Failure(sign_in, error.message, True, kind, now_s, error.local)
    # What is no RelayError comes from the disk: a lock that is held, a file that cannot be used.
    said, local = unreadable(), str(error)
    if isinstance(error, RelayError):
        said, local = error.message, error.local
    text = "the sign-in cannot be refreshed at the moment: "
    return _Failure(sign_in, text + said, False, "refresh_failed", now_s, text + local)


def _again() -> str:
    return f"sign in again: {told('login')}"


def unreadable() -> str:
    """Return the sentence on a stored sign-in that cannot be read, for clients: no file is named."""
    return f"the stored sign-in cannot be used; `{told('status')}` says why, and `{told('login')}` creates a new one"
