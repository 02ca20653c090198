"""How each command is loaded: by plain imports, which a freezing tool sees. Layer: commands."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airelays.commands.console import Console
    from airelays.commands.table import Arguments

__all__ = ["Run"]

Run = Callable[["Arguments", "Console"], int]


def serve() -> Run:
    """Return `serve`."""
    from airelays.commands import serve

    return serve.run


def init() -> Run:
    """Return `init`."""
    from airelays.commands import init

    return init.run


def token_show() -> Run:
    """Return `token show`."""
    from airelays.commands import token

    return token.run_show


def token_rotate() -> Run:
    """Return `token rotate`."""
    from airelays.commands import token

    return token.run_rotate


def config_show() -> Run:
    """Return `config show`."""
    from airelays.commands import config

    return config.run_show


def config_check() -> Run:
    """Return `config check`."""
    from airelays.commands import config

    return config.run_check


def config_path() -> Run:
    """Return `config path`."""
    from airelays.commands import config

    return config.run_path


def login() -> Run:
    """Return `login`."""
    from airelays.commands import login

    return login.run


def logout() -> Run:
    """Return `logout`."""
    from airelays.commands import logout

    return logout.run


def status() -> Run:
    """Return `status`."""
    from airelays.commands import status

    return status.run


def models() -> Run:
    """Return `models`."""
    from airelays.commands import models

    return models.run


def usage() -> Run:
    """Return `usage`."""
    from airelays.commands import usage

    return usage.run


def doctor() -> Run:
    """Return `doctor`."""
    from airelays.commands import doctor

    return doctor.run


def connect() -> Run:
    """Return `connect`."""
    from airelays.commands import connect

    return connect.run


def quirks() -> Run:
    """Return `quirks`."""
    from airelays.commands import quirks

    return quirks.run


def logs() -> Run:
    """Return `logs`."""
    from airelays.commands import logs

    return logs.run


def logs_prune() -> Run:
    """Return `logs prune`."""
    from airelays.commands import logs

    return logs.run_prune


def explain() -> Run:
    """Return `explain`."""
    from airelays.commands import explain

    return explain.run


def unblock() -> Run:
    """Return `unblock`."""
    from airelays.commands import unblock

    return unblock.run


def storage() -> Run:
    """Return `storage`."""
    from airelays.commands import storage

    return storage.run_show


def storage_check() -> Run:
    """Return `storage check`."""
    from airelays.commands import storage

    return storage.run_check


def storage_prune() -> Run:
    """Return `storage prune`."""
    from airelays.commands import storage

    return storage.run_prune


def docs() -> Run:
    """Return `docs`."""
    from airelays.commands import docs

    return docs.run


def version() -> Run:
    """Return `version`."""
    from airelays.commands import version

    return version.run


def selfcheck() -> Run:
    """Return `selfcheck`."""
    from airelays.commands import selfcheck

    return selfcheck.run


def egress() -> Run:
    """Return `egress`."""
    from airelays.commands import egress

    return egress.run


def migrate() -> Run:
    """Return `migrate`."""
    from airelays.commands import migrate

    return migrate.run


def manpage() -> Run:
    """Return `manpage`."""
    from airelays.commands import manpage

    return manpage.run


def completion() -> Run:
    """Return `completion`."""
    from airelays.commands import completion

    return completion.run


def service_install() -> Run:
    """Return `service install`."""
    from airelays.commands import service

    return service.run_install


def service_uninstall() -> Run:
    """Return `service uninstall`."""
    from airelays.commands import service

    return service.run_uninstall


def service_status() -> Run:
    """Return `service status`."""
    from airelays.commands import service

    return service.run_status


def service_print() -> Run:
    """Return `service print`."""
    from airelays.commands import service

    return service.run_print
