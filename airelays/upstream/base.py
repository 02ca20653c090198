"""What every upstream offers: all that the app and the commands ask of one. Layer: I/O.

An upstream speaks the Responses protocol (`respond`), lists its models and says how it is. It raises
`UpstreamFault` for everything that goes wrong before the first byte of an answer, and lets `Answer.pump`
raise it for what goes wrong later. It retries nothing after a byte was fed.

A new kind subclasses `Upstream` and overrides what it has; what it does not have is refused here, truthfully.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from airelays.dialects.stream.promises import FirstText, Watch
from airelays.dialects.stream.whole import stream_of_answer
from airelays.dialects.takes import Takes
from airelays.errors import ClientFault, UpstreamFault
from airelays.guard.redact import Redactor
from airelays.model import Call, Fields
from airelays.net.response import Response
from airelays.settings.values import Settings, UpstreamSettings
from airelays.upstream.body import pump_stream

# The text APIs that a server may have itself, and their paths below its base URL.
APIS = {
    "chat": "/chat/completions",
    "responses": "/responses",
    "completions": "/completions",
    "messages": "/messages",
}


class Answer:
    """A Responses event stream that has begun with status 200 and is read by whoever pumps it.

    `fields` are header fields of the upstream that may be shown to the client (an allow-list), `ignored` the names
    of parameters that were left out, `timings_ms` how long the steps of the network took.
    """

    fields: Fields = ()
    ignored: tuple[str, ...] = ()
    # What the answer has to keep of its request, where that is not certain.
    watch: Watch | None = None

    @property
    def timings_ms(self) -> dict[str, float]:
        """Milliseconds for "dial", "tls" and "head"; nothing where there is no network."""
        return {}

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Hand each read of the body to `feed` until the body has ended; called once.

        Returns at the true end of the body. Raises UpstreamFault when it was cut, stalled or malformed.
        `feed` is called from the event loop, never concurrently; what it raises ends the pump.
        """
        raise NotImplementedError

    def offer_raw(self, take: Callable[[bytes], bool]) -> None:
        """Show `take` each read before it is unframed, where the upstream sends chunks; called before `pump`."""

    def pause(self) -> None:
        """Stop reading from the upstream; `feed` is not called until `resume` (a few more calls may come)."""

    def resume(self) -> None:
        """Read again."""

    def end_within(self, seconds: float) -> None:
        """Give the rest of the body so long, counted from now, then do as `abort`; to be called by `feed`."""

    def abort(self) -> None:
        """End the upstream request at once; a running `pump` raises UpstreamFault. Safe to call twice."""


class NetworkAnswer(Answer):
    """The answer of a server: `response` as it comes."""

    __slots__ = ("_response", "fields", "ignored")

    def __init__(
        self, response: Response, fields: Fields = (), ignored: tuple[str, ...] = ()
    ) -> None:
        self._response = response
        self.fields = fields
        self.ignored = ignored

    @property
    def timings_ms(self) -> dict[str, float]:
        """How long the steps to the head took."""
        return self._response.timings_ms

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Hand each read of the body to `feed`."""
        await self._response.pump(feed)

    def offer_raw(self, take: Callable[[bytes], bool]) -> None:
        """Show `take` each read before it is unframed."""
        self._response.offer_raw(take)

    def pause(self) -> None:
        """Stop reading."""
        self._response.pause()

    def resume(self) -> None:
        """Read again."""
        self._response.resume()

    def end_within(self, seconds: float) -> None:
        """Give the rest of the body so long."""
        self._response.end_within(seconds)

    def abort(self) -> None:
        """End the request at once."""
        self._response.abort()


class PassedAnswer(NetworkAnswer):
    """A 200 of one of the server's own text APIs, as a stream.

    `body` and `value` are set for one that is not a stream; it is read then, and `value` is a ValueError for what is
    not JSON. `usage` says whether the stream that is made of a JSON object ends with its usage.
    """

    __slots__ = ("_limit_bytes", "body", "usage", "value", "watch")

    def __init__(self, response: Response, fields: Fields, limit_bytes: int) -> None:
        super().__init__(response, fields)
        self._limit_bytes = limit_bytes
        self.body: bytes | None = None
        self.value: Any = None
        self.usage = True
        self.watch = None

    @property
    def response(self) -> Response:
        """The answer itself; its body is read if `body` is set."""
        return self._response

    async def pump(self, feed: Callable[[bytes], None]) -> None:
        """Hand each read to `feed`; a JSON object as the stream it should have been."""
        if self.watch is None or not self.watch.has_format:
            await self._pump(feed)
            return
        first = FirstText(self.watch, feed)
        await self._pump(lambda data: first.feed(data))
        first.end()

    async def _pump(self, feed: Callable[[bytes], None]) -> None:
        if self.body is None:
            limit_bytes, usage = self._limit_bytes, self.usage
            await pump_stream(self._response, feed, limit_bytes=limit_bytes, usage=usage)
        elif isinstance(self.value, dict):
            feed(stream_of_answer(self.value, include_usage=self.usage))
        else:
            feed(self.body)


class Check(NamedTuple):
    """One finding of `doctor`. `status` is pass, warn, fail or skip."""

    name: str
    status: str
    message: str
    next_steps: tuple[str, ...] = ()
    data: Mapping[str, Any] = MappingProxyType({})

    def as_json(self) -> dict[str, Any]:
        """Return it as the JSON view shows it."""
        shown: dict[str, Any] = {"name": self.name, "status": self.status, "message": self.message}
        if self.next_steps:
            shown["next_steps"] = list(self.next_steps)
        return {**shown, "data": self.data} if self.data else shown


class Refusal(Protocol):
    """An answer that is not a success, read as far as it is worth reading."""

    def fault(self, name: str) -> UpstreamFault:
        """Return what the client gets of it; `name` is the upstream's."""


class Place(NamedTuple):
    """A place that an upstream connects to: what for, and the URL."""

    purpose: str
    url: str


class Upstream(ABC):
    """One configured upstream. `redactor` returns what takes secrets out of its errors."""

    kind = ""
    # Whether only models of its catalogue are served, so that another name is a 404 before it is asked.
    knows_its_models = False
    # Which of the app's own APIs beyond text it offers: "image", "usage".
    offers: frozenset[str] = frozenset()

    name: str
    redactor: Callable[[], Redactor]

    @abstractmethod
    async def respond(self, body: dict[str, Any], call: Call) -> Answer:
        """Send one Responses request (always streamed) and return when its head said 200."""

    @abstractmethod
    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the catalogue: objects with at least `slug`; served from cache when there is one."""

    @abstractmethod
    async def status(self) -> dict[str, Any]:
        """Return facts for `/v1/relay/status`: at least `kind` and `ready`; never a secret, no network."""

    def takes(self, model: str) -> Takes:
        """Return what a Responses request for `model` may hold; without a word, everything."""
        return Takes()

    async def models_for_request(self, *, patient: bool) -> list[dict[str, Any]] | None:
        """Return the catalogue that a request's model is looked up in, None to let the upstream decide.

        Asked only where `knows_its_models`. A catalogue that is not there yet is waited for only if `patient`.
        """
        return await self.models()

    async def alive(self) -> bool:
        """Whether the server answers at all: every answer below 500 shows that, also a refusal."""
        try:
            if self.passes:
                response = await self.forward("GET", "/models")
                response.abort()
                return response.status < 500
            await self.models(refresh=True)
        except UpstreamFault as fault:
            return not self.passes and fault.status < 500
        return True

    async def warm(self) -> None:  # noqa: B027  # nothing to do is a good answer
        """Prepare what the first request would wait for; what is wrong is said by that request."""

    async def close(self) -> None:  # noqa: B027
        """Close idle connections and stop background work."""

    def secrets(self) -> list[bytes]:
        """Return what must never be written down. Any thread may ask."""
        return []

    def places(self) -> list[Place]:
        """Return every place that it may connect to."""
        return []

    def problem(self) -> str:
        """Return why requests will fail, as far as this machine knows; "" for nothing. No network."""
        return ""

    def doubt(self) -> str:
        """Return what is likely to be wrong with its settings, as the rest of a sentence; "" for nothing."""
        return ""

    def checks(self, *, ask: bool) -> AsyncIterator[Check]:
        """Yield what `doctor` finds on the way to it; with `ask` it is asked for one short answer."""
        return _nothing()

    def forget_sign_in(self) -> None:  # noqa: B027  # most have none
        """Use what is stored from now on, not what is remembered of it: it has just been changed or removed."""

    # ---- what not every upstream has

    async def image(self, operation: str, body: dict[str, Any]) -> tuple[dict[str, Any], Fields]:
        """Make ("generations") or change ("edits") one image; return the answer and its header fields."""
        raise self._not_offered("images")

    async def usage(self, *, refresh: bool = False, raw: bool = False) -> dict[str, Any]:
        """Return how much of the subscription is used."""
        raise self._not_offered("a subscription")

    async def resets(self) -> dict[str, Any]:
        """Return the resets of the subscription's windows that can be redeemed."""
        raise self._not_offered("earned resets")

    async def redeem(self, credit_id: str | None, request_id: str) -> dict[str, Any]:
        """Redeem one reset; the same `request_id` again redeems no second one."""
        raise self._not_offered("earned resets")

    def speaks(self, api: str, model: str = "") -> bool:
        """Whether it may have `api` (one of APIS) itself for `model`, to be passed through."""
        return False

    async def is_ollama(self) -> bool:
        """Whether it speaks Ollama's API, to which `forward` then sends paths that begin with /api/."""
        return False

    @property
    def passes(self) -> bool:
        """Whether requests of other APIs can be handed on as they are: `ask`, `forward`, `upload`, `learn`."""
        return False

    @property
    def max_answer_bytes(self) -> int:
        """How much of an answer that is passed through is read whole at most."""
        return 0

    async def forward(
        self, method: str, path: str, body: bytes = b"", extra: Fields = ()
    ) -> Response:
        """Send a request to `path` below the base URL. Raises UpstreamFault when no answer comes."""
        raise self._not_offered(path)

    async def upload(
        self, path: str, parts: AsyncIterator[bytes], length: int | None, content_type: bytes
    ) -> Response:
        """Send a request whose body comes in parts, with constant memory."""
        raise self._not_offered(path)

    async def tokenize(self, model: str, text: str) -> int | None:
        """Return how many tokens `text` has for `model`; None where nobody counts them."""
        return None

    async def ask(
        self, api: str, body: bytes, *, stream: bool, extra: Fields = ()
    ) -> PassedAnswer | Refusal:
        """Send a request to one of the text APIs; return its answer, unread if that is a stream, or the refusal.

        `extra` are header fields of the client that the API needs.
        A 200 with an error instead of an answer is a refusal too.
        """
        raise self._not_offered(api)

    async def refusal(self, response: Response) -> Refusal:
        """Read an answer that is not a success."""
        raise self._not_offered("separate answers")

    async def fault_of(self, method: str, path: str, refused: Any) -> UpstreamFault:
        """Return the fault of `refused`; if the server does not know the path, it names the URL that was requested."""
        raise self._not_offered("separate answers")

    def watch(self, api: str, model: str, body: dict[str, Any]) -> Watch | None:
        """Return what the answer to `body` has to keep; None where nothing of that is in doubt."""
        return None

    def learn(self, api: str, model: str, refused: Any) -> bool:
        """Note that it does not have `api`, or not for `model`, if `refused` says so; return whether it does."""
        return False

    def _not_offered(self, what: str) -> ClientFault:
        return ClientFault(
            f'an upstream of kind "{self.kind}" does not offer {what}',
            status=501,
            code="unsupported_for_upstream",
            should_retry=False,
        )


class Maker(Protocol):
    """What a line of `settings.kinds.KINDS` names. Raises ConfigError for settings that cannot work."""

    def __call__(
        self,
        settings: Settings,
        own: UpstreamSettings,
        *,
        warn: Callable[[str], None] | None,
        redactor: Callable[[], Redactor] | None,
    ) -> Upstream:
        """Make the upstream of `own`; `settings` are those of the whole relay."""


async def _nothing() -> AsyncIterator[Check]:
    return
    yield
