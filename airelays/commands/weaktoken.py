"""A relay token that can be guessed: what the commands say of it, and where it is refused. Layer: commands."""

from __future__ import annotations

from airelays.credentials.token import remedy, weak_sentence
from airelays.errors import ConfigError
from airelays.guard.auth import weakness
from airelays.settings.hosts import is_loopback
from airelays.settings.values import Settings
from airelays.terminal.context import Context


def weakness_of(context: Context) -> str:
    """Return what makes the token weak, "" if it is not weak or not required."""
    token = context.token.current() if context.settings.require_bearer_auth else None
    return weakness(token) if token else ""


def weak_warning(context: Context) -> str:
    """Return one sentence about a weak token, "" when it is not."""
    weak = weakness_of(context)
    return weak_sentence(weak, context.token.place) if weak else ""


def is_refused(settings: Settings) -> bool:
    """Whether a weak token is refused: beyond loopback, unless that was confirmed twice, as for open mode."""
    confirmed = settings.allow_weak_token and settings.allow_open_network
    return not confirmed and not all(map(is_loopback, settings.hosts))


def check_strength(context: Context) -> None:
    """Raise ConfigError for a weak token that other machines could try."""
    weak = weakness_of(context)
    if weak and is_refused(context.settings):
        wide = next(host for host in context.settings.hosts if not is_loopback(host))
        raise ConfigError(
            f"the relay token in {context.token.place} {weak}, and on {wide} other machines can reach the "
            f"relay; {remedy(context.token.place)}, listen on 127.0.0.1, or add "
            "--allow-weak-token --i-know-this-is-open"
        )
