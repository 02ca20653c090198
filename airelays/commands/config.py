"""`config show`, `config check`, `config path`. Layer: commands."""

from __future__ import annotations

from typing import Any

from airelays.errors import ConfigError, ConfigErrors
from airelays.hints import hint
from airelays.settings.load import Origin, check_listener
from airelays.settings.table import OPTIONS, Option
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console, escaped
from airelays.terminal.context import Context, find_config, find_context, find_places

HIDDEN = "***"


def run_show(args: Arguments, console: Console) -> int:
    """Print each option as it is in effect."""
    context = find_context(args, console)
    if args.has("--all"):
        return _show_file(context, console)
    if args.has("--json"):
        console.json(_as_json(context, args.has("--origin")))
        return 0
    width = max(len(option.key) for option in OPTIONS)
    beaten = _beaten(context) if args.has("--origin") else {}
    for option in OPTIONS:
        line = f"{option.key:<{width}} = {_text(option, _shown(option, context))}"
        if args.has("--origin"):
            origin = _origin_text(context.loaded.origins[option.attribute], context)
            line += console.style(f"  # {origin}{escaped(beaten.get(option.attribute, ''))}", "2")
        console.line(line)
    for name, rows in _named(context).items():
        console.line(f"{name:<{width}} = {escaped(_json(rows))}")
    return 0


def _show_file(context: Context, console: Console) -> int:
    """Print a config file with every option: those of the file as they are, the others as comments."""
    from airelays.settings.load import parse_toml
    from airelays.settings.write import render_config

    tree = parse_toml(context.config_text or "", context.config_path)
    for option in OPTIONS:
        table, _, name = option.key.rpartition(".")
        if option.secret and isinstance(tree.get(table), dict) and name in tree[table]:
            del tree[table][name]
    console.out.write(render_config(tree))
    return 0


def run_check(args: Arguments, console: Console) -> int:
    """Say whether the relay would start with these options; every problem is a ConfigError before."""
    from airelays.commands.doctor.readiness import check_start, doubts

    try:
        context = find_context(args, console)
    except ConfigErrors as errors:
        return _list_problems(errors, args, console)
    check_listener(context.settings)
    check_start(context)
    notes, warnings = list(context.loaded.notes), list(doubts(context))
    found = context.config_text is not None
    if args.has("--json"):
        facts = {"ok": True, "config_path": context.config_path, "config_exists": found}
        console.json({**facts, "notes": notes, "warnings": warnings})
        return 0
    for kind, sentences in (("note", notes), ("warning", warnings)):
        for sentence in sentences:
            console.line(escaped(f"{kind}: {sentence}"))
    origins = context.loaded.origins.values()
    counts = [
        sum(o.source == source for o in origins) for source in ("file", "environment", "flag")
    ]
    name = context.config_path if found else f"{context.config_path} (no such file)"
    console.line(
        escaped(
            f"ok: {name}; values from file: {counts[0]}, environment: {counts[1]}, flags: {counts[2]}"
        )
    )
    return 0


def _list_problems(errors: ConfigErrors, args: Arguments, console: Console) -> int:
    """Show everything that is wrong, one line each."""
    if args.has("--json"):
        path = find_config(args.get("--config"), console.env, find_places(console.env))[0]
        console.json({"ok": False, "config_path": path, "problems": list(errors.problems)})
    for problem in errors.problems:
        console.note(problem)
    return 1


def run_path(args: Arguments, console: Console) -> int:
    """Print the path of the config file, whether or not it is there."""
    console.line(find_config(args.get("--config"), console.env, find_places(console.env))[0])
    return 0


def _as_json(context: Context, with_origin: bool) -> dict[str, Any]:
    options: dict[str, Any] = {}
    beaten = _beaten(context) if with_origin else {}
    for option in OPTIONS:
        value = _shown(option, context)
        if with_origin:
            origin = context.loaded.origins[option.attribute]
            options[option.key] = {"value": value, "source": origin.source, "name": origin.name}
            if option.attribute in beaten:
                options[option.key]["note"] = beaten[option.attribute].removeprefix("; ")
        else:
            options[option.key] = value
    return {"config_path": context.config_path, **options, **_named(context)}


def _beaten(context: Context) -> dict[str, str]:
    """Return the notes for options that a saved policy of the traffic log overrides."""
    from airelays.journal.retention import Policy, overridden, policy_path

    settings = context.settings
    try:
        found = overridden(settings.logs_dir, Policy.of(settings))
    except ConfigError as error:
        return dict.fromkeys((f"log_{name}" for name in Policy._fields), f"; {error}")
    path = policy_path(settings.logs_dir)
    return {
        f"log_{name}": f"; not in effect: {path} sets {value} (`{hint('logs --reset')}` removes it)"
        for name, value in found.items()
    }


def _shown(option: Option, context: Context) -> Any:
    value = getattr(context.settings, option.attribute)
    if option.secret and value:
        return HIDDEN
    return list(value) if isinstance(value, tuple) else value


def _named(context: Context) -> dict[str, Any]:
    """The named upstreams, the aliases and the rules, without the values of header fields and proxies."""
    upstreams = {}
    for upstream in context.settings.upstreams:
        row = upstream.as_dict()
        row["headers"] = {name: HIDDEN for name, _ in upstream.headers}
        row["proxy"] = HIDDEN if upstream.proxy else ""
        upstreams[row.pop("name")] = row
    aliases = {
        a.name: {k: v for k, v in a.as_dict().items() if k != "name"}
        for a in context.settings.aliases
    }
    return {"upstreams": upstreams, "aliases": aliases, "rules": _rules(context)}


def _rules(context: Context) -> dict[str, Any]:
    """The rules by their places, each with what it has."""
    return {
        str(at): {
            name: dict(value) if name in ("set", "default", "cap") else value
            for name, value in rule.as_dict().items()
            if value
        }
        for at, rule in enumerate(context.settings.rules)
    }


def _text(option: Option, value: Any) -> str:
    if value == HIDDEN and option.secret:
        return HIDDEN
    return escaped(_json(value))


def _json(value: Any) -> str:
    import json

    return json.dumps(value, ensure_ascii=False)


def _origin_text(origin: Origin, context: Context) -> str:
    if origin.source == "file":
        return escaped(f"file {context.config_path}: {origin.name}")
    return f"{origin.source} {origin.name}".rstrip()
