"""`connect`: how a client program is pointed at the relay; written and taken back where that is safe.

Layer: commands.
"""

from __future__ import annotations

import os

from airelays.commands.connect.facts import reveal
from airelays.commands.connect.file import PASTE, has_already, refuse_broken, refuse_clash
from airelays.commands.connect.members import NO_KEY, with_members, without_members
from airelays.commands.connect.snippets import CLIENTS, Client
from airelays.disk.outside import find_target, remove_outside, write_outside
from airelays.disk.regular import read_regular
from airelays.errors import ConfigError, FlagError
from airelays.hints import hint
from airelays.host.contact import Contact
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.closest import did_you_mean
from airelays.terminal.console import Console
from airelays.terminal.context import find_context
from airelays.terminal.running import access, find_relay

BEGIN = "# >>> airelays connect >>>"
END = "# <<< airelays connect <<<"
MAX_FILE_BYTES = 4 * 1024 * 1024


def run(args: Arguments, console: Console) -> int:
    """Print the settings of a client; with --write put them into its file, with --undo take them out."""
    ways = [flag for flag in ("--write", "--undo") if args.has(flag)]
    if len(ways) > 1:
        raise FlagError("--write and --undo cannot be combined; use one of them")
    if ways and not args.words:
        raise FlagError(f"{ways[0]} needs a client: {hint(f'connect CLIENT {ways[0]}')}")
    if not args.words:
        _list(console)
        return 0
    name = args.words[0]
    client = CLIENTS.get(name)
    if client is None:
        raise FlagError(
            f'there is no client "{name}"; expected one of {", ".join(CLIENTS)}{did_you_mean(name, CLIENTS)}'
        )
    if args.has("--undo"):
        return _undo(client, console)
    values = _values(args, console)
    text = client.text.format(**values)
    note = _note(client, values, find_context(args, console).settings)
    if args.has("--write"):
        return _write(client, text, note, console)
    console.title(client.title)
    if client.path:
        console.line(f"Add this to ~/{client.path} (or run: {hint(f'connect {name} --write')}):")
    console.line()
    console.line(text.rstrip("\n"))
    if note:
        console.line()
        console.line(note)
    return 0


def _list(console: Console) -> None:
    console.title("Connect")
    console.line(f"{hint('connect CLIENT')} prints the settings for a client. Clients:")
    for name, client in CLIENTS.items():
        console.field(name, client.title)


def _values(args: Arguments, console: Console) -> dict[str, str]:
    """Return what the settings of a client are filled with: where the relay is, its token's command, a model."""
    context = find_context(args, console)
    contact = find_relay(args, context)
    found = access(context, contact)
    return {
        "base": found.base_url,
        "root": found.base_url.removesuffix("/v1"),
        "key": f"$({reveal()})" if found.needs_token else "unused",
        "key_command": reveal() if found.needs_token else NO_KEY,
        "model": args.get("--model") or found.model or _first_model(contact),
    }


def _first_model(contact: Contact | None) -> str:
    """Return a model that the relay lists. Raises ConfigError if there is none."""
    if contact is None:
        raise ConfigError(
            f"the list of models is available only while the relay is running; start it with "
            f"`{hint('serve')}`, or add --model NAME"
        )
    models = contact.ask("GET", "/models", within_s=60.0)["data"]
    if not models:
        raise ConfigError("the upstream does not list any models; add --model NAME")
    return str(models[0]["id"])


def _note(client: Client, values: dict[str, str], settings: Settings) -> str:
    """Return what is said below the settings, with the aliases that the client's own model names need."""
    note = client.note.format(**values)
    names = [alias.name for alias in settings.aliases]
    missing = [one for one in client.aliases if not any(n.startswith(one[:-1]) for n in names)]
    if not missing:
        return note
    lines = "\n".join(f'"{one}" = "{values["model"]}"' for one in missing)
    return (
        f"{note}\n\n{client.title} requests models by its own names. Aliases let the relay answer to those "
        f"names. Put them into the file that `{hint('config path')}` prints, "
        f"with the models of your choice:\n\n[aliases]\n{lines}"
    )


def _path(client: Client) -> str:
    if not client.path:
        raise ConfigError(
            f"{client.title} does not keep its settings in a file that can be edited safely; run the command "
            f"without --write and paste what it prints"
        )
    return os.path.join(_home(), client.path)


def _home() -> str:
    return os.path.expanduser("~")


def _read(path: str) -> str | None:
    try:
        data = read_regular(path, MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes; it was not changed")
        return data.decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; it was not changed") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _without_blocks(text: str, path: str) -> str:
    """Return `text` without the blocks of earlier --writes: a file that was copied together can have several."""
    while (begin := text.find(BEGIN)) >= 0:
        end = text.find(END, begin)
        if end < 0 or 0 <= text.find(BEGIN, begin + 1) < end:
            raise ConfigError(f'{path} has "{BEGIN}" without its end; remove the block by hand')
        rest = text[end + len(END) :].removeprefix("\n")
        before = text[:begin]
        text = (before[:-1] if before.endswith("\n\n") else before) + rest
    return text


def _write(client: Client, block: str, note: str, console: Console) -> int:
    path = _path(client)
    target = find_target(path, _home())
    old = _read(target)
    if path.endswith(".json"):
        return _write_members(path, target, old, block, note, console)
    kept = _without_blocks(old or "", path)
    if client.needs_new and kept.strip():
        raise ConfigError(
            f"{path} already has settings that the block cannot be combined with; {PASTE}"
        )
    if has_already(path, kept, block):
        console.line(f"{path} already has these settings; nothing was written")
        if note:
            console.line(note)
        return 0
    gap = "" if not kept else "\n" if kept.endswith("\n") else "\n\n"
    result = f"{kept}{gap}{BEGIN}\n{block.rstrip()}\n{END}\n"
    refuse_clash(path, kept, block, result)
    _save(target, result, old)
    console.line(f"wrote {target}{_kept_where(target, old)}")
    if note:
        console.line(note)
    return 0


def _write_members(
    path: str, target: str, old: str | None, block: str, note: str, console: Console
) -> int:
    result = with_members(path, old or "", block)
    if result == old:
        console.line(f"{path} already has these settings; nothing was written")
    else:
        _save(target, result, old)
        console.line(f"wrote {target}{_kept_where(target, old)}")
    console.line(note)
    return 0


def _undo_members(path: str, target: str, old: str | None, console: Console) -> int:
    kept = without_members(path, old or "")
    if kept is None:
        console.line(f"{target} does not contain any settings of airelays")
    elif kept or target != path:
        _save(target, kept or "{}\n", old)
        console.line(f"removed the settings from {target}{_kept_where(target, old)}")
    else:
        remove_outside(target)
        console.line(f"removed {target}, which contained nothing but these settings")
    return 0


def _undo(client: Client, console: Console) -> int:
    path = _path(client)
    target = find_target(path, _home())
    old = _read(target)
    if path.endswith(".json"):
        return _undo_members(path, target, old, console)
    if old is None or BEGIN not in old:
        console.line(f"{target} does not contain any settings of airelays")
        return 0
    kept = _without_blocks(old, path)
    if kept.strip() or target != path:
        # The target of a link does not belong to us, and without it the link would be broken.
        refuse_broken(path, old, kept)
        _save(target, kept, old)
        said = _kept_where(target, old)
    else:
        remove_outside(target)
        said = "; the file contained nothing else and was removed"
    console.line(f"removed the block from {target}{said}")
    return 0


def _kept_where(target: str, old: str | None) -> str:
    return f"; the previous file is {_backup(target)}" if old else ""


def _backup(target: str) -> str:
    return f"{target}.airelays.bak"


def _save(target: str, text: str, old: str | None) -> None:
    """Replace the file in one step, and keep the previous one next to it."""
    if old:
        write_outside(_backup(target), old.encode(), most=0o600)
    write_outside(target, text.encode(), folder_mode=0o755)
