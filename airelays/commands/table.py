"""The table of commands, and what the command line is parsed into. Layer: commands.

A new command is one module with `run(args, console) -> exit code`, one loader in `loaders.py` and one `Command` here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from airelays.commands import loaders
from airelays.commands.loaders import Run

__all__ = ["COMMANDS", "GLOBAL_FLAGS", "Arguments", "Command", "Flag"]


class Flag(NamedTuple):
    """A flag of one command that is no option. `value` names its argument; empty: it has none."""

    name: str
    help: str
    value: str = ""
    short: str = ""


class Arguments:
    """The parsed command line: the command's name, its words, the flags as they were given."""

    def __init__(self, command: str, words: tuple[str, ...], flags: dict[str, str]) -> None:
        self.command = command
        self.words = words
        self.flags = flags

    def has(self, flag: str) -> bool:
        """Whether `flag` was given."""
        return flag in self.flags

    def get(self, flag: str) -> str | None:
        """Return the value given with `flag`, or None."""
        return self.flags.get(flag)

    def option_texts(self) -> dict[str, str]:
        """Return the flags that set an option, as attribute -> text, for `config.load`."""
        from airelays.options import OPTIONS

        return {
            option.attribute: option.flag_value or self.flags[option.flag]
            for option in OPTIONS
            if option.flag in self.flags
        }


class Command(NamedTuple):
    """One command. `words` shows its positional arguments; `most` is how many it takes."""

    name: str
    summary: str
    load: Callable[[], Run]
    text: str = ""
    flags: tuple[Flag, ...] = ()
    words: str = ""
    most: int = 0


GLOBAL_FLAGS = (
    Flag("--config", "Config file to read or write.", "PATH"),
    Flag("--help", "Show help and exit.", short="-h"),
    Flag("--version", "Print the version and exit.", short="-V"),
)
JSON = Flag("--json", "Print JSON.")


SYSTEM = Flag("--system", "For the whole machine; needs an administrator.")
KIND = Flag("--kind", "systemd, launchd or windows; without it, what this system has.", "KIND")
PROGRAM = Flag("--program", "Path of the program to name instead of this one.", "PATH")


COMMANDS = (
    Command(
        "serve",
        "Run the relay.",
        loaders.serve,
        "Listens until it is stopped. SIGTERM or Ctrl-C lets running answers finish for "
        "server.drain_seconds; a second one ends at once. Exit 75 when another relay uses the data folder.",
        (
            Flag(
                "--ready-file",
                "Write pid, port and url there as JSON once the relay listens.",
                "PATH",
            ),
        ),
    ),
    Command(
        "init",
        "Write the config file and make the relay token.",
        loaders.init,
        "Keeps what is there: the config file is written again only with --force (the previous one stays "
        "as config.toml.bak), and an existing token is kept and not shown.",
        (
            JSON,
            Flag(
                "--force",
                "Write the config file again, with the values it has and the flags given.",
            ),
            Flag("--show-token", "Show the token although it was there before."),
        ),
    ),
    Command(
        "login",
        "Sign in to ChatGPT.",
        loaders.login,
        "Opens nothing by itself unless auth.browser_open is set; the address is always printed. Without a "
        "display, or over SSH, a device code is used. The sign-in is stored where auth.storage says.",
        (
            JSON,
            Flag("--device", "Type a code on another device."),
            Flag("--browser", "Use a browser on this machine, also over SSH."),
            Flag("--paste", "Use a browser on another machine and paste the address it ends on."),
            Flag("--no-browser", "Do not open the browser, whatever auth.browser_open says."),
            Flag("--workspace-id", "Accept a sign-in to this workspace only.", "ID"),
            Flag("--callback-port", "Wait for the browser on this port (0: any free one).", "PORT"),
        ),
    ),
    Command(
        "logout",
        "Revoke the sign-in and remove it from this machine.",
        loaders.logout,
        "Removed even when the issuer cannot be asked.",
        (JSON,),
    ),
    Command(
        "status",
        "Show options, relay token and sign-in; asks nobody.",
        loaders.status,
        flags=(JSON,),
    ),
    Command(
        "models",
        "List the models that clients may ask for.",
        loaders.models,
        "Asks the upstreams, as GET /v1/models of a running relay does.",
        (JSON,),
    ),
    Command(
        "usage",
        "Show how much of the subscription's windows is used.",
        loaders.usage,
        flags=(JSON, Flag("--raw", "With --json: add what the upstream sent.")),
    ),
    Command(
        "doctor",
        "Check everything between a client and the upstream, and say what to do.",
        loaders.doctor,
        "Exit 1 when a check fails.",
        (
            JSON,
            Flag("--skip-response", "Do not ask for the one tiny answer."),
            Flag("--self-test", "Check this copy of the program itself, without a network."),
        ),
    ),
    Command(
        "token show",
        "Show the relay token.",
        loaders.token_show,
        "On a terminal with everything a client needs; elsewhere the bare token, for $(airelays token show).",
        (JSON,),
    ),
    Command(
        "token rotate",
        "Make a new relay token; the old one stops at once.",
        loaders.token_rotate,
        "A running relay notices. The sign-in upstream is not touched.",
        (JSON,),
    ),
    Command(
        "config show",
        "Show every option as it is in effect.",
        loaders.config_show,
        "Values that may hold a secret are shown as ***.",
        (JSON, Flag("--origin", "Say where each value comes from.")),
    ),
    Command(
        "config check",
        "Check file, environment and flags; exit 1 if the relay would not start with them.",
        loaders.config_check,
        "Warns of what would only make requests fail: certificates, keys, fallbacks that are not there.",
        flags=(JSON,),
    ),
    Command("config path", "Print where the config file is.", loaders.config_path),
    Command(
        "connect",
        "Show, write or take back the settings of a client program.",
        loaders.connect,
        "Without CLIENT: lists the known ones. The token's value is never written: settings name the command "
        "that prints it, or a variable.",
        (
            Flag("--write", "Put the settings into the client's file; the previous one is kept."),
            Flag("--undo", "Take out what --write put in."),
        ),
        words="[CLIENT]",
        most=1,
    ),
    Command(
        "quirks",
        "List the adaptations that the relay makes for clients.",
        loaders.quirks,
        flags=(JSON,),
    ),
    Command(
        "logs",
        "Show where the traffic log is and what is kept of it; -f shows requests live.",
        loaders.logs,
        "A retention given here is saved beside the log and wins over the config file, also for a relay that "
        "runs. With --follow --json the records themselves are printed, one a line.",
        (
            JSON,
            Flag("--follow", "Show requests as they end, until Ctrl-C.", short="-f"),
            Flag("--lines", "With --follow: begin with so many.", "NUMBER", "-n"),
            Flag("--retention-days", "Save: keep files for so many days; 0: any age.", "NUMBER"),
            Flag("--max-total-mb", "Save: keep at most so many MiB.", "NUMBER"),
            Flag("--max-file-mb", "Save: begin a new file after so many MiB.", "NUMBER"),
            Flag("--reset", "Forget the saved policy; the config counts again."),
        ),
    ),
    Command(
        "logs prune",
        "Remove now what the retention no longer keeps.",
        loaders.logs_prune,
        flags=(JSON, Flag("--dry-run", "Only say what would be removed.")),
    ),
    Command(
        "explain",
        "Show one request as a timeline, and where and why it ended.",
        loaders.explain,
        "The id is in the x-request-id header of every answer; the first six digits will do.",
        (JSON,),
        "REQUEST_ID",
        1,
    ),
    Command(
        "unblock",
        "Lift the block of an address after failed attempts, or of all.",
        loaders.unblock,
        "Works on the machine of the relay, also when the operator's own address is the blocked one.",
        (JSON,),
        "[IP]",
        1,
    ),
    Command(
        "storage",
        "Show what is stored: files, conversations, answers.",
        loaders.storage,
        flags=(JSON,),
    ),
    Command(
        "storage check",
        "Compare every stored row with its bytes; exit 1 when something is wrong.",
        loaders.storage_check,
        "Without a running relay the leftovers of a crash are swept first, as at the relay's start.",
        (JSON,),
    ),
    Command(
        "storage prune",
        "Delete what has expired and give the space back.",
        loaders.storage_prune,
        "Always: files past their expires_after or without bytes, answers past "
        "storage.responses_retention_days. Works beside a running relay.",
        (
            JSON,
            Flag(
                "--older-than",
                "Also delete all files, conversations and answers that are so old.",
                "DAYS",
            ),
        ),
    ),
    Command(
        "docs",
        "List the pages of the documentation, or show one.",
        loaders.docs,
        words="[TOPIC]",
        most=1,
    ),
    Command(
        "service install",
        "Run the relay in the background whenever you are logged in.",
        loaders.service_install,
        "Writes the file that `service print` shows, and starts the service. Flags that every command takes go into "
        "the file; what the environment says does not.",
        (SYSTEM, PROGRAM, Flag("--no-start", "Only write the file.")),
    ),
    Command(
        "service uninstall",
        "Stop that service and remove its file.",
        loaders.service_uninstall,
        flags=(SYSTEM,),
    ),
    Command(
        "service status",
        "Show whether the service is installed and runs.",
        loaders.service_status,
        "Exit 1 when it does not run.",
        (SYSTEM,),
    ),
    Command(
        "service print",
        "Print the file that `service install` would write.",
        loaders.service_print,
        flags=(SYSTEM, KIND, PROGRAM),
    ),
    Command(
        "migrate",
        "Take over config, token, sign-in, files and conversations of an earlier AIRelays.",
        loaders.migrate,
        "Looks in the folders of earlier releases. Keeps what is there already; run again, it changes nothing. "
        "Exit 1 when a part could not be taken over; the others are. Stop the earlier program first.",
        (
            JSON,
            Flag("--from", "Data folder of the earlier program.", "PATH"),
            Flag("--from-config", "Config file of the earlier program.", "PATH"),
            Flag("--dry-run", "Only say what would be done."),
        ),
    ),
    Command(
        "egress",
        "List every place that the relay may connect to with these options.",
        loaders.egress,
        flags=(JSON,),
    ),
    Command(
        "selfcheck",
        "Show digests of this copy of the program, and what is inside it.",
        loaders.selfcheck,
        flags=(JSON,),
    ),
    Command(
        "completion",
        "Print the completions for a shell: bash, zsh, fish or powershell.",
        loaders.completion,
        words="SHELL",
        most=1,
    ),
    Command("manpage", "Print the manual page, for man(1).", loaders.manpage),
    Command(
        "version", "Show the version and what the program runs on.", loaders.version, flags=(JSON,)
    ),
)
