"""`serve`: lock the data folder, find the token, run the relay, say how to reach it. Layer: commands."""

from __future__ import annotations

import gc
import json
import os
import time
from collections.abc import Iterable, Iterator
from typing import Any

from airelays import __version__
from airelays.app.happenings import NOTICE, Happening, Happenings
from airelays.commands.connect.facts import reveal, rotate
from airelays.commands.weaktoken import check_strength, is_refused, weak_warning
from airelays.credentials.keys import ensure_key
from airelays.credentials.lock import FileLock, LockUnsupported
from airelays.credentials.secretfile import sweep_leftovers, write_private
from airelays.credentials.token import create_token
from airelays.disk.folder import make_private_dir
from airelays.disk.outside import write_outside
from airelays.disk.regular import read_regular
from airelays.errors import ConfigError
from airelays.hints import hint, know_system, quoted
from airelays.host.account import DATA_DIR as SYSTEM_DATA_DIR
from airelays.model import Door
from airelays.settings.hosts import is_loopback
from airelays.settings.kinds import KINDS
from airelays.settings.listen import OLLAMA_KEY
from airelays.settings.load import check_listener
from airelays.settings.values import ListenSettings, Settings, client_base_url, is_wildcard_host
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_context
from airelays.terminal.reporter import Reporter

IN_USE = 75  # EX_TEMPFAIL of sysexits.h
# A relay that is being replaced needs a moment to end; with two relays on one folder, the wait stays short.
LOCK_WAIT_S = 0.5


def run(args: Arguments, console: Console) -> int:
    """Run the relay until it is stopped; return its exit code, or 75 when the data folder is in use."""
    context = find_context(args, console)
    settings = context.settings
    if settings.data_dir == SYSTEM_DATA_DIR:
        from airelays.commands.table import ACT_FOR_SYSTEM

        know_system(ACT_FOR_SYSTEM)
    for note in _start_notes(context):
        console.note(note)
    check_listener(settings)
    lock = FileLock(os.path.join(settings.data_dir, "relay.lock"))
    pid_file = os.path.join(settings.data_dir, "relay.pid")
    try:
        make_private_dir(settings.data_dir)
        taken = _take(lock, console)
    except ConfigError as error:
        if not _needs_no_disk(context):
            raise
        console.note(
            f"{error}; the demo runs without it: nothing is logged, stored or counted, and there are no "
            f"named keys"
        )
        return _serve(_without_disk(context), console, args)
    if not taken:
        console.note(
            f"another relay is using {settings.data_dir}{_holder(pid_file)}; stop it, or give this one its "
            f"own folder with --data-dir"
        )
        return IN_USE
    try:
        write_private(pid_file, b"%d\n" % os.getpid())
        sweep_leftovers(settings.data_dir)
        _ensure_token(context, console)
        if args.has("--for-ollama"):
            ensure_key(settings.data_dir, OLLAMA_KEY, console.note)
        _tell_missing_sign_in(context, console)
        return _serve(context, console, args)
    finally:
        _remove(pid_file)
        lock.release()


def _needs_no_disk(context: Context) -> bool:
    """Whether the relay has its token from the environment, or needs none, and an upstream that keeps nothing."""
    has_token = context.token.source == "env" or not context.settings.require_bearer_auth
    return KINDS[context.settings.upstream_kind].embedded and has_token


def _without_disk(context: Context) -> Context:
    settings = context.settings.replace(log_enabled=False, store_responses=False)
    check_strength(context)
    return context.replace(loaded=context.loaded.replace(settings=settings))


def _start_notes(context: Context) -> Iterator[str]:
    """Give what each start repeats: keys of an earlier AIRelays are one line, `config check` names them."""
    unused = context.loaded.unused
    if unused:
        keys = "1 key" if len(unused) == 1 else f"{len(unused)} keys"
        yield (
            f"{context.config_path} has {keys} of an earlier AIRelays that have no effect here; to remove "
            f"them: {hint('migrate --clean')}"
        )
    yield from context.loaded.notes[len(unused) :]


def _serve(context: Context, console: Console, args: Arguments) -> int:
    # Until the relay listens everything that is made stays, so looking for garbage is time lost.
    gc.disable()
    from airelays.host.process import run as run_relay

    ready_file, settings = args.get("--ready-file"), context.settings
    written: list[str] = []
    happenings = Happenings()
    reporter = Reporter(console, quiet=settings.quiet, form=settings.log_format)
    happenings.watch(reporter.take, good=reporter.prints_each)

    def on_ready(doors: list[Door]) -> None:
        if ready_file:
            written.append(write_outside(ready_file, _ready_json(settings, doors)))
        if settings.log_format == "json":
            console.line(json.dumps({"kind": "started", **_ready_facts(settings, doors)}))
            console.out.flush()
        else:
            _print_banner(console, context, doors)
        console.sink = reporter.note
        reporter.start()

    try:
        return run_relay(
            context.settings,
            context.token,
            on_ready=on_ready,
            config_path=context.config_path,
            check=lambda doors: _check_bound(context, doors),
            read_again=lambda: _read_again(args, console),
            happenings=happenings,
        )
    finally:
        if console.sink is not None:
            console.sink = None
            reporter.take(Happening(NOTICE, time.time(), "stopped", "the relay has stopped"))
            reporter.close()
        for path in written:
            _remove(path)


def _check_bound(context: Context, doors: Iterable[Door]) -> None:
    """Apply the rules about addresses again, to what the names stood for. Raises ConfigError."""
    first, *others = doors
    listeners = tuple(ListenSettings(door.host, door.port) for door in others)
    bound = context.settings.replace(host=first.host, listeners=listeners)
    check_listener(bound)
    check_strength(context.replace(loaded=context.loaded.replace(settings=bound)))


def _read_again(args: Arguments, console: Console) -> Settings:
    """Return the settings of now. Raises ConfigError."""
    return find_context(args, console).settings


def _take(lock: FileLock, console: Console) -> bool:
    try:
        return lock.acquire(LOCK_WAIT_S)
    except LockUnsupported:
        console.note(
            f"{lock.path}: this file system does not support locks; do not run two relays with this folder"
        )
        return True


def _holder(pid_file: str) -> str:
    """Return " (pid N)" of the relay that uses the folder, "" if it is not known."""
    try:
        pid = read_regular(pid_file, 20).strip()
    except OSError:
        return ""
    return f" (pid {pid.decode()})" if pid.isdigit() else ""


def needs_new_token(context: Context) -> bool:
    """Whether `serve` will create a token first. Raises ConfigError if it must not and there is none."""
    settings, token = context.settings, context.token
    if not settings.require_bearer_auth or token.current() is not None:
        return False
    if token.problem:
        raise ConfigError(token.problem)
    flagged = context.loaded.origins["upstream_base_url"].source == "flag"
    makes = flagged or KINDS[settings.upstream_kind].makes_token
    if not (settings.auto_generate_bearer_token or makes):
        raise ConfigError(
            f"there is no relay token in {token.path}; run `{hint('init')}`, set AIRELAYS_BEARER_TOKEN, or "
            f"use --no-auth"
        )
    return True


def _makes_token(context: Context, console: Console) -> bool:
    """Whether a token is to be made, as `needs_new_token`; on a terminal the missing one is offered."""
    try:
        return needs_new_token(context)
    except ConfigError:
        from airelays.terminal.question import agrees

        offered = not context.token.problem and agrees(
            console, f"There is no relay token in {context.token.path} yet. Create one?"
        )
        if not offered:
            raise
        return True


def _tell_missing_sign_in(context: Context, console: Console) -> None:
    """Say before anything else that requests will fail, where that can be seen from here."""
    settings = context.settings
    if not KINDS[settings.upstream_kind].signs_in:
        return
    from airelays.upstream.choose import make_upstream

    problem = make_upstream(settings, settings.main_upstream).problem()
    if problem:
        console.note(f"requests will fail: {problem}")


def _ensure_token(context: Context, console: Console) -> None:
    """Make a token where that was asked for, or refuse to start without one, or with one that can be guessed."""
    if not _makes_token(context, console):
        check_strength(context)
        warning = weak_warning(context)
        if warning:
            console.note(warning)
        context.token.weak_is = "refused" if is_refused(context.settings) else "told"
        return
    path = context.settings.bearer_token_file
    context.token.created = create_token(path)
    context.token.weak_is = "refused" if is_refused(context.settings) else "told"
    console.note(f"created a relay token in {path}; `{reveal()}{_where(context)}` shows it")


def _ready_json(settings: Settings, doors: list[Door]) -> bytes:
    return json.dumps(_ready_facts(settings, doors)).encode() + b"\n"


def _ready_facts(settings: Settings, doors: list[Door]) -> dict[str, Any]:
    port = doors[0].port
    return {
        "pid": os.getpid(),
        "port": port,
        "url": client_base_url(settings.host, port),
        "listeners": [
            {"host": door.host, "port": door.port, "key": door.name or None} for door in doors
        ],
    }


def _print_banner(console: Console, context: Context, doors: list[Door]) -> None:
    """On a terminal what a newcomer needs next, elsewhere one line per listener."""
    settings = context.settings
    port = doors[0].port
    url = client_base_url(settings.host, port)
    # The first listener can have several sockets, all with one port.
    others = [door for door in doors if door.port != port or door.key]
    first = [door for door in doors if door not in others]
    if not console.terminal:
        every = ", on all addresses of this machine" if is_wildcard_host(settings.host) else ""
        console.line(escaped(f"AIRelays {__version__} is listening on {url}{every}"))
        for door in others:
            console.line(f"and on {client_base_url(door.host, door.port)}{open_words(door)}")
        console.line(escaped(f"watch it in your browser: {hint('open')}"))
        console.out.flush()
        return
    console.title("Serve")
    console.section("Listener")
    console.field("Base URL", url)
    for host in (door.host for door in first):
        console.field("Host", f"{host} (all addresses)" if is_wildcard_host(host) else host)
    console.field("Port", port)
    for door in others:
        console.field("Also", f"{client_base_url(door.host, door.port)}{open_words(door)}")
    console.field("Upstream", settings.upstream_kind)
    console.field("Page", f"{url.removesuffix('/v1')}/ (signed in: {hint('open')})")
    console.section("Client Auth")
    if settings.require_bearer_auth:
        console.field("Bearer auth", "required")
        console.field("Token source", context.token.source)
        if context.token.source == "file":
            console.field("Token file", settings.bearer_token_file)
        console.field("Rotate token", rotate())
    else:
        console.field("Bearer auth", "disabled")
        console.field("Access mode", "open")
        console.field("Client key", "optional placeholder only")
    if not is_loopback(settings.host) and not settings.allowed_hosts:
        console.field("Note", "other machines can connect only by a name in security.allowed_hosts")
    _print_paste(console, context, url)
    console.out.flush()


def open_words(door: Door) -> str:
    """Return what has to be said of a listener that asks for nothing, "" for any other."""
    if not door.key:
        return ""
    return f": open to every program on this machine, with the key {door.name}"


def _print_paste(console: Console, context: Context, url: str) -> None:
    """Lines to paste into another terminal. The token's value is never among them."""
    reveal = _reveal(context)
    key = reveal if context.settings.require_bearer_auth else "none"
    header = f' -H "Authorization: Bearer {reveal}"' if context.settings.require_bearer_auth else ""
    console.section("Try It")
    console.line(escaped(f"  curl {url}/models{header}"))
    console.line(escaped(f'  export OPENAI_BASE_URL={url} OPENAI_API_KEY="{key}"'))


def _reveal(context: Context) -> str:
    """Return the shell words that give the token where this relay has it from."""
    if context.token.source == "env":
        return "$AIRELAYS_BEARER_TOKEN"
    return f"$({reveal()}{_where(context)})"


def _where(context: Context) -> str:
    """Return the flag that another command needs to find the same token; "" if it needs none."""
    origins = context.loaded.origins
    if (
        origins["bearer_token_file"].source == "default"
        and origins["data_dir"].source != "environment"
    ):
        return ""  # where it is below the data folder, which the hint names already
    return f" --bearer-token-file {quoted(context.settings.bearer_token_file)}"


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except OSError:
        return
