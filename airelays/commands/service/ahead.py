"""Checks before a service file is written: everything that would otherwise fail in the background. Layer: commands."""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from urllib.parse import urlsplit

from airelays.commands.service.live import is_of
from airelays.commands.service.place import SOCKET, Place, home_of, told
from airelays.errors import ConfigError
from airelays.hints import hint, program
from airelays.host.account import NAME, Account, closed_to, environment
from airelays.host.contact import Contact, find
from airelays.net.listener import bind
from airelays.settings.load import check_listener
from airelays.settings.values import Settings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context

# What the sandbox of the machine-wide service hides (ProtectHome=, PrivateTmp=).
HIDDEN = ("/root", "/home", "/run/user", "/tmp", "/var/tmp")
_FREE_PORTS = "/proc/sys/net/ipv4/ip_unprivileged_port_start"


def future_context(args: Arguments, console: Console) -> Context:
    """Return what the service will start with: the config file and the flags, without this environment."""
    env = environment({}) if args.has("--system") else {"HOME": home_of(console.env)}
    context = find_context(args, Console(console.out, console.err, env))
    check_listener(context.settings)
    return context


def find_running(place: Place, settings: Settings) -> Contact | None:
    """Return the relay of this service if it runs. Raises ConfigError if another relay uses the data folder."""
    contact = find(settings.data_dir)
    if contact is None or contact.running is None or is_of(place, contact.running.pid):
        return contact
    raise ConfigError(
        f"another relay (pid {contact.running.pid}), which is not this service, uses {settings.data_dir}; stop "
        f"it first: {hint('stop')}"
    )


def check_ports(
    place: Place, settings: Settings, running: Contact | None, *, by_socket: bool, system: bool
) -> None:
    """Raise ConfigError if the service could not listen on its addresses."""
    if place.socket and told((*place.tool, "is-active", SOCKET))[0] == 0:
        return  # systemd has the ports, and the relay says when they are not those of its settings
    own = () if running is None or running.running is None else running.running.base_urls
    ours = {urlsplit(url).port for url in own}
    for host, port in wanted_ports(settings):
        if port in ours or not port:
            continue
        if system and not by_socket and port < _first_free_port():
            raise ConfigError(
                f"port {port} can be opened only by root, but the service runs as {NAME}; choose a port from "
                "1024 up, or add --socket to have systemd open it"
            )
        try:
            opened = bind(host, port)
        except ConfigError as error:
            cause = error.__cause__
            if not isinstance(cause, OSError) or cause.errno != errno.EADDRINUSE:
                raise
            raise ConfigError(
                f"port {port} on {host} is in use by another program; stop that program, or choose another port: "
                f"{program()} service install{' --system' if system else ''} --port {port % 65535 + 1}"
            ) from error
        for listening in opened:
            listening.close()


def wanted_ports(settings: Settings) -> list[tuple[str, int]]:
    """Return host and port of each listener."""
    return [(settings.host, settings.port), *((one.host, one.port) for one in settings.listeners)]


def _first_free_port() -> int:
    try:
        with open(_FREE_PORTS, encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return 1024


def check_program(files: Sequence[str], account: Account | None) -> None:
    """Raise ConfigError when the machine-wide service could not read its program."""
    for path in files:
        for name in (path, os.path.realpath(path)):
            hidden = next((top for top in HIDDEN if (name + "/").startswith(top + "/")), "")
            if hidden:
                raise ConfigError(
                    f"the machine-wide service cannot read {name}: its sandbox hides {hidden}; move the program "
                    "to another folder, for example /usr/local/bin, or install the package, and give its path "
                    "with --program"
                )
        closed = closed_to(account, path)
        if closed:
            raise ConfigError(
                f"the machine-wide service cannot read {path}: the user {NAME} has no access to {closed}; change "
                "that with chmod, or move the program and give its path with --program"
            )


def check_folders(folders: Sequence[str], account: Account | None) -> None:
    """Raise ConfigError when a folder that was named for the machine-wide service is not its user's."""
    import shlex

    for folder in folders:
        try:
            owner = os.stat(folder).st_uid
        except OSError:
            owner = -1
        if account is None or owner != account.uid:
            word = shlex.quote(folder)
            make = (
                f"chown -R {NAME}: {word}" if owner >= 0 else f"install -d -o {NAME} -m 700 {word}"
            )
            raise ConfigError(
                f"{folder} {'belongs to another user' if owner >= 0 else 'does not exist'}, but the service runs "
                f"as {NAME}; run: {make}"
            )
