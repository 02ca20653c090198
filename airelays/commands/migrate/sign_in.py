"""The sign-in of an earlier AIRelays: which one is imported, and which accounts are not. Layer: commands.

The earlier program works with several accounts and kept every sign-in in a file, whatever `auth.storage` was; ours
works with one sign-in, and with the keyring if it is configured.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import NamedTuple

from airelays.commands.migrate.plan import FAILED, KEPT, NOTHING, TAKEN, Plan, Step
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.journal.files import list_files
from airelays.terminal.console import Console
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore

NAME = "sign-in"
FILE_INSTEAD = 'set storage = "file" under [auth] in {config}'


class Left(NamedTuple):
    """Something that stays where it is, and why."""

    what: str
    why: str


class Account(NamedTuple):
    """One more account. `sign_in` is None if its file contains none."""

    slug: str
    path: str
    sign_in: SignIn | None

    def name(self) -> str:
        """Return what a person knows it by."""
        email = self.sign_in.email if self.sign_in else ""
        return f"accounts/{self.slug} ({email})" if email else f"accounts/{self.slug}"


def take_sign_in(plan: Plan, console: Console) -> Step:
    """Take over the one sign-in, unless there is one here. Raises ConfigError when it cannot be read."""
    here, problem = _store_here(plan, console)
    found = here.load()
    if found is not None and _has_tokens(found):
        return Step(NAME, KEPT, _kept_where(plan, here, problem), problem or _stale(plan, here))
    chosen, source, choice = _find_old(plan, console)
    if chosen is None:
        return Step(NAME, FAILED if choice else NOTHING, choice or source)
    if not plan.dry:
        with here.lock():
            here.save(chosen)
    return Step(NAME, TAKEN, f"{source} to {_place(here)}", problem)


def _store_here(plan: Plan, console: Console) -> tuple[SignInStore, str]:
    """Return the store that the relay will use; auth.json, and a problem, when there is no working keyring."""
    mode = plan.settings.auth_storage
    plain = SignInStore(plan.data, warn=console.note)
    if mode == "file":
        return plain, ""
    try:
        store = SignInStore(plan.data, mode, warn=console.note)
        store.load()
        return store, ""
    except ConfigError as error:
        # An unreadable auth.json is not a problem of the keyring: this raises in that case.
        plain.load()
        instead = FILE_INSTEAD.format(config=plan.config)
        return plain, (
            f"the relay cannot use the sign-in in {plain.path}: {error}. "
            f"The earlier AIRelays always used that file, whatever storage was set to. To keep using it, "
            f"{instead}"
        )


def _stale(plan: Plan, here: SignInStore) -> str:
    """Say so when the keyring's entry hides another sign-in: the earlier program has renewed only the file's."""
    used, file = here.load(), SignInStore(plan.data).load() if here.mode != "file" else None
    if used is None or file is None or not _has_tokens(file) or used.same_tokens(file):
        return ""
    return (
        f'auth.storage is "{here.mode}", so the relay uses the sign-in in the keyring, not the one in '
        f"{here.path}, which the earlier AIRelays used; to use the file, "
        f"{FILE_INSTEAD.format(config=plan.config)}, or run: {hint('login')}"
    )


def _place(store: SignInStore) -> str:
    keeper = store.describe().get("keyring_tool")
    return f"the keyring ({keeper})" if keeper else store.path


def _kept_where(plan: Plan, here: SignInStore, problem: str) -> str:
    if problem or here.mode == "file" or "keyring_tool" not in here.describe():
        return here.path
    if os.path.exists(here.path):
        return f"{here.path}; it moves into the keyring when it is renewed"
    return _place(here)


def _find_old(plan: Plan, console: Console) -> tuple[SignIn | None, str, str]:
    """Return the sign-in to import and its path, and the choices if there are several."""
    there = SignInStore(plan.old_data, warn=console.note)
    found = there.load()
    if found is not None and _has_tokens(found):
        return found, there.path, ""
    usable = [a for a in _accounts(plan, console) if a.sign_in and _is_usable(a.sign_in)]
    if len(usable) == 1:
        return usable[0].sign_in, f"{usable[0].path}, the only one that is signed in,", ""
    if not usable:
        return None, there.path, ""
    names = ", ".join(account.name() for account in usable)
    return (
        None,
        there.path,
        f"there are {len(usable):,} ({names}), and AIRelays works with one; sign in with the one to use: "
        f"{hint('login')}",
    )


def _accounts(plan: Plan, console: Console) -> Iterator[Account]:
    top = os.path.join(plan.old_data, "accounts")
    try:
        slugs = sorted(name for name in os.listdir(top) if not name.startswith("."))
    except OSError:
        return
    for slug in slugs:
        store = SignInStore(os.path.join(top, slug), warn=console.note)
        if os.path.lexists(store.path):
            try:
                yield Account(slug, store.path, store.load())
            except ConfigError:
                yield Account(slug, store.path, None)


def _has_tokens(found: SignIn) -> bool:
    return bool(found.access_token or found.refresh_token)


def _is_usable(found: SignIn) -> bool:
    return found.account_bound and bool(found.refresh_token or not found.has_expired(time.time()))


def find_left(plan: Plan, console: Console) -> list[Left]:
    """Return what is in the earlier folders and is not imported. Call this after the sign-in was imported."""
    left = []
    mine = _identities(plan, console)
    for account in _accounts(plan, console):
        if account.sign_in is None or _identity(account.sign_in) not in mine:
            why = f"AIRelays works with one sign-in; {hint('login')} changes it"
            left.append(Left(account.name(), why))
    claude = os.path.join(plan.old_data, "claude-token")
    for path in dict.fromkeys((_claude_token(plan, claude), os.path.join(plan.old_data, "claude"))):
        if os.path.lexists(path):
            left.append(Left(path, "AIRelays does not use a Claude subscription"))
    if plan.old_logs != plan.settings.logs_dir and list_files(plan.old_logs, earlier=True):
        left.append(Left(f"the traffic log in {plan.old_logs}", "it stays there"))
    return left


def _claude_token(plan: Plan, default: str) -> str:
    for change in plan.changes:
        if change.key == "providers.claude.oauth_token_file":
            return plan.before(change.was)
    return default


def _identity(found: SignIn) -> tuple[str, str]:
    return found.account_id, found.email


def _identities(plan: Plan, console: Console) -> set[tuple[str, str]]:
    """Return whose sign-in the relay has now; in a dry run, would have."""
    mine = set()
    for mode in {plan.settings.auth_storage, "file"}:
        with contextlib.suppress(ConfigError):
            found = SignInStore(plan.data, mode).load()
            if found is not None and _has_tokens(found):
                mine.add(_identity(found))
    if not mine:
        with contextlib.suppress(ConfigError):
            chosen, _, _ = _find_old(plan, console)
            if chosen is not None:
                mine.add(_identity(chosen))
    return mine
