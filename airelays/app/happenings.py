"""What is happening in the relay, for those who are watching: the terminal and the page.

One value for a request that ended, a refusal, an upstream's trouble, a change of the sign-in, a block, a notice. It
holds no secret, and a line and a page are made of the same fields. Refuses to know: who watches, clocks, queues.
Layer: app.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from airelays.errors import RelayError, UpstreamFault
from airelays.guard.redact import REDACTED, presented_secrets
from airelays.guard.refused import Refused
from airelays.journal.book import program_in
from airelays.journal.notes import QUIET, how_ended
from airelays.model import Fields
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

REQUEST, REFUSED, UPSTREAM, SIGN_IN = "request", "refused", "upstream", "sign_in"
BLOCK, NOTICE = "block", "notice"
# There is one of these per request, so they are created only if a watcher asked for them.
_FREQUENT = frozenset((REQUEST, REFUSED))


class Happening(NamedTuple):
    """One thing that happened. Texts are redacted and bounded, and may hold control characters.

    `kind` is one of the six above. `state` is the word for what happened: of a request how it ended ("ok",
    "client_left", ..., as in the log), of a refusal its reason, of an upstream "skipped", "back" or "fallback", of the
    sign-in "signed_in", "signed_out" or "failing", of a block "blocked" or "lifted". `text` is a sentence for people,
    "" where the other fields say everything. `id` is the request's, which `airelays explain` finds. `code` is that of
    the error, `fault` whose it was: "client", "upstream" or "relay". Times are None when unknown.
    """

    kind: str
    at_s: float
    state: str = ""
    text: str = ""
    id: str = ""
    client: str = ""
    method: str = ""
    path: str = ""
    route: str = ""
    program: str = ""
    key: str = ""
    session: str = ""
    model: str = ""
    upstream: str = ""
    status: int = 0
    fault: str = ""
    code: str = ""
    first_ms: float | None = None
    took_ms: float | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    cached_tokens: int | None = None
    reasoning_tokens: int | None = None
    seconds: float | None = None

    @property
    def failed(self) -> bool:
        """Whether a request was refused or did not end well; one whose client left is not a failure."""
        return self.kind == REFUSED or (
            self.kind == REQUEST and (self.state not in _WELL or self.status >= 400)
        )

    def facts(self) -> dict[str, Any]:
        """Return what is known as JSON data: times in ms rounded, nothing that is empty."""
        found = {name: value for name, value in self._asdict().items() if value not in ("", None)}
        if not self.status:
            del found["status"]
        if self.at_s != self.at_s:  # not a number: a record without its time
            del found["at_s"]
        for name in ("at_s", "first_ms", "took_ms"):
            if name in found:
                found[name] = round(found[name], 3)
        return found


_WELL = frozenset(("ok", "client_left"))
Watcher = Callable[[Happening], None]


class _Entry:
    """A watcher and what it asked for; compared by identity, because the same one can watch twice."""

    __slots__ = ("good", "requests", "watcher")

    def __init__(self, watcher: Watcher, requests: bool, good: bool) -> None:
        self.watcher, self.requests, self.good = watcher, requests, good


class Happenings:
    """Passes on what happens to those who watch. Used by the event loop.

    Check `wanted` before creating a happening for a request, and `wants_good` before creating one for a request that
    did not fail.
    """

    __slots__ = ("_entries", "wanted", "wants_good")

    def __init__(self) -> None:
        self.wanted = self.wants_good = False
        self._entries: tuple[_Entry, ...] = ()

    def watch(
        self, watcher: Watcher, *, requests: bool = True, good: bool = True
    ) -> Callable[[], None]:
        """Call `watcher` for all that happens from now on; return what ends that, which may be called twice.

        It must neither wait nor raise. Without `requests` it is not called for requests and refusals, without `good`
        it need not be called for requests that did not fail.
        """
        entry = _Entry(watcher, requests, requests and good)
        self._set((*self._entries, entry))
        return lambda: self._set(tuple(one for one in self._entries if one is not entry))

    def _set(self, entries: tuple[_Entry, ...]) -> None:
        self._entries = entries
        self.wanted = any(one.requests for one in entries)
        self.wants_good = any(one.good for one in entries)

    def tell(self, happening: Happening) -> None:
        """Pass `happening` on, in the order in which the watchers came."""
        frequent = happening.kind in _FREQUENT
        for entry in self._entries:
            if entry.requests or not frequent:
                entry.watcher(happening)


def of_ended(request: Request, redactor: Redactor, wall_s: float, now_s: float) -> Happening | None:
    """Return the happening of a request that has ended; None for one that is not of interest.

    Those are preflights, requests whose client left before the gate let them in, and successful requests for the
    health or the status. `now_s` is on the clock of `request.started_s`.
    """
    outcome, error = request.outcome, request.outcome.error
    refused = isinstance(error, Refused) and not outcome.route
    if not refused and (not outcome.route or (outcome.route in QUIET and outcome.status < 400)):
        return None
    usage, first_ms = outcome.usage, outcome.timings_ms.get("first_token")
    return _of_request(request, error, redactor, wall_s)._replace(
        kind=REFUSED if refused else REQUEST,
        state=outcome.reason if refused else how_ended(request),
        route=outcome.route,
        first_ms=first_ms,
        took_ms=(now_s - request.started_s) * 1000,
        input_tokens=None if usage is None else usage.input_tokens,
        output_tokens=None if usage is None else usage.output_tokens,
        cached_tokens=None if usage is None else usage.cached_tokens,
        reasoning_tokens=None if usage is None else usage.reasoning_tokens,
    )


def of_no_request(
    request: Request, error: RelayError, reason: str, redactor: Redactor, wall_s: float
) -> Happening:
    """Return the happening of bytes that are not a request, or of a wrong secret at the control listener."""
    found = _of_request(request, error, redactor, wall_s)
    return found._replace(kind=REFUSED, state=reason, status=error.status)


def _of_request(
    request: Request, error: RelayError | None, redactor: Redactor, wall_s: float
) -> Happening:
    outcome, head = request.outcome, request.head
    own = _presented(head.fields)
    return Happening(
        REQUEST,
        wall_s,
        text="" if error is None else _shown(error.local, redactor, own),
        id=request.id,
        client=outcome.client or request.peer.host,
        method=_shown(head.method, redactor, own),
        path=_shown(head.path, redactor, own),
        program=_shown(program_in(head.fields), redactor, own),
        key=outcome.key or (error.key if isinstance(error, Refused) else ""),
        session=outcome.session,
        model=_shown(outcome.model, redactor, own) if outcome.model else "",
        upstream=outcome.upstream,
        status=outcome.status,
        fault="" if error is None else _whose(error),
        code="" if error is None else _shown(error.code or "", redactor, own),
    )


def _whose(error: RelayError) -> str:
    if isinstance(error, UpstreamFault):
        return "upstream"
    return "client" if 400 <= error.status < 500 else "relay"


def _shown(text: str, redactor: Redactor, own: tuple[str, ...]) -> str:
    """Return `text` without what the relay knows as a secret and without what this request presented as one."""
    shown = redactor.short(text)
    for secret in own:
        if secret in shown:
            shown = shown.replace(secret, REDACTED)
    return shown


@lru_cache(maxsize=64)
def _presented(fields: Fields) -> tuple[str, ...]:
    return tuple(part.decode("latin-1") for part in presented_secrets(fields))
