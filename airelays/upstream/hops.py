"""How many relays a request has passed: it must not come back to one for ever.

A relay can be the upstream of another one, and two can name each other by mistake. Each counts in a header field what
it sends on, and refuses what has passed three. Layer: I/O.
"""

from __future__ import annotations

from contextvars import ContextVar

from airelays.errors import ClientFault
from airelays.model import Fields, RequestHead

FIELD = b"x-airelays-hops"
MAX_HOPS = 3
# Of the request that the running task serves.
_passed: ContextVar[int] = ContextVar("passed", default=0)


def arrive(head: RequestHead) -> None:
    """Take over how many relays `head` has passed. Raises ClientFault (508) when they are too many."""
    value = head.get(FIELD)
    # What is not a number was not written by a relay.
    passed = int(value[:4]) if value is not None and value[:4].isdigit() else 0
    if passed >= MAX_HOPS:
        raise ClientFault(
            f"this request has already passed through {passed} relays; one of them has an earlier one as its "
            "upstream: check upstream.base_url of each",
            status=508,
            code="loop_detected",
            should_retry=False,
        )
    _passed.set(passed)


def hop() -> Fields:
    """Return the field for what is sent on."""
    return ((FIELD, b"%d" % (_passed.get() + 1)),)
