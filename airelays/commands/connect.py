"""`connect`: how a client program is pointed at the relay; written and taken back where that is safe.

Layer: commands.
"""

from __future__ import annotations

import os

from airelays.commands.client import REVEAL
from airelays.commands.clientfile import PASTE, has_already, refuse_clash
from airelays.commands.console import Console
from airelays.commands.context import find_context
from airelays.commands.snippets import CLIENTS, Client
from airelays.commands.table import Arguments
from airelays.disk.secretfile import write_private
from airelays.errors import ConfigError, FlagError
from airelays.settings import Settings

__all__ = ["run"]

BEGIN = "# >>> airelays connect >>>"
END = "# <<< airelays connect <<<"
MAX_FILE_BYTES = 4 * 1024 * 1024


def run(args: Arguments, console: Console) -> int:
    """Print the settings of a client; with --write put them into its file, with --undo take them out."""
    ways = [flag for flag in ("--write", "--undo") if args.has(flag)]
    if len(ways) > 1:
        raise FlagError("--write and --undo are opposites; give one of them")
    if ways and not args.words:
        raise FlagError(f"{ways[0]} needs a client: airelays connect CLIENT {ways[0]}")
    settings = find_context(args, console).settings
    if not args.words:
        _list(console)
        return 0
    name = args.words[0]
    client = CLIENTS.get(name)
    if client is None:
        raise FlagError(f'there is no client "{name}"; known are {", ".join(CLIENTS)}')
    if args.has("--undo"):
        return _undo(client, console)
    text = _filled(client.text, settings)
    if args.has("--write"):
        return _write(client, text, _filled(client.note, settings), console)
    console.title(client.title)
    if client.path:
        console.line(f"Into ~/{client.path} (or: airelays connect {name} --write):")
    console.line()
    console.line(text.rstrip("\n"))
    if client.note:
        console.line()
        console.line(_filled(client.note, settings))
    return 0


def _list(console: Console) -> None:
    console.title("Connect")
    console.line("airelays connect CLIENT prints its settings. Known clients:")
    for name, client in CLIENTS.items():
        console.field(name, client.title)


def _filled(text: str, settings: Settings) -> str:
    needs_token = settings.require_bearer_auth
    model = {"demo": "demo", "chatgpt": "gpt-5.5"}.get(settings.upstream_kind, "MODEL")
    return text.format(
        base=settings.base_url,
        key=f"$({REVEAL})" if needs_token else "unused",
        key_command=REVEAL if needs_token else "any word",
        model=model,
    )


def _path(client: Client) -> str:
    if not client.path:
        raise ConfigError(
            f"{client.title} keeps its settings where no file can be edited safely; "
            "run the command without --write and paste what it prints"
        )
    return os.path.join(os.path.expanduser("~"), client.path)


def _read(path: str) -> str | None:
    try:
        with open(path, "rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if len(data) > MAX_FILE_BYTES:
            raise ConfigError(f"{path} is larger than {MAX_FILE_BYTES:,} bytes; it is left alone")
        return data.decode("utf-8")
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        raise ConfigError(f"{path} is not UTF-8 text; it is left alone") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from error


def _without_block(text: str, path: str) -> str:
    """Return `text` without the block of an earlier --write."""
    begin = text.find(BEGIN)
    if begin < 0:
        return text
    end = text.find(END, begin)
    if end < 0:
        raise ConfigError(f'{path} has "{BEGIN}" without its end; take the block out by hand')
    rest = text[end + len(END) :].removeprefix("\n")
    before = text[:begin]
    return (before[:-1] if before.endswith("\n\n") else before) + rest


def _write(client: Client, block: str, note: str, console: Console) -> int:
    path = _path(client)
    old = _read(path)
    kept = _without_block(old or "", path)
    if client.needs_new and kept.strip():
        raise ConfigError(
            f"{path} has settings of its own, and the block cannot stand beside them; {PASTE}"
        )
    if has_already(path, kept, block):
        console.line(f"{path} has these settings already; nothing was written")
        if note:
            console.line(note)
        return 0
    gap = "" if not kept else "\n" if kept.endswith("\n") else "\n\n"
    result = f"{kept}{gap}{BEGIN}\n{block.rstrip()}\n{END}\n"
    refuse_clash(path, kept, block, result)
    _save(path, result, old)
    console.line(f"wrote {path}" + (f"; the previous file is {path}.airelays.bak" if old else ""))
    if note:
        console.line(note)
    return 0


def _undo(client: Client, console: Console) -> int:
    path = _path(client)
    old = _read(path)
    if old is None or BEGIN not in old:
        console.line(f"{path} holds nothing of airelays")
        return 0
    kept = _without_block(old, path)
    if kept.strip():
        _save(path, kept, old)
    else:
        os.unlink(path)
    console.line(f"took the block out of {path}")
    return 0


def _save(path: str, text: str, old: str | None) -> None:
    """Replace the file in one step; what was there stays beside it."""
    if os.path.islink(path):
        path = os.path.realpath(path)  # dotfiles are often links into a repository: the link stays
    if old is not None:
        write_private(f"{path}.airelays.bak", old.encode())
    try:
        mode = os.stat(path).st_mode & 0o777 if old is not None else 0o600
        os.makedirs(os.path.dirname(path), exist_ok=True)
        write_private(path, text.encode())
        os.chmod(path, mode)
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be written: {error.strerror}; look at {error.filename or path}, or edit the "
            "file by hand"
        ) from error
