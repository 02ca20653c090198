"""`manpage`: the manual page, made from the table of commands. Layer: commands."""

from __future__ import annotations

from airelays import __version__
from airelays.commands.table import SHOWN
from airelays.terminal.arguments import Arguments, Command, Flag
from airelays.terminal.console import Console
from airelays.terminal.line import common_flags, flags_of

_FILES = (
    ("~/.config/airelays/config.toml", "The options; see airelays docs configuration."),
    ("~/.airelays/thinking-key", "Key that signs what clients of Anthropic's API send back."),
    ("~/.airelays/relay-token", "The relay token, readable only by you."),
    ("~/.airelays/auth.json", "The ChatGPT sign-in."),
    ("~/.airelays/state.sqlite3, ~/.airelays/uploads", "Conversations, answers, files."),
    ("~/.airelays/logs", "The traffic log."),
)
_CODES = (
    ("0", "Done."),
    ("1", "The command failed; a message on standard error gives the reason and what to do."),
    ("2", "The command line is not valid."),
    ("75", "Another relay uses the data folder."),
    ("130", "Stopped with Ctrl-C."),
)


def run(args: Arguments, console: Console) -> int:
    """Print the page as troff source: `airelays manpage | man -l -` shows it."""
    console.out.write(manual_page())
    return 0


def manual_page() -> str:
    """Return the source of airelays(1)."""
    common = common_flags()
    lines = [
        f'.TH AIRELAYS 1 "" "AIRelays {__version__}" "User Commands"',
        ".SH NAME",
        "airelays \\- a local OpenAI\\-compatible relay for one person's own upstream login",
        ".SH SYNOPSIS",
        ".B airelays",
        ".I COMMAND",
        "[FLAGS]",
        ".SH DESCRIPTION",
        _text(
            "Serves OpenAI's API to client programs on this machine and passes their requests on to an "
            "upstream: a ChatGPT subscription, any OpenAI-compatible model server, or the built-in demo."
        ),
        ".PP",
        _text("The documentation is part of the program: airelays docs lists the pages."),
        ".SH COMMANDS",
    ]
    for command in SHOWN:
        lines += _command(command, common)
    lines += [".SH COMMON FLAGS", *_flags(sorted(common))]
    lines += _definitions("FILES", _FILES)
    lines += _definitions("EXIT STATUS", _CODES)
    lines += [
        ".SH ENVIRONMENT",
        _text(
            "Most options can be set as AIRELAYS_NAME, and the relay token as AIRELAYS_BEARER_TOKEN. A flag "
            "overrides the environment, and the environment overrides the config file."
        ),
    ]
    return "\n".join(lines) + "\n"


def _command(command: Command, common: set[Flag]) -> list[str]:
    usage = " ".join(filter(None, ["airelays", command.name, command.words, "[FLAGS]"]))
    lines = [f".SS {_text(usage)}", _text(command.summary)]
    if command.text:
        lines += [".PP", _text(command.text)]
    return lines + _flags(sorted(set(flags_of(command)) - common))


def _flags(flags: list[Flag]) -> list[str]:
    lines = []
    for flag in flags:
        name = f"{flag.short}, {flag.name}" if flag.short else flag.name
        value = f" \\fI{_text(flag.value)}\\fR" if flag.value else ""
        env = f" [{flag.env}]" if flag.env else ""
        lines += [".TP", f"\\fB{_text(name)}\\fR{value}", _text(flag.help + env)]
    return lines


def _definitions(title: str, rows: tuple[tuple[str, str], ...]) -> list[str]:
    lines = [f".SH {title}"]
    for name, meaning in rows:
        lines += [".TP", f"\\fB{_text(name)}\\fR", _text(meaning)]
    return lines


def _text(text: str) -> str:
    """Escape for troff: backslash, hyphen-minus, a control character that begins a line."""
    escaped = text.replace("\\", "\\e").replace("-", "\\-").replace("~", "\\(ti")
    return "\\&" + escaped if escaped.startswith((".", "'")) else escaped
