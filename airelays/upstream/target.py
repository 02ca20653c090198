"""Who serves a request, and the word that the settings have for a failure of one. Layer: I/O."""

from __future__ import annotations

from typing import NamedTuple

from airelays.errors import UpstreamFault
from airelays.guard.keys import Key, allows_model, allows_upstream
from airelays.upstream.base import Upstream

_QUOTA = frozenset({"usage_limit_reached", "insufficient_quota", "rate_limit_exceeded"})
_OVERLOADED = frozenset({"server_is_overloaded", "overloaded", "slow_down", "overloaded_error"})
_UNREACHABLE_HOPS = frozenset({"proxy", "dns", "tcp", "tls", "challenge", "sign_in"})


class Target(NamedTuple):
    """An upstream and its name for the model. `causes` are those for which the next target may take over.

    `fault` is what it failed with when it was asked for its models: it is not asked again for this request.
    """

    upstream: Upstream
    model: str
    causes: frozenset[str] = frozenset()
    fault: UpstreamFault | None = None


def allows(key: Key, asked: str, target: Target) -> bool:
    """Whether `key` may use `target`, which was found for `asked`."""
    name = target.upstream.name
    return allows_upstream(key, name) and allows_model(key, asked, name, target.model)


def cause_of(fault: UpstreamFault) -> str:
    """Return the word by which the settings name this failure: quota, overloaded, unreachable, or ""."""
    if fault.status == 429 or fault.code in _QUOTA:
        return "quota"
    if fault.code in _OVERLOADED or (fault.status in (503, 529) and fault.hop == "upstream"):
        return "overloaded"
    if fault.hop in _UNREACHABLE_HOPS or fault.code in ("upstream_closed", "upstream_timeout"):
        return "unreachable"
    return ""
