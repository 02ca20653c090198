"""A ChatGPT backend and its issuer on one port, as strict as the real ones, with every fault as a switch.

In a test: `async with FakeBackend() as backend` or, from synchronous code, `with FakeBackend() as backend`;
then `backend.base_url` and `backend.issuer_url` go into the settings and `backend.auth_json()` into auth.json.
As a process: `python -m tests.fakes.backend --port N [--write-auth DIR] [--play plan] [--lenient]`; `POST /_control`
with a JSON object sets switches, `GET /_requests` shows what came.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import ssl
from collections import deque
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qs

from tests.fakes.checks import problem_with
from tests.fakes.events import T0, Stream
from tests.fakes.http import Cut, FakeServer, Hang, Reply, Seen, json_reply
from tests.fakes.issuer import IssuerState
from tests.fakes.planned import plan_of, planned_frames, planned_refusal

SAMPLES = Path(__file__).resolve().parent.parent / "samples"
PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
LIMITS = {
    "x-codex-plan-type": "plus",
    "x-codex-active-limit": "codex",
    "x-codex-primary-used-percent": "12",
    "x-codex-primary-window-minutes": "300",
    "x-codex-primary-reset-at": "1790003600",
    "x-codex-secondary-used-percent": "30",
    "x-codex-secondary-window-minutes": "10080",
    "x-codex-secondary-reset-at": "1790090000",
}


class FakeBackend(FakeServer):
    """Switches, all plain attributes:

    play             "" echoes the last user text; the name of a sample ("03_function_call") plays that;
                     bytes are sent as they are; "plan" follows the request as the demo upstream does
    strict           False switches the body checks off
    models           slugs offered; max_output_tokens: "accept" or "reject"
    replies          queue of Reply objects used up by the next /responses calls instead of an answer
    first_byte_s, event_s   delays; split_bytes: size of the pieces written (0: one event each)
    cut_after_events / cut_after_bytes, hang_after_events   break or stall there (None: not)
    content_type     of the stream; "" (as the live backend) sends none
    empty_output, obfuscation, last_blank_line   quirks of the stream
    failed           {"code":..., "message":...}: the stream ends in response.failed after one delta
    error_event      the same as an "error" event
    headers          extra fields on /responses, e.g. LIMITS or x-codex-turn-state
    etag, models_status, usage_status, models_delay_s   of the two GETs
    websocket_status answer to an upgrade; redirect: 307 to elsewhere; gzip: compressed stream
    """

    def __init__(self, *, tls: ssl.SSLContext | None = None, port: int = 0) -> None:
        super().__init__(tls=tls, port=port)
        self.issuer = IssuerState()
        self.issuer.wait_for = self.wait_for
        self.play: str | bytes = ""
        self.strict = True
        self.models = {"gpt-5.5", "gpt-6-sol", "synth-classic", "synth-lite"}
        self.max_output_tokens = "accept"
        self.replies: deque[Reply] = deque()
        self.first_byte_s = self.event_s = 0.0
        self.split_bytes = 0
        self.cut_after_events: int | None = None
        self.cut_after_bytes: int | None = None
        self.hang_after_events: int | None = None
        self.content_type = ""
        self.empty_output = self.obfuscation = True
        self.last_blank_line = True
        self.failed: dict[str, Any] | None = None
        self.error_event: dict[str, Any] | None = None
        self.headers: dict[str, str] = dict(LIMITS)
        self.etag = '"models-1"'
        self.models_status = self.usage_status = 200
        self.models_delay_s = 0.0
        self.websocket_status = 426
        self.redirect = self.gzip = False
        self.resets: list[str] = []
        self.redeemed: list[str] = []

    async def __aenter__(self) -> Self:
        await super().__aenter__()
        self.base_url = f"{self.url}/backend-api/codex"
        self.issuer_url = self.issuer.url = self.url
        return self

    def sign_in(self, data: Path) -> dict[str, str]:
        """Put a sign-in for this backend into the new data folder; return the variables of a relay that uses both."""
        data.mkdir(mode=0o700)
        path = data / "auth.json"
        path.write_bytes(self.auth_json())
        path.chmod(0o600)
        return {
            "AIRELAYS_UPSTREAM_BASE_URL": self.base_url,
            "AIRELAYS_ISSUER_BASE_URL": self.issuer_url,
            "AIRELAYS_DATA_DIR": str(data),
        }

    def auth_json(self, **changes: Any) -> bytes:
        """Return the content of an auth.json that this backend accepts."""
        return json.dumps(self.issuer.auth_json(**changes)).encode()

    def calls(self, ending: str) -> list[Seen]:
        """Return the requests whose path ends so."""
        return [seen for seen in self.requests if seen.path.endswith(ending)]

    # --- routes --------------------------------------------------------------------------------------------

    async def handle(self, seen: Seen) -> Reply:
        if seen.path.startswith("/_"):
            return self._control(seen)
        answer = await self.issuer.handle(seen)
        if answer is not None:
            return answer
        if not seen.path.startswith("/backend-api/"):
            return json_reply({"detail": "Not Found"}, 404)
        if self.redirect:
            return Reply(307, b"", {"location": "https://elsewhere.invalid/"})
        refusal = self._check_caller(seen)
        if refusal is not None:
            return refusal
        route = f"{seen.method} {seen.path.removeprefix('/backend-api')}"
        handler = {
            "POST /codex/responses": self._responses,
            "GET /codex/responses": self._upgrade,
            "GET /codex/models": self._models,
            "POST /codex/images/generations": self._image,
            "POST /codex/images/edits": self._image,
            "GET /wham/usage": self._usage,
            "GET /wham/rate-limit-reset-credits": self._resets,
            "POST /wham/rate-limit-reset-credits/consume": self._redeem,
            "GET /wham/accounts/check": self._accounts,
        }.get(route)
        return json_reply({"detail": "Not Found"}, 404) if handler is None else await handler(seen)

    def _check_caller(self, seen: Seen) -> Reply | None:
        scheme, _, token = (seen.get("authorization") or "").partition(" ")
        if scheme != "Bearer" or token not in self.issuer.valid_access:
            error = {
                "message": "Fake: token is expired.",
                "type": "invalid_request_error",
                "param": None,
            }
            body = {"error": {**error, "code": "token_expired"}, "status": 401}
            return json_reply(body, 401, x_openai_authorization_error="token_expired")
        if seen.get("chatgpt-account-id") != self.issuer.account_id:
            return json_reply({"detail": "Workspace not found"}, 403)
        return None

    async def _responses(self, seen: Seen) -> Reply:
        if self.replies:
            return self.replies.popleft()
        if not (seen.get("content-type") or "").startswith("application/json"):
            return json_reply({"detail": "Unsupported Media Type"}, 415)
        if seen.get("content-encoding") not in (None, "zstd"):
            return json_reply({"detail": "Unsupported content encoding"}, 415)
        body = seen.json
        if self.strict:
            problem = problem_with(
                body, models=self.models, max_output_tokens=self.max_output_tokens
            )
            if problem is not None:
                return json_reply(*problem)
        plan = plan_of(body) if self.play == "plan" else None
        if plan is not None and (refusal := planned_refusal(plan)) is not None:
            return refusal
        if self.first_byte_s:
            await asyncio.sleep(self.first_byte_s)
        headers = {
            "x-request-id": f"upstream-{len(self.requests)}",
            "x-models-etag": self.etag,
            **self.headers,
        }
        if self.content_type:
            headers["content-type"] = self.content_type
        if plan is not None:
            frames = planned_frames(
                plan,
                body,
                f"resp_plan{len(self.requests)}",
                empty_output=self.empty_output,
                obfuscation=self.obfuscation,
            )
            pace_s = (plan.switches.get("pace") or 0) / 1000
            return Reply(200, self._pieces(frames, pace_s), headers)
        frames = self._frames(body)
        if self.gzip:
            import gzip

            return Reply(
                200, gzip.compress(b"".join(frames)), {**headers, "content-encoding": "gzip"}
            )
        return Reply(200, self._pieces(frames), headers)

    def _frames(self, body: dict[str, Any]) -> list[bytes]:
        if isinstance(self.play, bytes):
            return [self.play]
        if self.play:
            data = (SAMPLES / f"{self.play}.sse").read_bytes()
            return [frame + b"\n\n" for frame in data.split(b"\n\n") if frame]
        stream = Stream(str(body.get("model")), empty_output=self.empty_output)
        if self.failed or self.error_event:
            stream.text("partial")
            del stream.events[-3:]
            if self.failed:
                stream.add("response.failed", response=stream.response("failed", error=self.failed))
            else:
                stream.add("error", **(self.error_event or {}))
        else:
            stream.text(f"echo: {last_text(body)}", obfuscation=self.obfuscation)
            stream.end()
        frames = stream.frames()
        if not self.last_blank_line:
            frames[-1] = frames[-1].removesuffix(b"\n\n")
        return frames

    async def _pieces(self, frames: list[bytes], pace_s: float = 0.0) -> AsyncIterator[bytes]:
        if self.split_bytes:
            data = b"".join(frames)
            frames = [
                data[at : at + self.split_bytes] for at in range(0, len(data), self.split_bytes)
            ]
        left = self.cut_after_bytes
        for n, frame in enumerate(frames):
            if n == self.cut_after_events:
                raise Cut
            if n == self.hang_after_events:
                raise Hang
            if left is not None:
                if left <= len(frame):
                    yield frame[:left]
                    raise Cut
                left -= len(frame)
            yield frame
            if self.event_s or pace_s:
                await asyncio.sleep(self.event_s or pace_s)

    async def _upgrade(self, seen: Seen) -> Reply:
        return json_reply({"detail": "Upgrade Required"}, self.websocket_status)

    async def _models(self, seen: Seen) -> Reply:
        if self.models_delay_s:
            await asyncio.sleep(self.models_delay_s)
        if self.models_status != 200:
            return json_reply({"detail": "models are broken"}, self.models_status)
        version = parse_qs(seen.query).get("client_version", [""])[0]
        if [part.isdigit() for part in version.split(".")] != [True] * 3:
            return json_reply({"detail": "client_version is required"}, 400)
        if seen.get("if-none-match") == self.etag:
            return Reply(304, b"", {"etag": self.etag})
        sample = json.loads((SAMPLES / "50_models.json").read_bytes())["models"][0]
        models = [
            {**sample, "slug": slug, "display_name": slug.upper()} for slug in sorted(self.models)
        ]
        return json_reply({"models": models}, 200, etag=self.etag)

    async def _usage(self, seen: Seen) -> Reply:
        if self.usage_status != 200:
            return json_reply({"detail": "usage is broken"}, self.usage_status)
        return Reply(
            200, (SAMPLES / "52_wham_usage.json").read_bytes(), {"content-type": "application/json"}
        )

    async def _resets(self, seen: Seen) -> Reply:
        credits_ = [
            {"id": name, "reset_type": "weekly", "status": "available", "expires_at": 4e9}
            for name in self.resets
        ]
        return json_reply({"credits": credits_, "available_count": len(credits_)}, 200)

    async def _redeem(self, seen: Seen) -> Reply:
        asked = seen.json["redeem_request_id"]
        if asked in self.redeemed:
            return json_reply({"outcome": "already_redeemed"}, 200)
        credit = seen.json.get("credit_id") or next(iter(self.resets), None)
        if credit not in self.resets:
            return json_reply({"outcome": "no_credit"}, 200)
        self.resets.remove(credit)
        self.redeemed.append(asked)
        return json_reply({"outcome": "reset", "credit_id": credit, "windows_reset": 2}, 200)

    async def _accounts(self, seen: Seen) -> Reply:
        data = (SAMPLES / "51_wham_accounts_check.json").read_bytes()
        return Reply(200, data, {"content-type": "application/json"})

    async def _image(self, seen: Seen) -> Reply:
        if self.replies:
            return self.replies.popleft()
        body = seen.json
        headers = {key.replace("-", "_"): value for key, value in LIMITS.items()}
        headers["x_codex_active_limit"] = "imagegen_premium"
        if not body.get("prompt"):
            return json_reply({"detail": "prompt is required"}, 400, **headers)
        answer = {
            "created": T0,
            "data": [{"b64_json": PNG}],
            "background": "opaque",
            "output_format": "png",
            "quality": body.get("quality") or "high",
            "size": body.get("size") or "1024x1024",
            "usage": {"input_tokens": 5, "output_tokens": 7, "total_tokens": 12},
        }
        return json_reply(answer, 200, **headers)

    # --- as a process --------------------------------------------------------------------------------------

    def _control(self, seen: Seen) -> Reply:
        if seen.path == "/_requests":
            shown = [
                {
                    "method": s.method,
                    "path": s.path,
                    "query": s.query,
                    "headers": s.headers,
                    "body": s.body.decode(),
                }
                for s in self.requests
                if not s.path.startswith("/_")
            ]
            return json_reply(shown)
        if seen.path == "/_control":
            for name, value in seen.json.items():
                place, _, switch = name.rpartition(".")
                owner = self.issuer if place == "issuer" else self
                if not hasattr(owner, switch):
                    return json_reply({"error": f"no switch {name}"}, 400)
                if switch == "replies":
                    value = deque(
                        Reply(r["status"], r["body"].encode(), r.get("headers", {})) for r in value
                    )
                setattr(owner, switch, set(value) if switch == "models" else value)
            return json_reply({"ok": True})
        if seen.path == "/_auth":
            return Reply(200, self.auth_json(), {"content-type": "application/json"})
        return json_reply({"error": "unknown"}, 404)


def last_text(body: dict[str, Any]) -> str:
    """Return the text of the last user message."""
    for item in reversed(body.get("input") or []):
        content = item.get("content")
        if item.get("role") == "user" and content:
            parts = [{"text": content}] if isinstance(content, str) else content
            return "".join(part.get("text", "") for part in parts)
    return ""


def main() -> None:
    """Serve until interrupted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument(
        "--write-auth", metavar="DIR", help="put an auth.json for this backend there"
    )
    parser.add_argument("--play", default="", help='a sample, or "plan" to follow the requests')
    parser.add_argument("--lenient", action="store_true", help="take any body")
    options = parser.parse_args()

    async def serve() -> None:
        async with FakeBackend(port=options.port) as backend:
            backend.play, backend.strict = options.play, not options.lenient
            if options.lenient:
                backend.empty_output = backend.obfuscation = False
            if options.write_auth:
                path = Path(options.write_auth) / "auth.json"
                path.write_bytes(backend.auth_json())
                path.chmod(0o600)
            line = {
                "base_url": backend.base_url,
                "issuer_url": backend.issuer_url,
                "port": backend.port,
            }
            print(json.dumps(line), flush=True)
            await asyncio.Event().wait()

    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve())


if __name__ == "__main__":
    main()
