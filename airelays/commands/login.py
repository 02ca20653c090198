"""`login`: sign in to ChatGPT by browser, device code or pasted address, and store what comes of it.

Layer: commands.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Coroutine
from functools import partial
from typing import Any

from airelays.errors import ConfigError, FlagError, UpstreamFault
from airelays.hints import hint
from airelays.net.client import Client
from airelays.settings.kinds import KINDS
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.browser import is_headless, open_browser
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.progress import wait_visibly
from airelays.terminal.question import can_ask
from airelays.terminal.running import tell_sign_in
from airelays.upstream.chatgpt.callback import PORTS
from airelays.upstream.chatgpt.calls import USER_AGENT
from airelays.upstream.chatgpt.login import (
    PastedLogin,
    browser_login,
    device_login,
    sign_in_from,
)
from airelays.upstream.chatgpt.oauth import DeviceCode, Issuer, TokenRefused
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore

INTERRUPTED = 130
MAX_PASTE_CHARS = 16 * 1024
PASTES = 3
WAITING_FOR_CODE = "waiting for you to confirm the code"


def run(args: Arguments, console: Console) -> int:
    """Sign in; return 0, or 130 when interrupted with nothing changed."""
    ways = [flag for flag in ("--device", "--browser", "--paste") if args.has(flag)]
    if len(ways) > 1:
        raise FlagError(f"{' and '.join(ways)} cannot be combined; choose one way to sign in")
    context = find_context(args, console)
    settings = context.settings
    if not KINDS[settings.upstream_kind].signs_in:
        return _needs_none(settings, console, as_json=args.has("--json"))
    store = SignInStore(settings.data_dir, settings.auth_storage, warn=console.note)
    store.check()
    workspace_id = args.get("--workspace-id") or ""
    try:
        tokens = _sign_in(context, console, _way(ways, console), args, workspace_id)
        sign_in = sign_in_from(tokens, now_s=time.time(), workspace_id=workspace_id)
    except KeyboardInterrupt:
        console.note("interrupted; nothing was changed")
        return INTERRUPTED
    except (TokenRefused, UpstreamFault) as error:
        said = error.local if isinstance(error, UpstreamFault) else error.message
        raise ConfigError(f"{said}; nothing was changed") from error
    replaced = _store(store, sign_in)
    tell_sign_in(context, "signed_in")
    if replaced:
        console.note(f"this replaces the stored sign-in of {replaced}")
    _report(console, context, store, sign_in, as_json=args.has("--json"))
    return 0


def _needs_none(settings: Settings, console: Console, *, as_json: bool) -> int:
    """Report that this upstream has no sign-in, without contacting it."""
    steps = [hint("serve")]
    if as_json:
        facts = {"needs_sign_in": False, "upstream_kind": settings.upstream_kind}
        console.json({**facts, "next_steps": steps})
        return 0
    where = settings.upstream_base_url or settings.upstream_kind
    console.line(escaped(f"the upstream {where} does not need a sign-in; nothing was changed"))
    console.steps(steps)
    return 0


def _way(ways: list[str], console: Console) -> str:
    """Return "browser", "device" or "paste": the requested way, or the one that suits this machine."""
    if ways:
        return ways[0].removeprefix("--")
    if is_headless(console.env, sys.platform):
        console.note("there is probably no browser here (SSH or no display); using a device code")
        return "device"
    return "browser"


def _sign_in(
    context: Context, console: Console, way: str, args: Arguments, workspace_id: str
) -> dict[str, Any]:
    settings = context.settings
    timeout_s = settings.login_timeout_seconds
    if way == "paste":
        pasted = PastedLogin(settings.issuer_base_url, settings.client_id, workspace_id)
        _show_address(console, pasted.url)
        return _by_paste(context, console, pasted)
    if way == "device":

        async def by_device(issuer: Issuer) -> dict[str, Any]:
            shown = asyncio.Event()

            def show(device: DeviceCode) -> None:
                _show_code(console, device)
                shown.set()

            work = device_login(issuer, show=show, timeout_s=timeout_s)
            return await wait_visibly(console, WAITING_FOR_CODE, work, timeout_s, after=shown)

        return asyncio.run(_with_issuer(context, by_device))
    opens = settings.browser_open and not args.has("--no-browser")
    ports = _ports(args.get("--callback-port"))

    async def by_browser(issuer: Issuer) -> dict[str, Any]:
        shown = asyncio.Event()

        def show(url: str) -> None:
            _show_address(console, url)
            shown.set()
            if opens:
                open_browser(console, url)

        work = browser_login(
            issuer, show=show, timeout_s=timeout_s, workspace_id=workspace_id, ports=ports
        )
        return await wait_visibly(console, "waiting for the browser", work, timeout_s, after=shown)

    return asyncio.run(_with_issuer(context, by_browser))


def _by_paste(context: Context, console: Console, pasted: PastedLogin) -> dict[str, Any]:
    """Return the tokens of a pasted address; one that is not usable can be pasted again."""
    left = PASTES if can_ask(console) else 1
    while True:
        text = _ask_for_address(console, context.settings.login_timeout_seconds)
        finish = partial(pasted.finish, pasted=text)
        try:
            return asyncio.run(_with_issuer(context, finish))
        except ConfigError as error:
            left -= 1
            if not left:
                raise
            console.note(f"{error}; paste the address again")


async def _with_issuer(context: Context, use: Any) -> dict[str, Any]:
    settings = context.settings
    client = Client.for_settings([settings.issuer_base_url], settings)
    try:
        issuer = Issuer(client, settings.issuer_base_url, settings.client_id, USER_AGENT)
        call: Coroutine[Any, Any, dict[str, Any]] = use(issuer)
        return await call
    finally:
        await client.close()


def _ports(given: str | None) -> tuple[int, ...]:
    if given is None:
        return PORTS
    if not (given.isdigit() and len(given) < 6 and int(given) < 65536):
        raise FlagError(f"--callback-port is {given!r}; expected a port from 0 to 65,535")
    return (int(given),)


def _show_address(console: Console, url: str) -> None:
    console.line("Open this address in a browser and sign in:")
    console.line()
    console.line(f"  {escaped(url)}")
    console.line()
    console.out.flush()


def _show_code(console: Console, device: DeviceCode) -> None:
    console.line("On any device, open this address, sign in and enter the code:")
    console.line()
    console.line(f"  {escaped(device.page)}")
    console.line(f"  {console.style(escaped(device.user_code), '1')}")
    console.line()
    console.line("Enter it only on that page, and only if you started this sign-in yourself.")
    console.out.flush()


def _ask_for_address(console: Console, timeout_s: float) -> str:
    """Read the pasted address from standard input, for at most `timeout_s`."""
    console.err.write(
        "After you sign in, the browser shows an error page. Paste its full address here:\n"
    )
    console.err.flush()
    if sys.platform != "win32":
        import select

        if not select.select([sys.stdin], [], [], timeout_s)[0]:
            raise ConfigError(f"no address was pasted within {timeout_s:g} s; nothing was changed")
    text = sys.stdin.readline(MAX_PASTE_CHARS).strip()
    if not text:
        raise ConfigError("no address was pasted; nothing was changed")
    return text


def _store(store: SignInStore, sign_in: SignIn) -> str:
    """Store it; return whose sign-in of another account was there before, "" for none."""
    try:
        with store.lock():
            before = _stored(store)
            store.save(sign_in)
    except TimeoutError as error:
        raise ConfigError(
            f"the sign-in worked, but another process holds {store.path}.lock; end that process and sign in "
            f"again"
        ) from error
    if before is None or before.account_id in ("", sign_in.account_id):
        return ""
    return before.email or before.account_id


def _stored(store: SignInStore) -> SignIn | None:
    try:
        return store.load()
    except ConfigError:
        return None  # it could not be used, so nothing is lost


def _report(
    console: Console, context: Context, store: SignInStore, sign_in: SignIn, *, as_json: bool
) -> None:
    has_token = context.token.current() is not None or not context.settings.require_bearer_auth
    steps = [hint("serve")] if has_token else [hint("init"), hint("serve")]
    if as_json:
        console.json({**sign_in.describe(), **store.describe(), "next_steps": steps})
        return
    console.title("Login")
    console.section("Upstream Session")
    console.field("Authenticated", True)
    console.field("Email", sign_in.email)
    console.field("Plan", sign_in.plan_type)
    console.field("Account ID", sign_in.account_id)
    console.field("Storage mode", store.mode)
    console.field("Auth store", store.path)
    console.steps(steps)
