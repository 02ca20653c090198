"""The commands of the table that are about running in the background. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import Command, Flag

SYSTEM = Flag("--system", "For the whole machine; requires root.")
KIND = Flag(
    "--kind",
    "Kind of service file: systemd, launchd or windows. Default: the one of this system.",
    "KIND",
)
PROGRAM = Flag("--program", "Path of the program to run instead of this one.", "PATH")
LISTEN = Flag(
    "--listen",
    "Listen on this address too. With key=NAME, every program on this machine can use it, within the limits "
    "of that key. Repeatable.",
    "HOST:PORT[,key=NAME]",
    repeats=True,
)
SOCKET = Flag(
    "--socket",
    "Let systemd open the addresses, so that no client is refused while the relay restarts.",
)
SERVICES = (
    Command(
        "service install",
        "Run the relay in the background whenever you are logged in.",
        "service.command:run_install",
        "Writes the file that `service print` shows, and starts or restarts the service. The flags of "
        "`serve` are written into the file; environment variables are not. Finishes when the relay of the "
        "service has answered.",
        (SYSTEM, PROGRAM, LISTEN, SOCKET, Flag("--no-start", "Only write the file.")),
    ),
    Command(
        "service uninstall",
        "Stop the service and remove its file.",
        "service.command:run_uninstall",
        flags=(SYSTEM,),
    ),
    Command(
        "service status",
        "Show whether the service is installed and running.",
        "service.command:run_status",
        "Exits with 1 if it is not running.",
        (SYSTEM,),
    ),
    Command(
        "service print",
        "Print the file that `service install` would write.",
        "service.command:run_print",
        flags=(SYSTEM, KIND, PROGRAM, LISTEN, SOCKET),
    ),
)
