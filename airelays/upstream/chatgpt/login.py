"""The three ways to sign in: browser with a callback, device code, pasted address.

Owns: their order and deadlines. Refuses to know: terminals, where the result is stored. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable, Sequence
from typing import Any

from airelays.errors import ConfigError, UpstreamFault
from airelays.upstream.chatgpt.callback import PORTS, CallbackServer, code_from_url
from airelays.upstream.chatgpt.oauth import (
    CALLBACK_PATH,
    DeviceCode,
    Issuer,
    Pkce,
    SlowDown,
    authorize_url,
)
from airelays.upstream.chatgpt.signin import SignIn

# RFC 8628 section 3.5.
SLOWER_S = 5.0


def _redirect_uri(port: int) -> str:
    # The name, not the address: both are said to be registered today, this one has been for longest.
    return f"http://localhost:{port}{CALLBACK_PATH}"


async def browser_login(
    issuer: Issuer,
    *,
    show: Callable[[str], None],
    timeout_s: float,
    workspace_id: str = "",
    ports: Sequence[int] = PORTS,
) -> dict[str, Any]:
    """Return the tokens of a sign-in in a browser on this machine; `show` gets the address to open.

    Raises ConfigError after `timeout_s` or without a free port, TokenRefused, UpstreamFault.
    """
    pkce = Pkce.make(secrets.token_bytes(96))
    server = CallbackServer(pkce.state, issuer.base_url, ports)
    try:
        redirect_uri = _redirect_uri(await server.start())
        show(authorize_url(issuer.base_url, issuer.client_id, redirect_uri, pkce, workspace_id))
        async with asyncio.timeout(timeout_s):
            code = await server.code()
    except TimeoutError:
        raise _nobody(timeout_s) from None
    finally:
        await server.close()
    return await issuer.exchange_code(code, redirect_uri, pkce.verifier)


class PastedLogin:
    """A sign-in in a browser on another machine: show `url`, then `finish` with the address it ended on."""

    def __init__(self, issuer_url: str, client_id: str, workspace_id: str = "") -> None:
        self._pkce = Pkce.make(secrets.token_bytes(96))
        self._issuer_url = issuer_url.rstrip("/")
        self._redirect_uri = _redirect_uri(PORTS[0])
        self.url = authorize_url(
            self._issuer_url, client_id, self._redirect_uri, self._pkce, workspace_id
        )

    async def finish(self, issuer: Issuer, pasted: str) -> dict[str, Any]:
        """Return the tokens. Raises ConfigError for an address of another attempt, TokenRefused, UpstreamFault."""
        code = code_from_url(pasted, self._pkce.state, self._issuer_url)
        return await issuer.exchange_code(code, self._redirect_uri, self._pkce.verifier)


async def device_login(
    issuer: Issuer, *, show: Callable[[DeviceCode], None], timeout_s: float
) -> dict[str, Any]:
    """Return the tokens of a sign-in on any other device; `show` gets the code to type there.

    Raises ConfigError after `timeout_s`, TokenRefused when declined or expired, UpstreamFault.
    """
    device = await issuer.start_device()
    show(device)
    deadline_s = time.monotonic() + timeout_s
    interval_s = device.interval_s
    trouble: UpstreamFault | None = None
    while True:
        left_s = deadline_s - time.monotonic()
        if left_s <= interval_s:
            await asyncio.sleep(max(left_s, 0.0))
            raise _nobody(timeout_s) if trouble is None else trouble
        await asyncio.sleep(interval_s)
        try:
            tokens = await issuer.poll_device(device)
        except SlowDown:
            interval_s += SLOWER_S
            continue
        except UpstreamFault as fault:
            # The network may come back before the code expires.
            trouble = fault
            continue
        trouble = None
        if tokens is not None:
            return tokens


def sign_in_from(tokens: dict[str, Any], *, now_s: float, workspace_id: str = "") -> SignIn:
    """Return the sign-in in an issuer's answer. Raises ConfigError for a wrong workspace or a missing token."""
    try:
        sign_in = SignIn.from_tokens(tokens, now_s)
    except ValueError:
        raise ConfigError("the issuer's answer has no token; try again") from None
    if workspace_id and sign_in.account_id != workspace_id:
        raise ConfigError(
            f"the sign-in is for workspace {sign_in.account_id or '(none)'}, not {workspace_id}; choose that one"
            " on the issuer's page, or run the command without --workspace-id"
        )
    return sign_in


def _nobody(timeout_s: float) -> ConfigError:
    return ConfigError(
        f"no sign-in within {timeout_s:g} s; nothing was changed; run the command again"
    )
