"""Tells of what happens in the relay: the operator in sentences, those who watch in happenings.

Owns: when something is told, and once for a sign-in that many requests fail for. Refuses to know: terminals, pages.
Layer: app.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from airelays.app.happenings import (
    BLOCK,
    NOTICE,
    SIGN_IN,
    UPSTREAM,
    Happening,
    Happenings,
    of_ended,
    of_no_request,
)
from airelays.errors import RelayError, UpstreamFault
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor


class Teller:
    """Tells for one relay. Used by the event loop, but for `complain`."""

    def __init__(
        self,
        say: Callable[[str], None],
        happenings: Happenings,
        *,
        redactor: Callable[[], Redactor],
    ) -> None:
        """`say` gets a sentence, from any thread."""
        self.happenings = happenings
        self._say = say
        self._redactor = redactor
        self._sign_in_problem = ""
        self._thread = threading.get_ident()
        self._loop: asyncio.AbstractEventLoop | None = None

    def start(self) -> None:
        """Take complaints of other threads to the loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def complain(self, text: str) -> None:
        """Say a sentence to the operator and to those who watch. Any thread may call it."""
        self._say(text)
        notice, loop = Happening(NOTICE, time.time(), text=text), self._loop
        if threading.get_ident() == self._thread:
            self.happenings.tell(notice)
        elif loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop is closed
                loop.call_soon_threadsafe(self.happenings.tell, notice)

    def stopping(self, running: int) -> None:
        """The relay begins to stop, while `running` requests are not answered yet."""
        count = "1 request is" if running == 1 else f"{running:,} requests are"
        text = "the relay is stopping" + (f"; {count} still running" if running else "")
        self.happenings.tell(Happening(NOTICE, time.time(), "stopping", text))

    def ended(self, request: Request) -> None:
        """A request is over: once per trouble, say that the sign-in is what requests fail for."""
        hub = self.happenings
        if hub.wanted and (hub.wants_good or request.outcome.error is not None):
            found = of_ended(request, self._redactor(), time.time(), time.monotonic())
            if found is not None:
                self.happenings.tell(found)
        outcome, error = request.outcome, request.outcome.error
        if isinstance(error, UpstreamFault) and error.hop == "sign_in":
            code, before = error.code or "", self._sign_in_problem
            self._sign_in_problem = code
            if code != before:
                text = self._redactor().text(f"requests fail: {error.local}")
                self._say(text)
                self.sign_in_changed(outcome.upstream, "failing", text, code)
        elif self._sign_in_problem and outcome.usage is not None:
            self._sign_in_problem = ""
            self.sign_in_changed(outcome.upstream, "signed_in", "the sign-in works again")

    def not_a_request(self, request: Request, error: RelayError, reason: str) -> None:
        """Bytes that are not a request, or a request at the control listener, were refused."""
        if self.happenings.wanted:
            found = of_no_request(request, error, reason, self._redactor(), time.time())
            self.happenings.tell(found)

    def block(
        self, state: str, client: str, request_id: str = "", seconds: float | None = None
    ) -> None:
        """An address is "blocked" for `seconds`, or its block "lifted"; of all of them for client ""."""
        self.happenings.tell(
            Happening(BLOCK, time.time(), state, id=request_id, client=client, seconds=seconds)
        )

    def sign_in_changed(self, upstream: str, state: str, text: str = "", code: str = "") -> None:
        """Somebody signed in or out, or requests begin to fail for the sign-in, or fail no more."""
        found = Happening(SIGN_IN, time.time(), state, text, upstream=upstream, code=code)
        self.happenings.tell(found)

    def upstream_changed(self, name: str, state: str, text: str, seconds: float | None) -> None:
        """An upstream is "skipped" for `seconds`, or "back"."""
        text = self._redactor().text(text)
        self._say(text)
        self.happenings.tell(
            Happening(UPSTREAM, time.time(), state, text, upstream=name, seconds=seconds)
        )
