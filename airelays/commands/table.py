"""The table of commands. Layer: commands.

A new command is one module with `run(args, console) -> exit code` and one `Command` here, which names it as text.
"""

from __future__ import annotations

from airelays.commands.programs import PROGRAMS
from airelays.commands.requests import REQUESTS
from airelays.commands.services import LISTEN, SERVICES
from airelays.terminal.arguments import JSON, Command, Flag

GLOBAL_FLAGS = (
    Flag("--config", "Use this config file.", "PATH", env="AIRELAYS_CONFIG"),
    Flag("--help", "Show help and exit.", short="-h"),
    Flag("--no-pager", "Show help and documentation without a pager, like AIRELAYS_PAGER=cat."),
    Flag("--version", "Print the version and exit.", short="-V"),
)
FOR_SYSTEM = Flag("--system", "Act for the machine-wide relay, as its user. Requires root.")
# The commands that take FOR_SYSTEM. `config set` is not among them: root writes that file itself.
ACT_FOR_SYSTEM = frozenset({
    *("login", "logout", "status", "models", "usage", "usage reset", "doctor"),
    *("token show", "token rotate"),
    *("key create", "key list", "key rotate", "key revoke", "config show", "config check"),
    *("logs", "logs prune", "explain", "unblock", "reload", "stop"),
    *("storage", "storage check", "storage prune"),
})  # fmt: skip
URL = Flag("--url", "Ask the relay at this base URL instead. The relay token is sent there.", "URL")

_ALL = (
    Command(
        "serve",
        "Run the relay.",
        "serve:run",
        "Runs until you stop it. SIGTERM or Ctrl-C gives running requests server.drain_seconds to finish; "
        "a second one stops at once. Exits with 75 if another relay uses the data folder.",
        (
            Flag(
                "--ready-file",
                "Write pid, port and url to this file as JSON once the relay is listening.",
                "PATH",
            ),
            LISTEN,
        ),
    ),
    Command(
        "open",
        "Open the relay's page in your browser, signed in.",
        "open:run",
        "Opens the browser on this machine with a code that works once, within 60 s, and ends when the page "
        "is signed in. Prints the address if there is no browser or if the browser has not used the code "
        "after 10 s.",
        (Flag("--print", "Only print the address, for a browser elsewhere."),),
    ),
    Command(
        "ask",
        "Ask one question and print the answer as it arrives.",
        "ask:run",
        "Asks the running relay. With --demo or --upstream, no relay is needed and nothing is stored. "
        "Text on standard input is added to the question. If the answer is missing or incomplete, prints "
        "the error and exits with 1.",
        (
            Flag(
                "--model", "Model to ask. Default: the first that the relay lists.", "MODEL", "-m"
            ),
            URL,
        ),
        "[QUESTION ...]",
        1000,
    ),
    Command(
        "init",
        "Write the config file and create the relay token.",
        "init:run",
        "Keeps what exists. The config file is replaced only with --force, and the previous one is saved "
        "as config.toml.bak. An existing token is kept and not shown.",
        (
            JSON,
            Flag(
                "--force",
                "Replace the config file. Its values are kept, and those of the flags are added.",
            ),
            Flag("--show-token", "Show the token even if it already existed."),
            Flag(
                "--find",
                "Look for Ollama, LM Studio, llama.cpp, vLLM, SGLang and Jan on their usual ports of 127.0.0.1, "
                "and add those found to a new config file.",
            ),
        ),
    ),
    Command(
        "login",
        "Sign in to ChatGPT.",
        "login:run",
        "Prints an address to open in a browser, and opens it automatically only if auth.browser_open is "
        "set. Without a display or over SSH, a device code is used. auth.storage sets where the sign-in "
        "is stored.",
        (
            JSON,
            Flag("--device", "Confirm a code on another device."),
            Flag("--browser", "Use a browser on this machine, even over SSH."),
            Flag(
                "--paste",
                "Use a browser on another machine, and paste the address that it ends on.",
            ),
            Flag("--no-browser", "Do not open the browser, even if auth.browser_open is set."),
            Flag("--workspace-id", "Accept only a sign-in to this workspace.", "ID"),
            Flag("--callback-port", "Port to wait for the browser on; 0 picks a free one.", "PORT"),
        ),
    ),
    Command(
        "logout",
        "Revoke the sign-in and remove it from this machine.",
        "logout:run",
        "The sign-in is removed from this machine even if the sign-in service cannot be reached.",
        (JSON,),
    ),
    Command(
        "status",
        "Show the running relay, its options, relay token and sign-in.",
        "status:run",
        "Does not contact the upstream. If no relay is running, shows what it would start with and exits "
        "with 3.",
        (JSON, URL),
    ),
    Command(
        "models",
        "List the models that clients can use.",
        "models:run",
        "Asks the running relay. If none is running, asks the upstreams directly.",
        (JSON, URL),
    ),
    Command(
        "usage",
        "Show how much of your subscription and how many tokens were used.",
        "usage:run",
        "Shows the subscription's windows, then requests and tokens per UTC day, including days whose "
        "logs were deleted. With --by, --since, --until or --csv, shows only the latter and does not "
        "contact the upstream. Set [prices] to add the cost.",
        (
            JSON,
            URL,
            Flag("--raw", "With --json: include what the upstream sent."),
            Flag(
                "--by",
                "Group by day, key, model, upstream, program, route or session. Default day.",
                "COLUMN[,COLUMN]",
            ),
            Flag(
                "--since",
                "First day, such as 2026-05-31, or a number of days, such as 30d. Default 7d.",
                "DAY",
            ),
            Flag("--until", "Last day. Default today.", "DAY"),
            Flag("--csv", "Print the book as CSV."),
            Flag(
                "--rebuild",
                "Rebuild the usage figures from the logs that are left. Stop the relay first.",
            ),
        ),
    ),
    Command(
        "usage reset",
        "Redeem an earned reset of the subscription's windows.",
        "resets:run",
        "Shows the resets that you have earned and asks before it redeems one. That cannot be undone. "
        "Exits with 1 if no reset was applied.",
        (
            JSON,
            URL,
            Flag("--yes", "Redeem without asking.", short="-y"),
            Flag("--credit", "Reset to redeem. Default: the upstream chooses.", "ID"),
            Flag(
                "--request-id",
                "Repeat a request whose answer was lost, without redeeming a second reset.",
                "ID",
            ),
        ),
    ),
    Command(
        "doctor",
        "Check everything between a client and the upstream, and explain how to fix problems.",
        "doctor.command:run",
        "A running relay checks its upstreams itself. Exits with 1 if a check fails.",
        (
            JSON,
            URL,
            Flag("--ask", "Also request one short answer from each upstream."),
            Flag("--skip-response", "Has no effect; accepted because earlier releases had it."),
            Flag("--egress", "Only list the destinations that the relay can connect to."),
            Flag("--self-test", "Only check this copy of the program. Does not use the network."),
        ),
    ),
    Command(
        "token show",
        "Show the relay token.",
        "token:run_show",
        "On a terminal, also shows what else a client needs. Otherwise prints only the token, as in "
        "$(airelays token show).",
        (JSON,),
    ),
    Command(
        "token rotate",
        "Create a new relay token. The old one stops working at once.",
        "token:run_rotate",
        "A running relay uses the new token from the next request on. The sign-in stays as it is.",
        (JSON,),
    ),
    Command(
        "config show",
        "Show the value that is in effect for every option.",
        "config:run_show",
        "Values that can contain a secret are shown as ***.",
        (
            JSON,
            Flag("--origin", "Show where each value comes from."),
            Flag("--all", "Print a config file with every option, its help and its default."),
        ),
    ),
    Command(
        "config set",
        "Set one option in the config file.",
        "configure:run_set",
        "The rest of the file stays as it is. If the result is not valid, nothing is written. Separate "
        "the items of a list with commas: one,two.",
        words="KEY VALUE",
        most=2,
    ),
    Command(
        "config edit",
        "Edit the config file, and check it before it is saved.",
        "configure:run_edit",
        "Opens the editor named in VISUAL or EDITOR. If the result is not valid, the file stays as it is, "
        "and your edits are saved next to it.",
    ),
    Command(
        "config check",
        "Check the config file, the environment and the flags.",
        "config:run_check",
        "Exits with 1 if the relay would not start with them. Warns about problems that would only make "
        "requests fail, such as certificates, keys or fallbacks that do not exist.",
        flags=(JSON,),
    ),
    Command("config path", "Print the path of the config file.", "config:run_path"),
    Command(
        "connect",
        "Show, write or remove the settings that connect a client program.",
        "connect.command:run",
        "Without CLIENT, lists the known clients. The token is never written into the settings; they name "
        "a command that prints it or an environment variable.",
        (
            Flag("--write", "Add the settings to the client's file. The previous file is kept."),
            Flag("--undo", "Remove what --write added."),
            Flag(
                "--model",
                "Model to put into the settings. Default: the first that the relay lists.",
                "MODEL",
                "-m",
            ),
            URL,
        ),
        words="[CLIENT]",
        most=1,
    ),
    Command(
        "quirks",
        "List the adaptations that the relay makes for clients.",
        "quirks:run",
        flags=(JSON,),
        hidden=True,
    ),
    *PROGRAMS,
    *REQUESTS,
    Command(
        "unblock",
        "Unblock an address that had too many failed attempts, or all addresses.",
        "control:run_unblock",
        "Run it on the machine of the relay. It works even if your own address is blocked.",
        (JSON,),
        "[IP]",
        1,
    ),
    Command(
        "reload",
        "Reload the settings of the running relay.",
        "control:run_reload",
        "Running requests are not interrupted. Lists what changed and what requires a restart. If the "
        "config file is not valid, prints the error and changes nothing.",
        (JSON,),
    ),
    Command(
        "stop",
        "Stop the running relay, and wait until it has ended.",
        "control:run_stop",
        "Running requests get server.drain_seconds to finish, as after SIGTERM.",
        (JSON,),
    ),
    Command(
        "storage",
        "Show what is stored: files, conversations and answers.",
        "storage:run_show",
        flags=(JSON,),
    ),
    Command(
        "storage check",
        "Check that everything stored is complete. Exits with 1 if something is wrong.",
        "storage:run_check",
        "Compares every stored row with its bytes. If no relay is running, first removes what a crash "
        "left behind, as the relay does at startup.",
        (JSON,),
    ),
    Command(
        "storage prune",
        "Delete what has expired, and free the space.",
        "storage:run_prune",
        "Deletes files past their expires_after or without bytes, and answers past "
        "storage.responses_retention_days. You can run it while the relay is running.",
        (
            JSON,
            Flag(
                "--older-than",
                "Also delete all files, conversations and answers older than this.",
                "DAYS",
            ),
        ),
    ),
    Command(
        "docs",
        "List the pages of the documentation, or show one.",
        "docs:run",
        words="[TOPIC]",
        most=1,
    ),
    *SERVICES,
    Command(
        "migrate",
        "Import the config, token, sign-in, files and conversations of an earlier AIRelays.",
        "migrate.command:run",
        "Stop the earlier program first. Looks in the folders of earlier releases, and keeps what already "
        "exists. Running it again changes nothing. If a part cannot be imported, imports the others and "
        "exits with 1.",
        (
            JSON,
            Flag("--from", "Data folder of the earlier program.", "PATH"),
            Flag("--from-config", "Config file of the earlier program.", "PATH"),
            Flag(
                "--clean",
                "Only remove keys that have no effect here from the config file. The previous file is kept.",
            ),
            Flag("--dry-run", "Only show what would be done."),
        ),
    ),
    Command(
        "egress",
        "List the destinations that the relay can connect to with these options.",
        "egress:run",
        flags=(JSON,),
        hidden=True,
    ),
    Command(
        "completion",
        "Print the completion script for bash, zsh, fish or powershell.",
        "completion:run",
        words="SHELL",
        most=1,
    ),
    Command("manpage", "Print the manual page, for man(1).", "manpage:run"),
    Command(
        "version",
        "Show the version and the platform, or check the files of a release.",
        "version:run",
        "With --verify, FILE must be in the same folder as SHA256SUMS and SHA256SUMS.sig of its release. "
        "If FILE is SHA256SUMS, every listed file in that folder is checked. Exits with 1 if something "
        "does not match.",
        (
            JSON,
            Flag("--digests", "Show the digests of this copy, to compare with SHA256SUMS."),
            Flag(
                "--verify", "Check the signature of SHA256SUMS with ssh-keygen, then FILE.", "FILE"
            ),
            Flag(
                "--signers",
                "With --verify: trust the keys in this file of allowed signers instead of those in this copy.",
                "FILE",
            ),
        ),
    ),
)
COMMANDS = tuple(
    command._replace(flags=(*command.flags, FOR_SYSTEM))
    if command.name in ACT_FOR_SYSTEM
    else command
    for command in _ALL
)
SHOWN = tuple(command for command in COMMANDS if not command.hidden)
# Names of earlier releases, which are not listed: the first word, and its replacement.
ALIASES = {"selfcheck": ("version", "--digests")}
# What people type who know other programs, and the command that does it here.
MEANT = {
    "start": "serve",
    "up": "serve",
    "server": "serve",
    "ps": "status",
    "info": "status",
    "list": "models",
    "ls": "models",
    "chat": "ask",
    "prompt": "ask",
    "quit": "stop",
    "kill": "stop",
    "restart": "reload",
    "upgrade": "docs getting-started",
    "update": "docs getting-started",
    "signin": "login",
    "signout": "logout",
    "auth": "login",
    "setup": "init",
    "install": "service install",
    "tail": "logs -f",
    "man": "docs",
}
