"""Client addresses: which one counts, what limits are counted by, and whether it is in scope.

Owns: X-Forwarded-For and X-Forwarded-Proto (read here and nowhere else), the limiter's key, network scopes. Refuses to
know: sockets. Layer: rules.
"""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network

from airelays.model import RequestHead
from airelays.settings.hosts import parse_address

SCOPES = ("loopback", "private", "any")

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

_PRIVATE: tuple[Network, ...] = tuple(
    ip_network(text)
    for text in (
        "127.0.0.0/8",
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "169.254.0.0/16",
        "::1/128",
        "fc00::/7",
        "fe80::/10",
    )
)


@lru_cache(maxsize=1024)
def limiter_key(text: str) -> str:
    """Return what limits are counted by: an IPv4 address, or the /64 of an IPv6 address.

    One subscriber usually holds a whole /64, so single IPv6 addresses would make every limit void.
    """
    address = parse_address(text)
    if address is None:
        return "unknown"
    if isinstance(address, IPv4Address) or address.is_loopback:
        return str(address)
    return str(IPv6Network((int(address) >> 64 << 64, 64)))


def client_address(peer: str, head: RequestHead, trusted: tuple[Network, ...]) -> str:
    """Return the address that the request came from.

    The socket's peer, unless it lies in `trusted` (empty when X-Forwarded-For is not trusted at all): then
    the right-most address of X-Forwarded-For that is not in `trusted` itself. An entry that is not an address ends
    the search, because nothing to the left of it can be trusted.
    """
    if not trusted or not _in_any(parse_address(peer), trusted):
        return peer
    best = peer
    hops = b",".join(head.get_all(b"x-forwarded-for")).split(b",")
    for hop in reversed(hops):
        address = parse_address(hop.decode("ascii", "replace"))
        if address is None:
            break
        best = str(address)
        if not _in_any(address, trusted):
            break
    return best


def client_scheme(peer: str, head: RequestHead, trusted: tuple[Network, ...]) -> str:
    """Return "https" if a proxy in `trusted` says that the client used it, otherwise "http", which the relay speaks.

    With several proxies, only the last one counts: the relay does not know whether the others are proxies.
    """
    if not trusted or not _in_any(parse_address(peer), trusted):
        return "http"
    said = b",".join(head.get_all(b"x-forwarded-proto")).rpartition(b",")[2].strip(b" \t").lower()
    return "https" if said == b"https" else "http"


@lru_cache(maxsize=1024)
def in_scope(text: str, scope: str) -> bool:
    """Whether the address may connect under `scope`: "loopback", "private" or "any"."""
    if scope == "any":
        return True
    address = parse_address(text)
    if address is None:
        return False
    if scope == "loopback":
        return address.is_loopback
    return _in_any(address, _PRIVATE)


def _in_any(address: Address | None, networks: tuple[Network, ...]) -> bool:
    return address is not None and any(
        address.version == network.version and address in network for network in networks
    )
