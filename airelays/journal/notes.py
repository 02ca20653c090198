"""What the relay notes of each request: two records for the journal, some counts for the metrics.

On the event loop, nothing is encoded, locked or waited for: a record is a tuple of existing objects. The journal's
thread turns it into lines (lines.py). Owns: when something is noted, and the name of a request's end. Layer: app.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from time import monotonic
from typing import TYPE_CHECKING, Any

from airelays.errors import ClientFault, RelayBug, RelayError, UpstreamFault
from airelays.guard.refused import Refused
from airelays.guard.sessions import session_in
from airelays.journal.lines import EVENT, INBOUND, LINES, OUTBOUND, UPSTREAM, Encoder
from airelays.journal.metrics import Metrics
from airelays.journal.retention import Policy
from airelays.journal.writer import Journal
from airelays.model import Outcome, Route
from airelays.net.request import Request
from airelays.settings.values import Settings
from airelays.upstream.base import Answer

if TYPE_CHECKING:
    from airelays.guard.redact import Redactor

# Asked by the page, while it is open: they are not in the book of usage either.
LOOKS = frozenset({"relay_feed", "relay_requests", "relay_models", "relay_windows", "relay_blocks"})
# Asked by machines every few seconds: they are counted, and written down only when they fail.
QUIET = frozenset({"health", "relay_status", "relay_metrics", "metrics", "relay_logging"}) | LOOKS
# What the network client reports if an answer ends too early; the upstream reports other failures itself.
# Why a running request of a named key was ended.
KEY_ENDS = frozenset({"key_revoked", "key_expired"})
_CUTS = frozenset({"incomplete_stream", "upstream_stalled", "upstream_malformed", "aborted"})
_PROXY_ENV = ("HTTPS_PROXY", "ALL_PROXY", "HTTP_PROXY")


class Recorder:
    """Takes notes for one relay. Every method is cheap, never waits and never raises."""

    def __init__(
        self,
        settings: Settings,
        *,
        secrets: Callable[[], list[bytes]] = list,
        complain: Callable[[str], None] = lambda _: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`secrets` returns the current secrets of the upstreams; it is called from the journal's thread."""
        self.metrics = Metrics()
        self.open_requests = 0
        self._clock = clock
        self._upstream_secrets = secrets
        self._fixed = _secrets_of(settings, os.environ)
        self._token: bytes | None = None
        self._tokens: frozenset[bytes] = frozenset()
        self.encoder = Encoder(self.secrets)
        self.journal: Journal | None = None
        if settings.log_enabled and settings.logs_dir:
            self.journal = Journal(
                settings.logs_dir, Policy.of(settings), self.encoder, clock=clock, complain=complain
            )
        self.bodies = self.journal is not None and settings.log_bodies == "redacted"
        self.stream_lines = self.journal is not None and settings.log_stream_lines

    def configure(self, settings: Settings) -> None:
        """Take over what of the log's policy the options say now; a saved one still wins."""
        self._fixed |= _secrets_of(settings, os.environ)
        if self.journal is not None and self.journal.configured != Policy.of(settings):
            self.journal.configured = Policy.of(settings)
            self.journal.policy_changed()

    def start(self) -> None:
        """Begin to write."""
        if self.journal is not None:
            self.journal.start()

    def close(self) -> None:
        """Write what is queued; a disk that hangs is given two seconds. Blocks."""
        if self.journal is not None:
            self.journal.close()

    def secrets(self) -> frozenset[bytes]:
        """Return every secret that the process knows: tokens now and before, sign-ins, keys, proxies."""
        return self._tokens | self._fixed | frozenset(self._upstream_secrets())

    def redactor(self) -> Redactor:
        """Return what removes all of these from texts of the log and of an upstream's errors."""
        return self.encoder.current()

    def know_token(self, token: bytes | None) -> None:
        """Remember the relay token for the redaction; called for each request."""
        if token is not self._token:
            self._token = token
            if token:
                self._tokens |= {token}

    # ---- requests

    def begin(self, request: Request, route: Route | None, client: str) -> None:
        """An admitted request: note what it is."""
        outcome = request.outcome
        outcome.route = "unknown" if route is None else route.name
        outcome.client = client
        outcome.session = session_in(request.head.fields)
        outcome.timings_ms["gate"] = (monotonic() - request.started_s) * 1000
        self.open_requests += 1
        if self.bodies:
            outcome.sent = bytearray()  # the inbound record waits for the request's body
        elif self.journal is not None and outcome.route not in QUIET:
            self._announce(request, None)

    def body(self, request: Request, body: bytes | bytearray) -> None:
        """Note the request body, if bodies are logged."""
        if self.bodies and not request.outcome.announced:
            self._announce(request, bytes(body))

    def calls(self, request: Request, upstream: str, body: dict[str, Any]) -> None:
        """Note what is sent upstream, if bodies are logged."""
        if self.bodies and self.journal is not None:
            weight = request.outcome.bytes_in or request.head.content_length or 0
            fields = request.head.fields
            self.journal.put((self._clock(), weight, UPSTREAM, request.id, fields, upstream, body))

    def tap(self, request: Request) -> Callable[[bytes], None] | None:
        """Return what is to be given each read of the upstream's stream, or None."""
        journal = self.journal
        if not self.stream_lines or journal is None:
            return None
        request_id, fields, clock = request.id, request.head.fields, self._clock

        def note(data: bytes) -> None:
            journal.put((clock(), len(data), LINES, request_id, fields, data))

        return note

    def finish(self, request: Request) -> None:
        """A request is over, however it ended."""
        outcome = request.outcome
        total_s = monotonic() - request.started_s
        ended = how_ended(request)
        admitted = bool(outcome.route)
        if admitted:
            self.open_requests -= 1
        if not outcome.bytes_in and request.body_done:
            outcome.bytes_in = request.head.content_length or 0
        self.metrics.note(outcome, ended, total_s)
        if self.journal is None or not admitted:
            return
        if outcome.route in QUIET and outcome.status < 400 and not outcome.announced:
            return
        if not outcome.announced:
            self._announce(request, None)
        weight = len(outcome.sent) if outcome.sent else 0
        self.journal.put(
            (
                self._clock(),
                weight,
                OUTBOUND,
                request.id,
                request.head,
                outcome.client,
                outcome,
                ended,
                total_s * 1000,
            )
        )

    def event(self, phase: str, request_id: str, **fields: Any) -> None:
        """Note anything else. `phase` and the names of `fields` are ours, never a client's."""
        if self.journal is not None:
            self.journal.put((self._clock(), 0, EVENT, phase, request_id, fields))

    def _announce(self, request: Request, body: bytes | None) -> None:
        outcome = request.outcome
        outcome.announced = True
        if self.journal is not None:
            self.journal.put(
                (
                    self._clock(),
                    len(body) if body else 0,
                    INBOUND,
                    request.id,
                    request.head,
                    outcome.client,
                    outcome.route,
                    body,
                    outcome.key,
                )
            )


class Pace:
    """Measures an upstream stream with one look at the clock a read."""

    __slots__ = ("_last_s", "first_s", "longest_gap_s", "token_s")

    def __init__(self) -> None:
        self.first_s = 0.0
        self.token_s = 0.0
        self.longest_gap_s = 0.0
        self._last_s = 0.0

    def read(self) -> None:
        """One read has come."""
        now_s = monotonic()
        last_s = self._last_s
        if not last_s:
            self.first_s = now_s
        elif now_s - last_s > self.longest_gap_s:
            self.longest_gap_s = now_s - last_s
        self._last_s = now_s

    def token(self) -> None:
        """The read that has just come brought the first text."""
        if not self.token_s:
            self.token_s = self._last_s

    def note_token(self, outcome: Outcome, started_s: float) -> None:
        """Write down when the first text came, before the end of the answer goes out."""
        if self.token_s:
            outcome.timings_ms["first_token"] = (self.token_s - started_s) * 1000

    def note(self, outcome: Outcome, started_s: float, answer: Answer) -> None:
        """Write the times down, counted from the request's head, with what `answer` knows of the network."""
        times = outcome.timings_ms
        times.update(answer.timings_ms)
        if not self._last_s:
            return
        times["first_byte"] = (self.first_s - started_s) * 1000
        self.note_token(outcome, started_s)
        times["longest_gap"] = self.longest_gap_s * 1000


def how_ended(request: Request, *, ending: bool = False) -> str:
    """Return one word for the end of a request; `airelays docs logs` lists them.

    `ending` means that the last bytes of its answer are about to go out.
    """
    error: RelayError | None = request.outcome.error
    if not ending and not request.finished and (error is None or not request.head_sent):
        return "client_left"
    if error is None:
        return "ok"
    if error is request.interrupted:
        return "key_ended" if request.interrupted.code in KEY_ENDS else "shut_down"
    if isinstance(error, UpstreamFault):
        return "cut_by_upstream" if error.code in _CUTS else "failed_upstream"
    if isinstance(error, Refused):
        return "refused"
    if isinstance(error, RelayBug):
        return "relay_bug"
    return "bad_request" if isinstance(error, ClientFault) else "failed"


def _secrets_of(settings: Settings, env: Mapping[str, str]) -> frozenset[bytes]:
    """Return the secrets in options and environment: keys, header values, proxy passwords."""
    found: list[str] = []
    proxies = [settings.proxy, *(u.proxy for u in settings.upstreams)]
    for name in _PROXY_ENV:
        proxies += [env.get(name, ""), env.get(name.lower(), "")]
    for proxy in proxies:
        pair = proxy.rpartition("@")[0].rpartition("://")[2]
        found += [pair, pair.partition(":")[2]]
        if "%" in pair:
            from urllib.parse import unquote

            found += [unquote(pair), unquote(pair.partition(":")[2])]
    for upstream in (settings.main_upstream, *settings.upstreams):
        found += [env.get(upstream.api_key_env, "") if upstream.api_key_env else ""]
        found += [value for _, value in upstream.headers if len(value) >= 16]
    return frozenset(os.fsencode(text) for text in found if text)
