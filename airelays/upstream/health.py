"""Whether an upstream is worth asking now: what failures and successes make of it. Pure: times are arguments.

One that is silent costs each request the whole timeout, so a single timeout is enough to leave it out for a while;
of other failures it takes three in a row. After the pause a silent one has to answer a probe first, and one that
failed otherwise gets one request to try. Layer: I/O.
"""

from __future__ import annotations

from airelays.errors import UpstreamFault

PAUSES_S = (5.0, 10.0, 20.0, 40.0, 60.0)
# Failures in a row that are not timeouts.
MAX_FAILURES = 3
MAX_MODELS = 256


class Health:
    """What is known of one upstream. All times are of one clock that does not go backwards."""

    __slots__ = (
        "_failures",
        "_pauses",
        "_since_s",
        "_spent",
        "_trying",
        "_until_s",
        "cause",
        "silent",
    )

    def __init__(self) -> None:
        self.cause = ""
        # Whether a timeout, not an answer, was the last failure: then a probe decides and no request waits again.
        self.silent = False
        self._failures = 0
        self._pauses = 0
        self._since_s = 0.0
        self._until_s = 0.0
        self._trying = False
        self._spent: dict[str, float] = {}

    @property
    def skipped(self) -> bool:
        """Whether it is left out, or has not yet been found to work again."""
        return self._pauses > 0

    @property
    def begins_an_outage(self) -> bool:
        """Whether the pause is the first since it has last worked."""
        return self._pauses == 1

    @property
    def until_s(self) -> float:
        """When the pause ends."""
        return self._until_s

    def why_not(self, model: str, now_s: float) -> str:
        """Return the cause for which a request for `model` should go elsewhere; "" for none."""
        if self._pauses and (now_s < self._until_s or self.silent or self._trying):
            return self.cause
        return "quota" if self.spent_for_s(model, now_s) else ""

    def begin(self, now_s: float) -> bool:
        """Note that a request is sent; return whether it is the one that decides after a pause."""
        if not self._pauses or self.silent or self._trying or now_s < self._until_s:
            return False
        self._trying = True
        return True

    def give_up(self) -> None:
        """The request that was to decide ended without a word on the upstream: the next one decides."""
        self._trying = False

    def succeeded(self, model: str = "") -> bool:
        """Forget every failure; return whether it was left out until now."""
        was_skipped = self._pauses > 0
        self.cause, self.silent, self._trying = "", False, False
        self._failures = self._pauses = 0
        self._until_s = 0.0
        self._spent.pop(model, None)
        return was_skipped

    def failed(self, cause: str, begun_s: float, now_s: float, *, timeout: bool) -> bool:
        """Count the failure of a request that began at `begun_s`; return whether a pause begins with it.

        Those that were under way when the pause began, or went out in spite of it, do not make it longer.
        """
        if self._pauses and (begun_s < self._since_s or now_s < self._until_s):
            return False
        if not timeout and not self._pauses:
            self._failures += 1
            if self._failures < MAX_FAILURES:
                return False
        self.cause, self.silent, self._trying = cause, timeout, False
        self._since_s = now_s
        self._until_s = now_s + self.pause_s
        self._pauses += 1
        return True

    @property
    def pause_s(self) -> float:
        """How long the next pause is."""
        return PAUSES_S[min(self._pauses, len(PAUSES_S) - 1)]

    def spent(self, model: str, until_s: float) -> None:
        """Note that the quota for `model` is used up until then."""
        self._spent.pop(model, None)
        while len(self._spent) >= MAX_MODELS:
            del self._spent[next(iter(self._spent))]
        self._spent[model] = until_s

    def spent_for_s(self, model: str, now_s: float) -> float:
        """Return the seconds until the quota for `model` is there again; 0.0 when it is."""
        return max(0.0, self._spent.get(model, 0.0) - now_s)

    def spent_models(self, now_s: float) -> dict[str, float]:
        """Return the seconds until the quota of each model is there again."""
        return {
            m: round(until_s - now_s, 1) for m, until_s in self._spent.items() if until_s > now_s
        }


def is_timeout(fault: UpstreamFault) -> bool:
    """Whether nothing came within the time for a name, a connection, TLS or a head."""
    return fault.status == 504 and fault.code == "upstream_timeout" and fault.hop != "stream"


def shows_life(fault: UpstreamFault) -> bool:
    """Whether the upstream itself answered, and found the fault in the request."""
    return fault.hop == "upstream" and 400 <= fault.status < 500 and fault.status != 429


def counts(fault: UpstreamFault) -> bool:
    """Whether a failure other than a timeout speaks against the upstream."""
    return fault.hop != "stream" and fault.status >= 500
