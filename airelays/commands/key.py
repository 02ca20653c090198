"""`key create`, `key list`, `key rotate`, `key revoke`: named keys. A key is printed once. Layer: commands."""

from __future__ import annotations

import os
import re
import time
from typing import Any

from airelays.credentials.keys import change_keys, read_keys
from airelays.errors import ConfigError, FlagError
from airelays.guard.keys import (
    MAX_CONCURRENT,
    MAX_PER_MINUTE,
    MAX_TOKENS,
    ROUTES,
    Key,
    KeyTable,
    Secret,
    digest_of,
    is_name,
    make_key,
)
from airelays.hints import hint
from airelays.settings.kinds import KINDS
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}
_SPAN = re.compile(r"([0-9]{1,6})([smhdw])")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}(T[0-9]{2}:[0-9]{2}(:[0-9]{2})?Z?)?")
_MAX_SPAN_S = 100 * 366 * 86_400
_MAX_PATTERNS = 100


def run_create(args: Arguments, console: Console) -> int:
    """Make a key and print it, once."""
    context = find_context(args, console)
    name = _name(args)
    now_s = time.time()
    key = key_from_flags(args, name, now_s)
    _check_upstreams(key, context.settings)
    _check_patterns(key, context, console)
    text = make_key(os.urandom(32))
    key = key._replace(secrets=(Secret(digest_of(text.encode())),))

    def add(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        live = [one.name for one in keys if one.revoked_s is None]
        if name in live:
            raise ConfigError(
                f"there is already a key {name}; choose another name, or run: {hint('key revoke ' + name)}"
            )
        return (*keys, key)

    change_keys(context.settings.data_dir, add, console.note)
    _print_key(args, console, "Key Create", key, text)
    return 0


def run_rotate(args: Arguments, console: Console) -> int:
    """Give a key a new secret; the old one ends at once, or after --grace."""
    context = find_context(args, console)
    name, now_s = _name(args), time.time()
    grace_s = _span(args.get("--grace") or "0s", "--grace")
    text = make_key(os.urandom(32))
    changed: list[Key] = []

    def rotate(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        found = _find(keys, name, now_s)
        until_s = now_s + grace_s
        old = tuple(
            s if s.until_s is not None and s.until_s < until_s else s._replace(until_s=until_s)
            for s in found.secrets
        )
        new = found._replace(secrets=(*old, Secret(digest_of(text.encode()))))
        changed.append(new)
        return tuple(new if one is found else one for one in keys)

    change_keys(context.settings.data_dir, rotate, console.note)
    _tell_relay(context, console)
    _print_key(args, console, "Key Rotate", changed[-1], text)
    return 0


def run_revoke(args: Arguments, console: Console) -> int:
    """End a key."""
    context = find_context(args, console)
    name, now_s = _name(args), time.time()
    changed: list[Key] = []

    def revoke(keys: tuple[Key, ...]) -> tuple[Key, ...]:
        found = _find(keys, name, None)
        changed.append(found._replace(revoked_s=now_s))
        return tuple(changed[-1] if one is found else one for one in keys)

    change_keys(context.settings.data_dir, revoke, console.note)
    ended = _tell_relay(context, console)
    if args.has("--json"):
        facts = {"name": name, "id": changed[-1].id, "state": "revoked", "ended_requests": ended}
        console.json(facts)
    else:
        many = "request was" if ended == 1 else "requests were"
        running = f"; {ended} running {many} ended" if ended else ""
        console.line(f"the key {name} is revoked{running}")
    return 0


def _tell_relay(context: Context, console: Console) -> int | None:
    """Let a running relay end the requests of an ended key; return how many, None if no relay was reached."""
    from airelays.host.contact import find

    try:
        contact = find(context.settings.data_dir)
        found = None if contact is None else contact.ask("POST", "/keys")
    except ConfigError as error:
        console.note(
            f"running requests of this key end when any key sends its next request: {error}"
        )
        return None
    return None if found is None else int(found.get("ended", 0))


def run_list(args: Arguments, console: Console) -> int:
    """List the keys: state, last use and by which program, today's use, limits. Never a key."""
    context = find_context(args, console)
    keys, wall_s = read_keys(context.settings.data_dir), time.time()
    used = _usage(context.settings.data_dir, wall_s)
    rows = [_row(key, used.get(key.id, {}), wall_s) for key in keys]
    if args.has("--json"):
        console.json({"keys": rows})
        return 0
    if not rows:
        console.line(f"there are no named keys; create one: {hint('key create NAME')}")
        return 0
    for row in rows:
        console.section(row["name"])
        for label, value in _shown(row):
            console.field(label, value)
    return 0


# ---- what was asked for


def _name(args: Arguments) -> str:
    name = args.words[0] if args.words else ""
    if not is_name(name):
        raise FlagError(
            f"the name is {name[:60]!r}; expected 1 to 40 letters, digits, dots, dashes and underscores, beginning "
            "with a letter or a digit".replace("'", '"')
        )
    return name


def key_from_flags(args: Arguments, name: str, now_s: float) -> Key:
    routes = args.get("--routes") or "text"
    if routes not in ROUTES:
        raise FlagError(f'--routes is "{routes[:60]}"; expected text, read or all')
    models = _listed(args, "--models")
    if len(models) > _MAX_PATTERNS:
        raise FlagError(f"--models has {len(models)} patterns; at most {_MAX_PATTERNS} are allowed")
    return Key(
        id="key_" + os.urandom(8).hex(),
        name=name,
        secrets=(),
        created_s=round(now_s, 3),
        expires_s=_expiry(args.get("--expires"), now_s),
        routes=routes,
        models=models,
        upstreams=_listed(args, "--upstreams"),
        requests_per_minute=_count(args, "--requests-per-minute", MAX_PER_MINUTE),
        concurrent=_count(args, "--concurrent", MAX_CONCURRENT),
        tokens_per_day=_count(args, "--tokens-per-day", MAX_TOKENS),
        no_tools=args.has("--no-tools"),
    )


def _listed(args: Arguments, flag: str) -> tuple[str, ...]:
    given = [part.strip() for text in args.all(flag) for part in text.split(",")]
    for part in given:
        if not part or not part.isprintable() or len(part) > 200:
            raise FlagError(f"{flag} has {part[:60]!r}; expected names separated by commas")
    return tuple(dict.fromkeys(given))


def _count(args: Arguments, flag: str, most: int) -> int:
    text = args.get(flag)
    if text is None:
        return 0
    plain = text.replace("_", "").replace(",", "")
    if not (plain.isascii() and plain.isdigit() and len(plain) <= 16 and 1 <= int(plain) <= most):
        raise FlagError(f'{flag} is "{text[:60]}"; expected a whole number from 1 to {most:,}')
    return int(plain)


def _span(text: str, flag: str) -> int:
    found = _SPAN.fullmatch(text)
    if found is None:
        raise FlagError(
            f'{flag} is "{text[:60]}"; expected a number followed by s, m, h, d or w, such as 30d'
        )
    seconds = int(found[1]) * _UNITS[found[2]]
    if seconds > _MAX_SPAN_S:
        raise FlagError(f'{flag} is "{text}"; at most 100 years are allowed')
    return seconds


def _expiry(text: str | None, now_s: float) -> float | None:
    if text is None:
        return None
    if _DATE.fullmatch(text):
        import datetime

        try:
            at = datetime.datetime.fromisoformat(text.removesuffix("Z"))
        except ValueError:
            raise FlagError(f"--expires is {text}, which is not a date") from None
        ends_s = at.replace(tzinfo=datetime.UTC).timestamp()
    else:
        ends_s = now_s + _span(text, "--expires")
    if ends_s <= now_s:
        raise FlagError(
            f"--expires is {text}, which is in the past; expected a future time, such as 30d or 2030-01-31 "
            f"(UTC)"
        )
    return round(ends_s, 3)


def _find(keys: tuple[Key, ...], name: str, now_s: float | None) -> Key:
    found = KeyTable(keys).named(name)
    if found is None:
        raise ConfigError(f"there is no key {name}; `{hint('key list')}` lists all keys")
    if found.revoked_s is not None:
        raise ConfigError(f"the key {name} is already revoked")
    if now_s is not None and found.state(now_s) != "live":
        raise ConfigError(
            f"the key {name} has expired; create a new one: {hint('key create NAME')}"
        )
    return found


def _check_upstreams(key: Key, settings: Settings) -> None:
    known = [settings.upstream_kind, *(one.name for one in settings.upstreams)]
    for name in key.upstreams:
        # The main one is called as its kind, and a flag of `serve` can choose another kind.
        if name not in (*known, *KINDS):
            raise ConfigError(f"there is no upstream {name}; expected one of {', '.join(known)}")


def _check_patterns(key: Key, context: Context, console: Console) -> None:
    """Refuse a pattern that matches no model; where no list can be had, say that it was not checked."""
    if not key.models:
        return
    import asyncio

    from airelays.commands.modelnames import known_models

    names, whole = asyncio.run(known_models(context.settings))
    for pattern in key.models:
        alone = key._replace(models=(pattern,))
        if any(_matches(alone, *name) for name in names):
            continue
        if whole:
            raise ConfigError(
                f"--models has {pattern}, which matches none of the {len(names):,} models; "
                f"`{hint('models')}` lists them"
            )
        console.note(
            f"--models has {pattern}, which does not match any known model; the upstream's list is not "
            f"available"
        )


def _matches(key: Key, asked: str, upstream: str, model: str) -> bool:
    from airelays.guard.keys import allows_model

    return allows_model(key, asked, upstream, model)


# ---- what is shown


def _print_key(args: Arguments, console: Console, title: str, key: Key, text: str) -> None:
    if args.has("--json"):
        console.json({"key": text, **_row(key, {}, time.time())})
        return
    if not console.terminal:
        console.line(text)
        return
    console.title(title)
    console.section("Key")
    console.field("Key", text)
    console.field("Note", "copy the key now; it is not stored and cannot be shown again")
    console.section(key.name)
    for label, value in _shown(_row(key, {}, time.time())):
        console.field(label, value)


def _usage(data_dir: str, wall_s: float) -> dict[str, dict[str, Any]]:
    """Return by key id when it was last used and by which program, and what it used today."""
    from airelays.journal.tally import day_of
    from airelays.state.usage import read_usage

    found: dict[str, dict[str, Any]] = {}
    today = day_of(wall_s)
    for cell, sums in sorted(read_usage(data_dir).items(), key=lambda row: row[1].last_s):
        used = found.setdefault(cell.key, {"requests_today": 0, "tokens_today": 0})
        used["last_used_at"], used["program"] = sums.last_s, cell.program[:64]
        if cell.day == today:
            used["requests_today"] += sums.requests
            used["tokens_today"] += sums.total
    return found


def _row(key: Key, used: dict[str, Any], wall_s: float) -> dict[str, Any]:
    return {
        "name": key.name,
        "id": key.id,
        "state": key.state(wall_s),
        "created_at": key.created_s,
        "expires_at": key.expires_s,
        "revoked_at": key.revoked_s,
        "last_used_at": used.get("last_used_at"),
        "program": used.get("program") or None,
        "requests_today": used.get("requests_today", 0),
        "tokens_today": used.get("tokens_today", 0),
        "routes": key.routes,
        "models": list(key.models),
        "upstreams": list(key.upstreams),
        "requests_per_minute": key.requests_per_minute or None,
        "concurrent": key.concurrent or None,
        "tokens_per_day": key.tokens_per_day or None,
        "no_tools": key.no_tools,
    }


def _shown(row: dict[str, Any]) -> list[tuple[str, object]]:
    used = "never"
    if row["last_used_at"] is not None:
        by = f" by {row['program']}" if row["program"] else ""
        used = f"{_time(row['last_used_at'])}{by}"
    lines: list[tuple[str, object]] = [
        ("State", row["state"]),
        ("Last used", used),
        ("Today", f"{row['requests_today']:,} requests, {row['tokens_today']:,} tokens"),
        ("Routes", row["routes"]),
        ("Models", ", ".join(row["models"])),
        ("Upstreams", ", ".join(row["upstreams"])),
        ("Requests/min", row["requests_per_minute"]),
        ("At once", row["concurrent"]),
        ("Tokens/day", row["tokens_per_day"]),
        ("Tools", "refused" if row["no_tools"] else ""),
        ("Expires", _time(row["expires_at"]) if row["expires_at"] else ""),
    ]
    return [(label, value) for label, value in lines if value]


def _time(at_s: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(at_s))
