"""The system user of the machine-wide relay: its folders, how it is created, how root acts for it. Layer: app.

Root acts for that user only by becoming it, in another process. Everything there is read and written with the rights
of the relay, and nothing that its user has put in the way (a link, another user's file) can make root do more. That
process gets the standard streams and no other descriptor, a new environment, none of root's groups, and no
controlling terminal, through which another process of the same user could type into root's shell.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from airelays.disk.folder import is_root
from airelays.errors import ConfigError

if TYPE_CHECKING:
    from types import FrameType

NAME = "airelays"
DATA_DIR = "/var/lib/airelays"
CONFIG = "/etc/airelays/config.toml"
UNIT = "airelays.service"
# SYS_UID_MAX of Debian, Fedora and Arch: ids from 1000 up belong to people.
LAST_SYSTEM_UID = 999
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# About the terminal, and whether there is a browser; nothing that could contain a secret.
_KEPT = ("TERM", "LANG", "LC_ALL", "LC_CTYPE", "TZ", "NO_COLOR", "COLUMNS", "SSH_CONNECTION")
_MAKE = (
    ("systemd-sysusers", "--inline", f'u {NAME} - "AIRelays" {DATA_DIR}'),
    (
        *("useradd", "--system", "--user-group", "--comment", "AIRelays", "--home-dir", DATA_DIR),
        *("--no-create-home", "--shell", "/usr/sbin/nologin", NAME),
    ),
)


class Account(NamedTuple):
    """The ids of the user."""

    uid: int
    gid: int


def find_account() -> Account | None:
    """Return the user, None if there is none. Raises ConfigError for a person's account."""
    if sys.platform == "win32":
        return None
    import pwd

    try:
        found = pwd.getpwnam(NAME)
    except KeyError:
        return None
    if not 0 < found.pw_uid <= LAST_SYSTEM_UID:
        raise ConfigError(
            f"the user {NAME} has the id {found.pw_uid}, so it is not a system user, but the machine-wide relay "
            "needs that name for its system user; rename the account: usermod --login OTHER airelays"
        )
    return Account(found.pw_uid, found.pw_gid)


def make_account() -> Account:
    """Return the user, created if it is missing. Raises ConfigError if that is not possible."""
    found = find_account()
    if found is not None:
        return found
    import shutil
    import subprocess

    for command in _MAKE:
        if shutil.which(command[0], path=_PATH) is None:
            continue
        done = subprocess.run(
            command,
            env={"PATH": _PATH},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=60,
        )
        found = find_account()
        if done.returncode == 0 and found is not None:
            return found
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        why = said[-1] if said else f"exit code {done.returncode}"
        raise ConfigError(
            f"{command[0]} could not create the user {NAME} ({why}); create it manually"
        )
    raise ConfigError(
        f"cannot create the user {NAME}, because there is neither systemd-sysusers nor useradd; create a system "
        f"user with that name and the home folder {DATA_DIR}, then try again"
    )


def environment(env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a command of the machine-wide relay, with what `env` says about the terminal."""
    kept = {name: env[name] for name in _KEPT if env.get(name)}
    places = {"HOME": DATA_DIR, "AIRELAYS_DATA_DIR": DATA_DIR, "AIRELAYS_CONFIG": CONFIG}
    return {**kept, "PATH": _PATH, "USER": NAME, "LOGNAME": NAME, **places}


def prepare_folder(account: Account, folder: str = DATA_DIR) -> None:
    """As root, check that `folder` belongs to the user; create the default one if it is missing. Raises
    ConfigError."""
    if folder == DATA_DIR and not os.path.lexists(folder):
        os.mkdir(folder, 0o700)  # in /var/lib, which is root's
        os.chown(folder, account.uid, account.gid, follow_symlinks=False)
    try:
        found = os.stat(folder, follow_symlinks=False)
    except OSError as error:
        raise ConfigError(
            f"{folder} cannot be used ({error.strerror}); create it: "
            f"install -d -o {NAME} -g {NAME} -m 700 {folder}"
        ) from error
    if stat.S_ISLNK(found.st_mode):
        way = "use the folder that it leads to"
        if folder == DATA_DIR:
            # Of DynamicUser= in earlier releases; systemd undoes it (systemd.exec(5), StateDirectory=).
            way = "start the service of this release once, which replaces the link with the folder"
        raise ConfigError(f"{folder} is a link to {os.readlink(folder)}; {way}")
    if not stat.S_ISDIR(found.st_mode):
        raise ConfigError(f"{folder} is not a folder; move it away, then try again")
    if found.st_uid != account.uid:
        raise ConfigError(
            f"{folder} belongs to user {found.st_uid}, but the machine-wide relay runs as {NAME} "
            f"({account.uid}); check what is in it, then run: chown -R {NAME}: {folder}"
        )
    if found.st_mode & 0o022:
        raise ConfigError(
            f"{folder} can be changed by users other than {NAME} "
            f"(mode {stat.S_IMODE(found.st_mode):04o}); check what is in it, then run: chmod 700 {folder}"
        )


def closed_to(account: Account | None, path: str) -> str:
    """Return the part of `path` that the user cannot enter or read, by owner and mode; "" if there is none."""
    real = os.path.realpath(path)
    parts = [real]
    while os.path.dirname(parts[-1]) != parts[-1]:
        parts.append(os.path.dirname(parts[-1]))
    for part in reversed(parts):
        try:
            found = os.stat(part)
        except OSError:
            return part
        shift = 0
        if account is not None and found.st_uid == account.uid:
            shift = 6
        elif account is not None and found.st_gid == account.gid:
            shift = 3
        needed = 0o1 if part != real else 0o4
        if not (found.st_mode >> shift) & needed:
            return part
    return ""


def run_as(account: Account, argv: Sequence[str], env: Mapping[str, str]) -> int:
    """Run `argv` as that user on these standard streams; return its exit code. Only root can."""
    if not is_root():
        raise RuntimeError("only root can become another user")
    import signal
    import subprocess

    sys.stdout.flush()
    try:
        child = subprocess.Popen(
            argv,
            env=dict(env),
            user=account.uid,
            group=account.gid,
            extra_groups=[],
            umask=0o077,
            cwd="/",
            close_fds=True,
            start_new_session=True,
        )
    except OSError as error:
        raise ConfigError(f"{argv[0]} cannot be started as {NAME}: {error.strerror}") from error

    def pass_on(number: int, _: FrameType | None) -> None:
        child.send_signal(number)

    # The child is not in the terminal's process group, so Ctrl-C reaches only this process.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, pass_on)
    code = child.wait()
    return code if code >= 0 else 128 - code
