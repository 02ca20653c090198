"""The commands of the table that are about running in the background. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import Command, Flag

SYSTEM = Flag(
    "--system",
    "Use the service of the whole machine instead of yours; installing and removing it "
    "requires root.",
)
KIND = Flag("--kind", "systemd, launchd or windows. Default: what this system has.", "KIND")
PROGRAM = Flag(
    "--program", "Path of the program to put into the file. Default: this program.", "PATH"
)
LISTEN = Flag(
    "--listen",
    "Listen on this address too. With key=NAME, every program on this machine can use it, within what that key "
    "can do. Can be given several times.",
    "HOST:PORT[,key=NAME]",
    repeats=True,
)
SOCKET = Flag(
    "--socket",
    "Have systemd open the addresses, so that no client is refused while the relay restarts.",
)
SERVICES = (
    Command(
        "service install",
        "Run the relay in the background whenever you are logged in.",
        "service.command:run_install",
        "Writes the file that `service print` shows, and starts or restarts the service. Flags of `serve` go "
        "into the file; settings from the environment do not. Returns once the service's relay has answered.",
        (
            SYSTEM,
            PROGRAM,
            LISTEN,
            SOCKET,
            Flag("--no-start", "Write the file without starting the service."),
        ),
    ),
    Command(
        "service uninstall",
        "Stop that service and remove its file.",
        "service.command:run_uninstall",
        flags=(SYSTEM,),
    ),
    Command(
        "service status",
        "Show whether the service is installed and running.",
        "service.command:run_status",
        "Exits with 1 if it isn't running.",
        (SYSTEM,),
    ),
    Command(
        "service print",
        "Print the file that `service install` would write.",
        "service.command:run_print",
        flags=(SYSTEM, KIND, PROGRAM, LISTEN, SOCKET),
    ),
)
