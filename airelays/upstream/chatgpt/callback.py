"""The page that the browser comes back to: one listener on loopback, one path, one use (RFC 8252 7.3, 8.3).

Listens on 127.0.0.1 and ::1, since "localhost" may mean either. Only GET, only the expected Host and path; a
state that is not ours ends nothing, so that a page which guesses cannot end the sign-in.
Owns: that listener. Refuses to know: what a code is exchanged for. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hmac
import socket
from collections.abc import Sequence
from urllib.parse import parse_qs

from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.protocol.http1 import (
    ProtocolFault,
    check_partial_head,
    encode_response_head,
    parse_request_head,
)
from airelays.upstream.chatgpt.oauth import CALLBACK_PATH, TokenRefused

# Both are registered with the client id.
PORTS = (1455, 1457)
HEAD_S = 10.0
MAX_QUERY_CHARS = 8192
# One issuer page appends this to the state that it was given.
_SUFFIX = ".onboarding_entrypoint=life_sciences"
_PAGE = (
    '<!doctype html><html lang="en"><meta charset="utf-8"><title>AIRelays</title>'
    "<style>body{font:1.1em system-ui;margin:4em auto;max-width:34em;padding:0 1em}</style>"
    "<h1>%s</h1><p>%s</p></html>\n"
)
_STYLE_CSP = (
    b"default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'"
)
_ARRIVED = (
    "Answer received",
    "You can close this page. The terminal says whether you are signed in.",
)
_DENIED = (
    "Not signed in",
    "The sign-in was not granted. You can close this page; the terminal says more.",
)
_REFUSED = (
    "Nothing to see here",
    "This address is only for one sign-in, and this was a different request.",
)


class CallbackServer:
    """Wait for the one redirect that carries `state`. `start`, then `code`, then `close`."""

    def __init__(self, state: str, issuer: str, ports: Sequence[int] = PORTS) -> None:
        self._state = state
        self._issuer = issuer
        self._ports = ports
        self._servers: list[asyncio.Server] = []
        self._code: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.port = 0

    async def start(self) -> int:
        """Listen on the first port that is free on both loopback addresses, and return it.

        Raises ConfigError when none is.
        """
        for port in self._ports:
            sockets = _bind_both(port)
            if sockets:
                self.port = sockets[0].getsockname()[1]
                for sock in sockets:
                    self._servers.append(await asyncio.start_server(self._serve, sock=sock))
                return self.port
        tried = " and ".join(str(port) for port in self._ports)
        raise ConfigError(
            f"the sign-in needs port {tried} on this machine, and none is free; end the other sign-in that"
            f" uses it, or run: {hint('login --device')}"
        )

    async def code(self) -> str:
        """Return the authorization code. Raises TokenRefused when the user or the issuer said no."""
        return await self._code

    async def close(self) -> None:
        """Stop listening."""
        for server in self._servers:
            server.close()
        if not self._code.done():
            self._code.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(HEAD_S):
                raw = await _read_head(reader)
                status, text = self._answer(raw)
                writer.write(_page(status, text))
                await writer.drain()
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    def _answer(self, raw: bytes) -> tuple[int, tuple[str, str]]:
        try:
            head = parse_request_head(raw)
        except ProtocolFault as fault:
            return fault.status, _REFUSED
        if head.authority.lower() not in (
            f"{h}:{self.port}" for h in ("localhost", "127.0.0.1", "[::1]")
        ):
            return 421, _REFUSED
        if head.path != CALLBACK_PATH:
            return 404, _REFUSED
        if head.method != "GET":
            return 405, _REFUSED
        try:
            self._code.set_result(read_answer(head.query, self._state, self._issuer))
        except asyncio.InvalidStateError:
            # Used once: whoever comes second, with the right state or not, gets nothing.
            return 400, _REFUSED
        except ConfigError:
            return 400, _REFUSED
        except TokenRefused as refused:
            if not self._code.done():
                self._code.set_exception(refused)
            return 200, _DENIED
        return 200, _ARRIVED


def code_from_url(url: str, state: str, issuer: str) -> str:
    """Return the code in a redirect URL that the user pasted. Raises ConfigError or TokenRefused."""
    _, mark, query = url.strip().partition("?")
    if not mark:
        raise ConfigError(
            "that is not the address of the page after the sign-in, which starts with http://localhost and contains a ?"
        )
    return read_answer(query.partition("#")[0], state, issuer)


def read_answer(query: str, state: str, issuer: str) -> str:
    """Return the authorization code in a redirect's query.

    Raises ConfigError when it does not belong to this attempt, TokenRefused when it is the issuer's no.
    """
    try:
        found = parse_qs(query[:MAX_QUERY_CHARS], keep_blank_values=True, max_num_fields=32)
    except ValueError:
        found = {}
    if any(len(values) > 1 for values in found.values()):
        raise ConfigError("the address contains a parameter twice; copy it unchanged")
    given = found.get("state", [""])[0].removesuffix(_SUFFIX)
    if not hmac.compare_digest(given.encode("utf-8", "replace"), state.encode()):
        raise ConfigError(
            "the address belongs to another sign-in attempt; use the one that was opened last"
        )
    if found.get("iss", [issuer])[0].rstrip("/") != issuer:
        raise ConfigError("the address comes from another issuer than upstream.issuer_base_url")
    if "error" in found:
        raise TokenRefused(_denial(found), status=0, code=found["error"][0][:64])
    code = found.get("code", [""])[0]
    if not code:
        raise TokenRefused("the issuer sent no authorization code; try again", status=0)
    return code


def _denial(found: dict[str, list[str]]) -> str:
    code, description = found["error"][0], found.get("error_description", [""])[0]
    if code == "access_denied" and "missing_codex_entitlement" in description:
        return "this account or workspace is not allowed to use Codex; ask its administrator, or choose another one"
    if code == "access_denied":
        return "the sign-in was declined in the browser"
    shown = "".join(c for c in code[:64] if c.isascii() and (c.isalnum() or c in "_-."))
    return f"the issuer refused the sign-in ({shown})"


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Return one request head, or what there was of one that is too long or cut."""
    raw = b""
    while b"\r\n\r\n" not in raw:
        data = await reader.read(4096)
        if not data:
            break
        raw += data
        try:
            check_partial_head(raw)
        except ProtocolFault:
            break
    return raw.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"


def _page(status: int, text: tuple[str, str]) -> bytes:
    body = (_PAGE % text).encode()
    fields = [
        (b"content-type", b"text/html; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
        (b"referrer-policy", b"no-referrer"),
        (b"x-content-type-options", b"nosniff"),
        (b"content-security-policy", _STYLE_CSP),
        (b"connection", b"close"),
    ]
    if status == 405:
        fields.append((b"allow", b"GET"))
    return encode_response_head(status, fields) + body


def _bind_both(port: int) -> list[socket.socket]:
    """Return sockets on 127.0.0.1 and ::1, or none when either is somebody else's.

    One of the two is enough where the machine has no other. `port` 0 takes a free one.
    """
    made: list[socket.socket] = []
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        try:
            sock = socket.socket(family, socket.SOCK_STREAM)
        except OSError:
            continue
        try:
            if hasattr(socket, "SO_EXCLUSIVEADDRUSE"):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
            else:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((host, port or (made[0].getsockname()[1] if made else 0)))
            sock.listen(8)
        except OSError as error:
            sock.close()
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                for other in made:
                    other.close()
                return []
            continue
        made.append(sock)
    return made
