"""The commands of the table that are about running in the background. Layer: commands."""

from __future__ import annotations

from airelays.terminal.arguments import Command, Flag

SYSTEM = Flag("--system", "For the whole machine; needs an administrator.")
KIND = Flag("--kind", "systemd, launchd or windows; without it, what this system has.", "KIND")
PROGRAM = Flag("--program", "Path of the program to name instead of this one.", "PATH")
LISTEN = Flag(
    "--listen",
    "Listen there too; with key=NAME open to every program on this machine, within what that key may do. "
    "Can be given several times.",
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
        "Writes the file that `service print` shows and starts or restarts the service. The flags of `serve` go into "
        "the file; what the environment says does not. Done when the relay of the service has answered.",
        (SYSTEM, PROGRAM, LISTEN, SOCKET, Flag("--no-start", "Only write the file.")),
    ),
    Command(
        "service uninstall",
        "Stop that service and remove its file.",
        "service.command:run_uninstall",
        flags=(SYSTEM,),
    ),
    Command(
        "service status",
        "Show whether the service is installed and runs.",
        "service.command:run_status",
        "Exit 1 when it does not run.",
        (SYSTEM,),
    ),
    Command(
        "service print",
        "Print the file that `service install` would write.",
        "service.command:run_print",
        flags=(SYSTEM, KIND, PROGRAM, LISTEN, SOCKET),
    ),
)
