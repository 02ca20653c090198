"""`logout`: have the issuer revoke the sign-in (best effort), and remove it from this machine. Layer: commands."""

from __future__ import annotations

import asyncio

from airelays.errors import ConfigError, UpstreamFault
from airelays.net.client import Client
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import tell_sign_in
from airelays.upstream.chatgpt.calls import USER_AGENT
from airelays.upstream.chatgpt.oauth import Issuer
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore


def run(args: Arguments, console: Console) -> int:
    """Remove the sign-in whatever the issuer answers, and report what happened."""
    context = find_context(args, console)
    settings = context.settings
    store = SignInStore(settings.data_dir, settings.auth_storage, warn=console.note)
    try:
        with store.lock():
            sign_in = _load(store, console)
            problem = "" if sign_in is None else asyncio.run(_revoke(context, sign_in))
            deleted = store.delete()
    except TimeoutError as error:
        raise ConfigError(
            f"another process holds {store.path}.lock; end it, or wait until it has finished"
        ) from error
    tell_sign_in(context, "signed_out")
    revoked = sign_in is not None and not problem
    if problem:
        console.note(
            f"removed from this machine, but not revoked at the sign-in service: {problem}"
        )
    if args.has("--json"):
        name = (sign_in.email or sign_in.account_id or None) if sign_in is not None else None
        signed_out = [name] if deleted and name else []
        console.json(
            {"deleted": deleted, "revoked": revoked, "signed_out": signed_out, "remaining": []}
        )
        return 0
    console.title("Logout")
    console.section("Upstream Session")
    console.field("Upstream auth", "deleted" if deleted else "already empty")
    if sign_in is not None:
        console.field("Email", sign_in.email)
        console.field("Revoked", revoked)
    return 0


def _load(store: SignInStore, console: Console) -> SignIn | None:
    try:
        return store.recover() or store.load()
    except ConfigError as error:
        # Whatever lies there goes; it just cannot be revoked.
        console.note(str(error))
        return None


async def _revoke(context: Context, sign_in: SignIn) -> str:
    """Ask the issuer; return "" or why not."""
    token, kind = sign_in.refresh_token, "refresh_token"
    if not token:
        token, kind = sign_in.access_token, "access_token"
    if not token:
        return "there was no token"
    settings = context.settings
    try:
        client = Client.for_settings([settings.issuer_base_url], settings)
        try:
            issuer = Issuer(client, settings.issuer_base_url, settings.client_id, USER_AGENT)
            return "" if await issuer.revoke(token, kind) else "it refused"
        finally:
            await client.close()
    except UpstreamFault as fault:
        return fault.local
