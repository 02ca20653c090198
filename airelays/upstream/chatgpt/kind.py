"""The ChatGPT subscription as a kind of upstream: made from the settings, with what `doctor` asks. Layer: I/O."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

from airelays.guard.redact import Redactor
from airelays.settings.values import Settings, UpstreamSettings
from airelays.upstream.base import Check
from airelays.upstream.chatgpt.backend import ChatGPTUpstream


class ChatGPT(ChatGPTUpstream):
    """The whole upstream."""

    def checks(self, *, ask: bool) -> AsyncIterator[Check]:
        """Yield what `doctor` finds on the way to ChatGPT."""
        from airelays.upstream.chatgpt.checks import chatgpt_checks

        return chatgpt_checks(self, ask=ask)


def make(
    settings: Settings,
    own: UpstreamSettings,
    *,
    warn: Callable[[str], None] | None,
    redactor: Callable[[], Redactor] | None,
) -> ChatGPT:
    """Make the upstream; see upstream.base.Maker."""
    return ChatGPT(settings, name=own.name, warn=warn, redactor=redactor)
