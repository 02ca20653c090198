"""The client's half of SOCKS5: what is sent, and what the answers mean. Pure; names are left to the proxy.

Sources: RFC 1928, and RFC 1929 for user and password. Layer: rules.
"""

from __future__ import annotations

VERSION = 5
NO_AUTHENTICATION, USER_AND_PASSWORD, NOTHING_ACCEPTED = 0, 2, 255
MAX_NAME_BYTES = 255
# What follows the four bytes at the head of a reply, up to and with the port; a name has its length first.
_ADDRESS_BYTES = {1: 4 + 2, 4: 16 + 2}
_NAME = 3
_REFUSALS = {
    1: "a general failure",
    2: "its rules do not allow it",
    3: "the network cannot be reached",
    4: "the host cannot be reached",
    5: "the connection was refused",
    6: "the time to live has expired",
    7: "it does not know the command",
    8: "it does not know the kind of address",
}


class SocksError(ValueError):
    """The proxy refused, or does not speak SOCKS5. The text is the end of a sentence that begins with the proxy."""


def greeting(*, with_password: bool) -> bytes:
    """Return the first bytes: which ways to sign in the client has."""
    methods = bytes(
        [NO_AUTHENTICATION, USER_AND_PASSWORD] if with_password else [NO_AUTHENTICATION]
    )
    return bytes([VERSION, len(methods)]) + methods


def chosen_method(reply: bytes, *, with_password: bool) -> int:
    """Return the way to sign in that the proxy chose with its two bytes. Raises SocksError."""
    if len(reply) != 2 or reply[0] != VERSION:
        raise SocksError("does not speak SOCKS5; check its address and port")
    method = reply[1]
    if method == NOTHING_ACCEPTED:
        other = "other credentials" if with_password else "credentials"
        raise SocksError(
            f"requires {other}; put them in its URL: socks5h://USER:PASSWORD@HOST:PORT"
        )
    if method == NO_AUTHENTICATION or (method == USER_AND_PASSWORD and with_password):
        return method
    raise SocksError(f"chose a way to sign in that was not offered ({method})")


def password_request(user: bytes, password: bytes) -> bytes:
    """Return the sign-in; both up to 255 bytes."""
    return b"\x01" + bytes([len(user)]) + user + bytes([len(password)]) + password


def check_password_reply(reply: bytes) -> None:
    """Raise SocksError unless the two bytes let the client in."""
    if len(reply) != 2 or reply[1] != 0:
        raise SocksError("refused the user name or the password; correct them in its URL")


def connect_request(host: str, port: int) -> bytes:
    """Return the request for a connection to `host`, a name or an address. Raises SocksError for a name too long."""
    packed = _packed(host)
    if packed is None:
        name = host.encode("ascii")
        if not 0 < len(name) <= MAX_NAME_BYTES:
            raise SocksError(f"cannot be asked for a name of {len(name)} bytes; SOCKS5 allows 255")
        packed = bytes([_NAME, len(name)]) + name
    return bytes([VERSION, 1, 0]) + packed + port.to_bytes(2, "big")


def rest_of_reply(head: bytes) -> int:
    """Return how many bytes follow the first five of a reply to the request. Raises SocksError if it is a refusal."""
    if len(head) != 5 or head[0] != VERSION:
        raise SocksError("gave no usable answer to the request for a connection")
    if head[1] != 0:
        raise SocksError(f"refused the connection: {_REFUSALS.get(head[1], f'code {head[1]}')}")
    size = 1 + head[4] + 2 if head[3] == _NAME else _ADDRESS_BYTES.get(head[3])
    if size is None:
        raise SocksError("gave no usable answer to the request for a connection")
    return size - 1


def _packed(host: str) -> bytes | None:
    from ipaddress import ip_address

    try:
        address = ip_address(host)
    except ValueError:
        return None
    return bytes([1 if address.version == 4 else 4]) + address.packed
