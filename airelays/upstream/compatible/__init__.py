"""Any OpenAI-compatible server: a company gateway, llama.cpp, Ollama, vLLM, the OpenAI API with a key.

What the server speaks is forwarded as it is (`ask`, `forward`, `upload`); what it lacks is learned from its refusals
and from then on translated from what it has. Owns: the server's key, what it lacks, its list of models.
Refuses to know: clients. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from airelays import __version__
from airelays.credentials.secretfile import read_secret
from airelays.dialects.chat_server.events import ChatEvents
from airelays.dialects.chat_server.messages import without_sealed
from airelays.dialects.chat_server.request import chat_request
from airelays.dialects.stream.promises import Watch, watch_of
from airelays.dialects.stream.server_error import is_failure
from airelays.dialects.stream.whole import is_answer
from airelays.errors import ConfigError, UpstreamFault
from airelays.guard.redact import Redactor, presented_secrets
from airelays.model import Call, Fields
from airelays.net.client import Client
from airelays.net.response import Response
from airelays.settings.values import Settings, UpstreamSettings
from airelays.upstream.base import APIS, Check, NetworkAnswer, PassedAnswer, Place, Upstream
from airelays.upstream.compatible.base_url import BetterBase, doubt
from airelays.upstream.compatible.chat_answer import ChatAnswer
from airelays.upstream.compatible.entries import model_entries
from airelays.upstream.compatible.lacking import Doubts, Lacking, scope_of
from airelays.upstream.compatible.native import Native
from airelays.upstream.compatible.optional import OptionalParameters
from airelays.upstream.compatible.recall import Recall
from airelays.upstream.compatible.refusal import Refused, explained, passed_fields
from airelays.upstream.compatible.tokenizer import Tokenizer
from airelays.upstream.compatible.whole import OFF_LOOP_BYTES, claims_json, read_answer, read_body
from airelays.upstream.encoding import encode
from airelays.upstream.hops import hop

MODELS_SECONDS = 3.0
MODELS_CALM_SECONDS = 30.0
MAX_KEY_BYTES = 8192


def make(
    settings: Settings,
    own: UpstreamSettings,
    *,
    warn: Callable[[str], None] | None,
    redactor: Callable[[], Redactor] | None,
) -> Compatible:
    """Make the upstream; see upstream.base.Maker."""
    return Compatible(own, models_ttl_s=settings.models_cache_ttl_seconds, redactor=redactor)


class Compatible(Upstream):
    """One configured server. `env` is where `api_key_env` is looked up."""

    kind = "compatible"

    def __init__(
        self,
        settings: UpstreamSettings,
        *,
        models_ttl_s: float = 300.0,
        client: Client | None = None,
        redactor: Callable[[], Redactor] | None = None,
    ) -> None:
        """`redactor` returns what takes secrets out of errors; without it the server's own are taken out."""
        self.name = settings.name
        self.settings = settings
        self._base = settings.base_url.rstrip("/")
        self.client = Client.for_settings([self._base], settings) if client is None else client
        self.lacking = Lacking()
        self.doubts = Doubts()
        self._recall = Recall()
        self._optional = OptionalParameters()
        self._better = BetterBase(self._base, self._ask_at)
        self._tokenizer = Tokenizer(self._base, self._ask_at)
        self._native = Native(self._base, self._ask_at)
        self._models: list[dict[str, Any]] | None = None
        self._models_until_s = 0.0
        self._models_ttl_s = models_ttl_s
        self._flight: asyncio.Task[list[dict[str, Any]]] | None = None
        self._problem = ""
        self.redactor = redactor or (lambda: Redactor(self.secrets()))
        # What is sent with each request, for the key it holds; and all that was a secret in it so far.
        self._own: tuple[str, Fields] | None = None
        self._known: frozenset[bytes] = frozenset()

    # ---- the interface of upstream.base

    async def respond(self, body: dict[str, Any], call: Call) -> NetworkAnswer:
        """Send one Responses request, to the server's own API or translated to chat."""
        model = str(body.get("model") or "")
        if self.speaks("responses", model):
            sent, without = without_sealed(body)
            answered = await self.ask("responses", await encode(sent), stream=True)
            if isinstance(answered, PassedAnswer):
                answered.ignored = (without,) if without else ()
                answered.watch = self.watch("responses", model, body)
                return answered
            if not self.learn("responses", model, answered):
                raise answered.fault(self.name)
        if not self.speaks("chat", model):
            raise await self._unserved(model)
        return await self._respond_by_chat(body, model, call)

    async def _respond_by_chat(self, body: dict[str, Any], model: str, call: Call) -> NetworkAnswer:
        now_s = time.monotonic()
        chat = chat_request(body, lambda call_id: self._recall.of(call_id, now_s))
        sent, left_out = self._optional.strip(chat.body, now_s)
        answered = await self.ask("chat", await encode(sent), stream=True)
        while isinstance(answered, Refused) and self._optional.learn(sent, answered, now_s):
            sent, left_out = self._optional.strip(chat.body, now_s)
            answered = await self.ask("chat", await encode(sent), stream=True)
        if not isinstance(answered, PassedAnswer):
            if self.learn("chat", model, answered):
                if self.doubts.has(model, now_s) and self.speaks("responses", model):
                    return await self.respond(body, call)
                raise await self._unserved(model)
            raise explained(answered.fault(self.name))
        ids = call.request_id.removeprefix("req_")
        events = ChatEvents(model=model, ids=ids, now_s=time.time(), tools=chat.tools)
        return ChatAnswer(answered, events, (*chat.ignored, *left_out), self._recall)

    async def tokenize(self, model: str, text: str) -> int | None:
        """Return how many tokens `text` has by the server's own tokenizer; None where it has none."""
        return await self._tokenizer.count(model, text)

    async def is_ollama(self) -> bool:
        """Whether the server is an Ollama."""
        return await self._native.is_ollama()

    async def ask(
        self, api: str, body: bytes, *, stream: bool, extra: Fields = ()
    ) -> PassedAnswer | Refused:
        """Send a request to one of the text APIs; return its 200, unread if that is a stream, or the refusal.

        A 200 with an error instead of an answer is a refusal too.
        """
        response = await self.forward("POST", APIS[api], body, extra)
        if response.status != 200:
            return await self.refusal(response)
        redactor, limit_bytes = self.redactor(), self.settings.max_answer_bytes
        answered = PassedAnswer(response, passed_fields(response.head, redactor), limit_bytes)
        if stream and not claims_json(response):
            return answered
        kind = response.head.get(b"content-type") or b""
        if kind.lower().startswith(b"text/event-stream"):
            return answered
        raw, value = await read_body(response, limit_bytes)
        if isinstance(value, dict) and is_failure(value) and not is_answer(value):
            return Refused(response.head, raw, redactor)
        answered.body, answered.value = raw, value
        return answered

    async def models(self, *, refresh: bool = False) -> list[dict[str, Any]]:
        """Return the server's models; a copy is served at once, also while the server is down.

        Raises UpstreamFault when there is no copy and the server gives none.
        """
        now_s = time.monotonic()
        if self._models is not None and not refresh and now_s < self._models_until_s:
            return self._models
        if self._flight is None:
            loop = asyncio.get_running_loop()
            self._flight = loop.create_task(self._fetch_models(), name=f"models {self.name}")
            self._flight.add_done_callback(self._landed)
        if self._models is not None and not refresh:
            return self._models
        try:
            return await asyncio.shield(self._flight)
        except UpstreamFault:
            if self._models is None:
                raise
            return self._models

    async def status(self) -> dict[str, Any]:
        """Return facts: whether there is a key where one is configured, what the server lacks."""
        try:
            self.key()
            problem = self._problem
        except UpstreamFault as fault:
            problem = fault.message
        now_s = time.monotonic()
        facts: dict[str, Any] = {
            "kind": self.kind,
            "ready": not problem,
            "base_url": self._base,
            "lacks": [*self.lacking.names(now_s), *self.doubts.names(now_s)],
            "model_count": None if self._models is None else len(self._models),
        }
        return {**facts, "problem": problem} if problem else facts

    def places(self) -> list[Place]:
        """Return the server."""
        return [Place(f"upstream {self.name}", self._base)]

    def problem(self) -> str:
        """Return what is wrong with the key, if anything is."""
        try:
            self.key()
        except UpstreamFault as fault:
            return fault.local
        return ""

    def doubt(self) -> str:
        """Return what is unusual about the base URL."""
        said = doubt(self._base)
        return f"base_url {said}" if said else ""

    async def checks(self, *, ask: bool) -> AsyncIterator[Check]:
        """Yield whether there is a key, whether the server answers, and what it lists."""
        name, base_url = f"upstream {self.name}", self._base
        try:
            models = await self.models()
        except UpstreamFault as fault:
            where = {"sign_in": "the key", "dns": "the name", "tcp": "the address", "tls": "TLS"}
            hint = where.get(fault.hop, "the server")
            yield Check(name, "fail", fault.local, (f"check {hint} of {self.name}",))
            return
        if not models:
            text = f"{base_url} answers but lists no models; use a model's name directly"
            yield Check(name, "warn", text)
            return
        count = "1 model" if len(models) == 1 else f"{len(models)} models"
        text = f"{base_url} lists {count}, {models[0]['slug']} first"
        yield Check(name, "pass", text, data={"model_count": len(models)})

    async def close(self) -> None:
        """Close idle connections."""
        if self._flight is not None:
            self._flight.cancel()
            await asyncio.wait([self._flight])
        await self.client.close()

    # ---- beyond it

    def speaks(self, api: str, model: str = "") -> bool:
        """Whether the server may have `api` for `model`; True until it was found to lack it."""
        now_s = time.monotonic()
        if self.lacking.lacks(api, model, now_s):
            return False
        # A Responses API that does not keep its promises is better than none.
        return (
            api != "responses"
            or not self.doubts.has(model, now_s)
            or self.lacking.lacks("chat", model, now_s)
        )

    def watch(self, api: str, model: str, body: dict[str, Any]) -> Watch | None:
        """Return what is looked at in a Responses answer; its format only while there is chat to go by instead."""
        if api != "responses":
            return None

        def note(what: str) -> None:
            self.doubts.note(model, what, time.monotonic())

        return watch_of(body, note, form=self.speaks("chat", model))

    @property
    def passes(self) -> bool:
        """What it does not know itself it refuses."""
        return True

    @property
    def max_answer_bytes(self) -> int:
        """As it is set."""
        return self.settings.max_answer_bytes

    def learn(self, api: str, model: str, refused: Refused) -> bool:
        """Note that the server lacks `api`, for all models or for this one, if `refused` says so."""
        return self.lacking.learn(api, model, refused, time.monotonic())

    async def _unserved(self, model: str) -> UpstreamFault:
        """Return the fault for a model that no API of the server serves; what was learned is forgotten."""
        found = self.lacking.forget(model)
        if scope_of(*found[0]) == "model":
            return found[0][1].fault(self.name)
        return await self._no_such_path([(f"POST {self._base}{APIS[a]}", r) for a, r in found])

    async def fault_of(self, method: str, path: str, refused: Refused) -> UpstreamFault:
        """Return the fault of `refused`; if the server does not know the path, it names the URL that was asked for."""
        if scope_of(path, refused) != "server":
            return refused.fault(self.name)
        return await self._no_such_path([(f"{method} {self._base}{path}", refused)])

    async def _no_such_path(self, asked: list[tuple[str, Refused]]) -> UpstreamFault:
        fault = asked[0][1].fault(self.name)
        answers = [
            f"{what} was answered with {refused.status}" + (f" ({said})" if said else "")
            for what, refused in asked
            for said in (refused.message,)
        ]
        hint = await self._better.hint()
        text = f"the upstream {self.name} does not know the address: {', '.join(answers)}{hint}"
        fault.message, fault.status, fault.should_retry = text, 502, False
        fault.code, fault.type = "upstream_not_found", "upstream_error"
        return fault

    async def _ask_at(self, url: str, body: bytes = b"") -> Any:
        """Return what a GET at `url`, or a POST of `body`, is answered with; None for anything but a 200 with JSON."""
        kind = ((b"content-type", b"application/json"),) if body else ()
        response = await self.client.request(
            method="POST" if body else "GET", url=url, fields=(*self._fields(), *kind), body=body
        )
        limit_bytes = self.settings.max_answer_bytes
        _, value = await read_answer(response, limit_bytes, self.name)
        return value if response.status == 200 else None

    async def forward(
        self, method: str, path: str, body: bytes = b"", extra: Fields = ()
    ) -> Response:
        """Send a request to `path` below the base URL. Raises UpstreamFault when no answer comes."""
        kind = ((b"content-type", b"application/json"),) if body else ()
        return await self.client.request(
            method=method,
            url=self._native.url_of(path),
            fields=(*self._fields(), *kind),
            extra=(*extra, *hop()),
            body=body,
        )

    async def upload(
        self, path: str, parts: AsyncIterator[bytes], length: int | None, content_type: bytes
    ) -> Response:
        """Send a request whose body comes in parts, with constant memory."""
        extra = ((b"content-type", content_type), *hop())
        return await self.client.upload(
            method="POST",
            url=self._base + path,
            parts=parts,
            length=length,
            fields=self._fields(),
            extra=extra,
        )

    async def refusal(self, response: Response) -> Refused:
        """Read an answer that is no success, as far as it is worth reading."""
        try:
            body = await response.read(self.settings.max_answer_bytes, within_s=10.0)
        except UpstreamFault:
            body = b""
        redactor = self.redactor()
        if len(body) > OFF_LOOP_BYTES:
            return await asyncio.to_thread(Refused, response.head, body, redactor)
        return Refused(response.head, body, redactor)

    def key(self) -> str:
        """Return the server's key, "" when none is configured. Raises UpstreamFault when it is not there."""
        settings = self.settings
        if settings.api_key_env:
            key = os.environ.get(settings.api_key_env, "").strip()
            if not key:
                raise self._no_key(f"the environment variable {settings.api_key_env} is empty")
            return key
        if settings.api_key_file:
            try:
                data = read_secret(
                    settings.api_key_file, warn=lambda _: None, max_bytes=MAX_KEY_BYTES
                )
            except ConfigError as error:
                raise self._no_key("its file cannot be used", str(error)) from error
            if not (data or b"").strip():
                raise self._no_key(
                    "its file is missing or empty",
                    f"the key file {settings.api_key_file} is missing or empty",
                )
            return (data or b"").strip().decode("utf-8", "replace")
        return ""

    def secrets(self) -> list[bytes]:
        """Return every key that was sent and the configured fields, for the redaction. Any thread may ask."""
        if self._own is None:
            with contextlib.suppress(UpstreamFault):
                self._fields()
        return list(self._known)

    def _no_key(self, why: str, local: str = "") -> UpstreamFault:
        return UpstreamFault(
            f"the key of the upstream {self.name} was not found: {why}",
            local=f"the key of the upstream {self.name} was not found: {local or why}",
            hop="sign_in",
            status=503,
            code="upstream_auth_missing",
            type="authentication_error",
            should_retry=False,
            headers={"x-airelays-upstream-auth": "missing"},
        )

    def _fields(self) -> Fields:
        key = self.key()
        if self._own is None or self._own[0] != key:
            self._own = (key, self._make_fields(key))
            configured = [value.encode() for _, value in self.settings.headers if value]
            self._known |= {key.encode(), *configured, *presented_secrets(self._own[1])} - {b""}
        return self._own[1]

    def _make_fields(self, key: str) -> Fields:
        own: list[tuple[bytes, bytes]] = [
            (b"user-agent", f"airelays/{__version__}".encode()),
            (b"accept", b"*/*"),
        ]
        if key:
            own.append((b"authorization", b"Bearer " + key.encode()))
        headers = self.settings.headers
        named = tuple((n.lower().encode("ascii"), v.encode("utf-8")) for n, v in headers)
        replaced = {name for name, _ in named}
        return (*(field for field in own if field[0] not in replaced), *named)

    async def _fetch_models(self) -> list[dict[str, Any]]:
        self._models_until_s = time.monotonic() + MODELS_CALM_SECONDS
        try:
            async with asyncio.timeout(MODELS_SECONDS):
                response = await self.forward("GET", "/models")
                if response.status != 200:
                    refused = await self.refusal(response)
                    raise await self.fault_of("GET", "/models", refused)
                limit_bytes = self.settings.max_answer_bytes
                _, listed = await read_answer(response, limit_bytes, self.name)
                found = await asyncio.to_thread(model_entries, listed)
        except TimeoutError:
            self._problem = f"gave no list of models within {MODELS_SECONDS:g} s"
            raise UpstreamFault(
                f"the upstream {self.name} {self._problem}", status=504, code="upstream_timeout"
            ) from None
        except UpstreamFault as fault:
            # At the address of a web interface there are pages.
            if fault.code == "upstream_malformed":
                fault.message += await self._better.hint(unless="")
            self._problem = fault.message
            raise
        self._problem = ""
        if found == self._models:
            found = self._models  # what was made of it stays good
        self._models = found
        self._models_until_s = time.monotonic() + self._models_ttl_s
        return found

    def _landed(self, flight: asyncio.Task[list[dict[str, Any]]]) -> None:
        self._flight = None
        if not flight.cancelled():
            flight.exception()
