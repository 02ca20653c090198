"""What `config check` looks at beyond the options: would the relay start, would requests fail. Layer: commands.

Reads only files on this machine: no name is looked up, nothing is created, and no upstream is contacted.
"""

from __future__ import annotations

import os
from collections.abc import Iterator

from airelays.commands.serve import needs_new_token
from airelays.commands.weaktoken import check_strength, weak_warning
from airelays.errors import ConfigError, UpstreamFault
from airelays.net.trust import Trust
from airelays.settings.kinds import KINDS
from airelays.settings.values import Settings, UpstreamSettings
from airelays.terminal.context import Context
from airelays.upstream.choose import make_upstream


def check_start(context: Context) -> None:
    """Raise the ConfigError with which `serve` would refuse: its folder, its token, its main upstream."""
    settings = context.settings
    _check_folder(settings.data_dir)
    needs_new_token(context)
    check_strength(context)
    make_upstream(settings, settings.main_upstream)


def _check_folder(path: str) -> None:
    """Refuse a data folder that is none, and one that cannot be made where it should be."""
    folder = path
    while not os.path.lexists(folder) and os.path.dirname(folder) != folder:
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise ConfigError(f"folder {path} cannot be used: {folder} is not a folder; choose another")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise ConfigError(
            f"folder {path} cannot be used: {folder} is not writable; choose your own folder with --data-dir"
        )


def doubts(context: Context) -> Iterator[str]:
    """Tell what lets the relay start and is wrong all the same: a weak token, requests that will fail."""
    warning = weak_warning(context)
    if warning:
        yield warning
    settings = context.settings
    every = (settings.main_upstream, *settings.upstreams)
    stores: set[str] = set()
    for one in every:
        if one.ca_file and one.ca_file not in stores:
            stores.add(one.ca_file)
            yield from _fault_of_store(one)
        yield from _fault_of(settings, one)
    aliases = (*settings.aliases, *(alias for one in every for alias in one.aliases))
    rules = [(one.name, one.fallback) for one in every] + [(a.name, a.fallback) for a in aliases]
    for name, fallback in rules:
        for model in fallback:
            yield from _fault_of_target(settings, f"the fallback {model} of {name}", model)
    for alias in aliases:
        yield from _fault_of_target(
            settings, f"the alias {alias.name} = {alias.model}", alias.model
        )


def _fault_of_store(upstream: UpstreamSettings) -> Iterator[str]:
    try:
        Trust(upstream.ca_file).context_now()
    except UpstreamFault as fault:
        yield f"requests to the upstream {upstream.name} will fail: {fault.local}"


def _fault_of(settings: Settings, upstream: UpstreamSettings) -> Iterator[str]:
    doubt = ""
    try:
        made = make_upstream(settings, upstream)
        # The sign-in is not part of the config: `status`, `doctor` and `serve` report it.
        reason = "" if KINDS[upstream.kind].signs_in else made.problem()
        doubt = made.doubt()
    except ConfigError as error:
        reason = str(error)
    if reason:
        yield f"requests to the upstream {upstream.name} will fail: {reason}"
    if doubt:
        yield f"upstream {upstream.name}: {doubt}"


def _fault_of_target(settings: Settings, what: str, model: str) -> Iterator[str]:
    """A compatible server can have names with a slash; ChatGPT and the demo have none."""
    alias = next((a for a in settings.aliases if a.name.casefold() == model.casefold()), None)
    far, slash, rest = (model if alias is None else alias.model).partition("/")
    known = {settings.upstream_kind, *(one.name for one in settings.upstreams)}
    if not slash or not rest or far in known or KINDS[settings.upstream_kind].needs_base_url:
        return
    if any(one.models for one in settings.upstreams):
        return
    yield (
        f"{what} names the upstream {far}, which is not configured; add [upstreams.{far}] or use "
        f"one of: {', '.join(sorted(known))}"
    )
