"""The table of commands. Layer: commands.

A new command is one module with `run(args, console) -> exit code` and one `Command` here, which names it as text.
"""

from __future__ import annotations

from airelays.commands.programs import PROGRAMS
from airelays.commands.services import LISTEN, SERVICES
from airelays.terminal.arguments import JSON, Command, Flag

GLOBAL_FLAGS = (
    Flag("--config", "Config file to read or write.", "PATH", env="AIRELAYS_CONFIG"),
    Flag("--help", "Show help and exit.", short="-h"),
    Flag("--no-pager", "Show help and documentation without a pager, as AIRELAYS_PAGER=cat does."),
    Flag("--version", "Print the version and exit.", short="-V"),
)
FOR_SYSTEM = Flag("--system", "Act for the machine-wide relay, as its user; needs root.")
# The commands that take FOR_SYSTEM. `config set` is not among them: root writes that file itself.
ACT_FOR_SYSTEM = frozenset({
    *("login", "logout", "status", "models", "usage", "usage reset", "doctor"),
    *("token show", "token rotate"),
    *("key create", "key list", "key rotate", "key revoke", "config show", "config check"),
    *("logs", "logs prune", "explain", "unblock", "reload", "stop"),
    *("storage", "storage check", "storage prune"),
})  # fmt: skip
URL = Flag("--url", "Ask the relay at this base URL instead, with the relay token.", "URL")

_ALL = (
    Command(
        "serve",
        "Run the relay.",
        "serve:run",
        "Listens until it is stopped. SIGTERM or Ctrl-C lets running answers finish for "
        "server.drain_seconds; a second one ends at once. Exit 75 when another relay uses the data folder.",
        (
            Flag(
                "--ready-file",
                "Write pid, port and url there as JSON once the relay listens.",
                "PATH",
            ),
            LISTEN,
        ),
    ),
    Command(
        "open",
        "Open the page of the relay that runs, signed in.",
        "open:run",
        "Opens it in the browser of this machine with a code that works once, within 60 s, and ends when the page is "
        "signed in. The address is printed when there is no browser, or when it has not used the code after 10 s.",
        (Flag("--print", "Only print the address, for a browser elsewhere."),),
    ),
    Command(
        "ask",
        "Ask one question and print the answer as it comes.",
        "ask:run",
        "Asks the relay that runs; with --demo or --upstream this process does it, and nothing is kept. What standard "
        "input holds is added to the question. Exit 1 with the error when there is no answer, or not the whole.",
        (Flag("--model", "Ask this model; without it the first of the relay.", "MODEL", "-m"), URL),
        "[QUESTION ...]",
        1000,
    ),
    Command(
        "init",
        "Write the config file and make the relay token.",
        "init:run",
        "Keeps what is there: the config file is written again only with --force (the previous one stays "
        "as config.toml.bak), and an existing token is kept and not shown.",
        (
            JSON,
            Flag(
                "--force",
                "Write the config file again, with the values it has and the flags given.",
            ),
            Flag("--show-token", "Show the token although it was there before."),
            Flag(
                "--find",
                "Look for Ollama, LM Studio, llama.cpp, vLLM, SGLang and Jan at their usual ports of 127.0.0.1; a "
                "new config file gets those found.",
            ),
        ),
    ),
    Command(
        "login",
        "Sign in to ChatGPT.",
        "login:run",
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
        "logout:run",
        "Removed even when the issuer cannot be asked.",
        (JSON,),
    ),
    Command(
        "status",
        "Show the relay that runs, its options, relay token and sign-in; asks no upstream.",
        "status:run",
        "Exit 3 when no relay runs on the data folder; then what one would start with is shown.",
        (JSON, URL),
    ),
    Command(
        "models",
        "List the models that clients may ask for.",
        "models:run",
        "Asks the relay that runs. Without one the upstreams are asked from here.",
        (JSON, URL),
    ),
    Command(
        "usage",
        "Show how much of the subscription's windows is used, and what requests used.",
        "usage:run",
        "Below the windows is the book: requests and tokens by UTC day, also of days whose log is deleted. With --by, "
        "--since, --until or --csv it shows the book alone and contacts no upstream. Prices in [prices] add the cost.",
        (
            JSON,
            URL,
            Flag("--raw", "With --json: add what the upstream sent."),
            Flag(
                "--by",
                "Add up by these: day, key, model, upstream, program, route, session. Default day.",
                "COLUMN[,COLUMN]",
            ),
            Flag("--since", "First day, or a number of days such as 30d. Default 7d.", "DAY"),
            Flag("--until", "Last day. Default today.", "DAY"),
            Flag("--csv", "Print the book as CSV."),
            Flag("--rebuild", "Make the book again from the logs that are left; no relay may run."),
        ),
    ),
    Command(
        "usage reset",
        "Redeem an earned reset of the subscription's windows.",
        "resets:run",
        "Shows the resets that the upstream has for you and asks before it redeems one, which cannot be undone. Exit 1 "
        "when no reset was applied.",
        (
            JSON,
            URL,
            Flag("--yes", "Redeem without a question.", short="-y"),
            Flag("--credit", "Redeem this reset. Default: the upstream chooses.", "ID"),
            Flag(
                "--request-id",
                "Repeat a request whose answer was lost; it redeems no second reset.",
                "ID",
            ),
        ),
    ),
    Command(
        "doctor",
        "Check everything between a client and the upstream, and say what to do.",
        "doctor.command:run",
        "A relay that runs checks its upstreams itself. Exit 1 when a check fails.",
        (
            JSON,
            URL,
            Flag("--ask", "Also ask each upstream for one short answer."),
            Flag("--skip-response", "Of earlier releases: without --ask nobody is asked anyway."),
            Flag("--egress", "Only list every place that the relay may connect to."),
            Flag("--self-test", "Check this copy of the program itself, without a network."),
        ),
    ),
    Command(
        "token show",
        "Show the relay token.",
        "token:run_show",
        "On a terminal with everything a client needs; elsewhere the bare token, for $(airelays token show).",
        (JSON,),
    ),
    Command(
        "token rotate",
        "Make a new relay token; the old one stops at once.",
        "token:run_rotate",
        "A running relay notices. The sign-in upstream is not touched.",
        (JSON,),
    ),
    Command(
        "config show",
        "Show every option as it is in effect.",
        "config:run_show",
        "Values that may hold a secret are shown as ***.",
        (
            JSON,
            Flag("--origin", "Say where each value comes from."),
            Flag("--all", "Print a config file that has every option, with help and default."),
        ),
    ),
    Command(
        "config set",
        "Set one option in the config file.",
        "configure:run_set",
        "The rest of the file stays as it is. Nothing is written unless the file can be used afterwards. A list is "
        "written with commas: one,two.",
        words="KEY VALUE",
        most=2,
    ),
    Command(
        "config edit",
        "Open the config file in an editor and check it before it counts.",
        "configure:run_edit",
        "The editor is the one in VISUAL or EDITOR. What was typed is kept beside "
        "the file when it cannot be used.",
    ),
    Command(
        "config check",
        "Check file, environment and flags; exit 1 if the relay would not start with them.",
        "config:run_check",
        "Warns of what would only make requests fail: certificates, keys, fallbacks that are not there.",
        flags=(JSON,),
    ),
    Command("config path", "Print where the config file is.", "config:run_path"),
    Command(
        "connect",
        "Show, write or take back the settings of a client program.",
        "connect.command:run",
        "Without CLIENT: lists the known ones. The token's value is never written: settings name the command "
        "that prints it, or a variable.",
        (
            Flag("--write", "Put the settings into the client's file; the previous one is kept."),
            Flag("--undo", "Take out what --write put in."),
            Flag("--model", "Name this model, not the one that the relay says.", "MODEL", "-m"),
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
    Command(
        "logs",
        "List the last requests, and where the traffic log is; -f shows requests live.",
        "logs:run",
        "Times are local. A retention given here is saved beside the log and wins over the config file, also for a "
        "relay that runs. With --follow --json the records themselves are printed, one per line.",
        (
            JSON,
            Flag("--follow", "Show requests as they end, until Ctrl-C.", short="-f"),
            Flag("--lines", "Requests to list, or to begin with. Default 10.", "NUMBER", "-n"),
            Flag("--failed", "Only requests that were refused or failed."),
            Flag(
                "--retention-days", "Save: days to keep files; 0 keeps them at any age.", "NUMBER"
            ),
            Flag("--max-total-mb", "Save: MiB to keep in all.", "NUMBER"),
            Flag("--max-file-mb", "Save: MiB after which a new file begins.", "NUMBER"),
            Flag("--reset", "Forget the saved policy; the config counts again."),
        ),
    ),
    Command(
        "logs prune",
        "Remove now what the retention no longer keeps.",
        "logs:run_prune",
        flags=(JSON, Flag("--dry-run", "Only say what would be removed.")),
    ),
    Command(
        "explain",
        "Show one request as a timeline, and where and why it ended.",
        "explain:run",
        "Without an id, the last request that has ended. The id is in the x-request-id header of every answer, also "
        "of one that refuses a request; its first six digits are enough.",
        (
            JSON,
            Flag("--failed", "Explain the last request that was refused or failed."),
            Flag(
                "--session",
                "List the requests of a session instead: of the hash that the log has, or of a client's own id.",
                "ID",
            ),
        ),
        "[REQUEST_ID]",
        1,
    ),
    Command(
        "unblock",
        "Lift the block of an address after failed attempts, or of all.",
        "control:run_unblock",
        "Works on the machine of the relay, also when the operator's own address is the blocked one.",
        (JSON,),
        "[IP]",
        1,
    ),
    Command(
        "reload",
        "Have the running relay read its settings again.",
        "control:run_reload",
        "Nothing running is cut. A file that cannot be used changes nothing, and is the error. Says what was taken "
        "over and what takes a restart.",
        (JSON,),
    ),
    Command(
        "stop",
        "Stop the running relay and wait until it has ended.",
        "control:run_stop",
        "Running answers get server.drain_seconds, as after SIGTERM.",
        (JSON,),
    ),
    Command(
        "storage",
        "Show what is stored: files, conversations, answers.",
        "storage:run_show",
        flags=(JSON,),
    ),
    Command(
        "storage check",
        "Compare every stored row with its bytes; exit 1 when something is wrong.",
        "storage:run_check",
        "Without a running relay the leftovers of a crash are swept first, as at the relay's start.",
        (JSON,),
    ),
    Command(
        "storage prune",
        "Delete what has expired and give the space back.",
        "storage:run_prune",
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
        "docs:run",
        words="[TOPIC]",
        most=1,
    ),
    *SERVICES,
    Command(
        "migrate",
        "Take over config, token, sign-in, files and conversations of an earlier AIRelays.",
        "migrate.command:run",
        "Looks in the folders of earlier releases. Keeps what is there already; run again, it changes nothing. "
        "Exit 1 when a part could not be taken over; the others are. Stop the earlier program first.",
        (
            JSON,
            Flag("--from", "Data folder of the earlier program.", "PATH"),
            Flag("--from-config", "Config file of the earlier program.", "PATH"),
            Flag(
                "--clean",
                "Only take keys that have no effect here out of the config file; the previous one is kept.",
            ),
            Flag("--dry-run", "Only say what would be done."),
        ),
    ),
    Command(
        "egress",
        "List every place that the relay may connect to with these options.",
        "egress:run",
        flags=(JSON,),
        hidden=True,
    ),
    Command(
        "completion",
        "Print the completions for a shell: bash, zsh, fish or powershell.",
        "completion:run",
        words="SHELL",
        most=1,
    ),
    Command("manpage", "Print the manual page, for man(1).", "manpage:run"),
    Command(
        "version",
        "Show the version and what the program runs on; check files of a release.",
        "version:run",
        "With --verify the file must lie beside SHA256SUMS and SHA256SUMS.sig of its release, or be SHA256SUMS: "
        "then everything listed that lies beside it is checked. Exit 1 when something is not as signed.",
        (
            JSON,
            Flag("--digests", "Show the digests of this copy that stand in SHA256SUMS."),
            Flag(
                "--verify", "Check the signature of SHA256SUMS with ssh-keygen, then FILE.", "FILE"
            ),
            Flag(
                "--signers",
                "With --verify: accept the keys in this file of allowed signers, not those in this copy.",
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
# Names of earlier releases, which are not listed: the first word, and what it stands for.
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
