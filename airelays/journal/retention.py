"""How long and how much of the traffic log is kept: the policy, where it is saved, and the removal.

A saved policy (`.retention.json` in the log folder; from `airelays logs --retention-days ...` or the relay's
`/v1/relay/logging`) wins over the config file and is shared by everybody who uses the folder. Removed are only
files of the log's own layout and of that before 1.0, the oldest first, never the one being written. Layer: I/O.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Mapping
from typing import Any, NamedTuple

from airelays.credentials.secretfile import read_secret, write_private
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.journal.files import LogFile, list_files
from airelays.settings.parse import shown
from airelays.settings.values import Settings

CLEANUP_SECONDS = 60

MIB = 1024 * 1024
_BOUNDS = {
    "retention_days": (0, 36_500),
    "max_total_mb": (1, 1_048_576),
    "max_file_mb": (1, 10_240),
}


class PolicyDamaged(ConfigError):
    """A policy is saved, and its content is none; saving another one mends that."""


class Policy(NamedTuple):
    """`retention_days` 0 sets no age limit; sizes are MiB."""

    retention_days: int = 7
    max_total_mb: int = 1024
    max_file_mb: int = 50

    @classmethod
    def of(cls, settings: Settings) -> Policy:
        """Return what the options say."""
        return cls(settings.log_retention_days, settings.log_max_total_mb, settings.log_max_file_mb)

    def facts(self) -> dict[str, int]:
        """Return the three numbers by name."""
        return self._asdict()


def policy_path(logs_dir: str) -> str:
    """Return the path of a saved policy."""
    return os.path.join(logs_dir, ".retention.json")


def changed(policy: Policy, changes: Mapping[str, Any]) -> Policy:
    """Return `policy` with some numbers replaced. Raises ValueError: one sentence, the name first."""
    for name, value in changes.items():
        if name not in _BOUNDS:
            raise ValueError(f"{name[:64]} is unknown; expected one of {', '.join(_BOUNDS)}")
        low, high = _BOUNDS[name]
        if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
            raise ValueError(
                f"{name} is {shown(value)[:32]}; expected a whole number from {low:,} to {high:,}"
            )
    new = Policy(**{**policy.facts(), **changes})
    if new.max_file_mb > new.max_total_mb:
        raise ValueError(
            f"max_file_mb is {new.max_file_mb:,}, which is more than max_total_mb ({new.max_total_mb:,})"
        )
    return new


def load_policy(logs_dir: str, configured: Policy) -> tuple[Policy, str]:
    """Return the policy in effect and its source, "saved" or "config".

    Raises PolicyDamaged when the saved one is none, ConfigError when it cannot be trusted or read.
    """
    path = policy_path(logs_dir)
    data = read_secret(path, warn=lambda _: None, max_bytes=4096)
    if data is None:
        return configured, "config"
    try:
        found = json.loads(data)
        if not isinstance(found, dict):
            raise ValueError("it is not a table")
        return changed(configured, found), "saved"
    except (ValueError, RecursionError) as error:
        raise PolicyDamaged(
            f"{path} does not contain a log policy ({error}); run `{hint('logs --reset')}` or save one with "
            f"{hint('logs --retention-days N')}"
        ) from error


def policy_to_change(logs_dir: str, configured: Policy) -> Policy:
    """Return the policy in effect; of a damaged one nothing is left, so that another can be saved over it."""
    try:
        return load_policy(logs_dir, configured)[0]
    except PolicyDamaged:
        return configured


def saved_policy(logs_dir: str) -> str:
    """Return the path of a saved policy, "" when there is none."""
    path = policy_path(logs_dir)
    return path if logs_dir and os.path.lexists(path) else ""


def overridden(logs_dir: str, configured: Policy) -> dict[str, int]:
    """Return the saved policy's numbers that override the configured ones. Raises ConfigError."""
    policy, _ = load_policy(logs_dir, configured)
    before = configured.facts()
    return {name: value for name, value in policy.facts().items() if value != before[name]}


def forget_policy(logs_dir: str) -> bool:
    """Remove the saved policy, whatever is in it; return whether there was one. Raises ConfigError."""
    path = policy_path(logs_dir)
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        from airelays.credentials.as_owner import denied

        raise ConfigError(denied(path, error, "removed")) from error
    return True


def log_facts(logs_dir: str, configured: Policy) -> dict[str, Any]:
    """Return policy, place and size of the log, as `airelays logs --json` shows them. Raises ConfigError."""
    policy, source = load_policy(logs_dir, configured)
    files = list_files(logs_dir, earlier=True)
    total = sum(file.size for file in files)
    return {
        "policy": policy.facts(),
        "policy_source": source,
        "policy_path": policy_path(logs_dir),
        "logs_dir": logs_dir,
        "usage_bytes": total,
        "file_count": len(files),
        "over_budget": total > policy.max_total_mb * MIB,
        "cleanup_interval_seconds": CLEANUP_SECONDS,
    }


def save_policy(logs_dir: str, policy: Policy) -> None:
    """Save `policy` for everybody who uses the folder. Raises ConfigError."""
    data = json.dumps(policy.facts()).encode() + b"\n"
    write_private(policy_path(logs_dir), data, keep_owner=True)


def prune(
    logs_dir: str, policy: Policy, now_s: float, *, keep: str = "", dry: bool = False
) -> list[LogFile]:
    """Remove what the policy no longer keeps, but never the file `keep`; return what was removed."""
    files = list_files(logs_dir, earlier=True)
    total = sum(f.size for f in files)
    oldest_s = now_s - policy.retention_days * 86_400 if policy.retention_days else float("-inf")
    removed = []
    for file in files:
        too_old = (file.hour + 1) * 3600 <= oldest_s
        if not too_old and total <= policy.max_total_mb * MIB:
            break
        if file.path == keep:
            continue
        if dry or _remove(file.path):
            total -= file.size
            removed.append(file)
    if removed and not dry:
        _remove_empty_folders(logs_dir, removed)
    return removed


def _remove(path: str) -> bool:
    try:
        os.unlink(path)
    except OSError:
        return False
    return True


def _remove_empty_folders(logs_dir: str, removed: list[LogFile]) -> None:
    months = {os.path.dirname(file.path) for file in removed}
    for folder in sorted(months | {os.path.dirname(m) for m in months}, key=len, reverse=True):
        if folder != logs_dir:
            with contextlib.suppress(OSError):
                os.rmdir(folder)
