"""What a host name or address means: this machine, a near one, or any. The one place that decides it. Layer: values."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ipaddress import IPv4Address, IPv6Address

# Read without `ipaddress`, whose import takes 3 ms of every start.
_USUAL = {"127.0.0.1": True, "localhost": True, "::1": True, "0.0.0.0": False, "::": False}


@lru_cache(maxsize=1024)
def parse_address(text: str) -> IPv4Address | IPv6Address | None:
    """Return the address in `text` (brackets, a zone and a v4-mapped prefix are undone), or None."""
    from ipaddress import IPv6Address, ip_address

    text = text.strip()
    if text.startswith("[") and text.endswith("]"):
        text = text[1:-1]
    try:
        address = ip_address(text.split("%", 1)[0])
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def is_loopback(host: str) -> bool:
    """Whether `host` can only mean this machine: a loopback address, `localhost` or a name below it (RFC 6761)."""
    known = _USUAL.get(host)
    if known is not None:
        return known
    name = host.strip().lower().removesuffix(".")
    if name == "localhost" or name.endswith(".localhost"):
        return True
    address = parse_address(host)
    return address is not None and address.is_loopback


def is_near(host: str) -> bool:
    """Whether `host` is on this machine, or a private or link-local address."""
    if is_loopback(host):
        return True
    address = parse_address(host)
    return address is not None and (address.is_private or address.is_link_local)
