"""What a browser gives away about who sent a request: Host, Origin and Sec-Fetch-*.

A web page can make the user's browser send requests to a port on this machine. It cannot change the
Host, Origin and Sec-Fetch-Site fields of such a request, so these three decide (security: DNS rebinding,
drive-by requests). They come before the token, and a refusal never counts as a failed attempt: no
page can lock the user out.

Owns: these three fields. Refuses to know: tokens, routes. Layer: rules.
"""

from __future__ import annotations

from airelays.model import RequestHead

_BROWSER_FIELDS = frozenset(
    (b"origin", b"referer", b"cookie", b"sec-fetch-site", b"sec-fetch-dest")
)


def host_name(authority: str) -> str:
    """Return the host part of `authority` folded for comparison: no port, lower case, no final dot."""
    if authority.startswith("["):
        return authority.partition("]")[0][1:].lower()
    name = authority.rpartition(":")[0] if ":" in authority else authority
    name = name.lower()
    return name[:-1] if name.endswith(".") else name


def is_allowed_host(authority: str, allowed: frozenset[str]) -> bool:
    """Whether the request was meant for this relay. `allowed` holds folded names and addresses.

    Exact matches only: no suffix such as ".local", no number that a browser would read as an address.
    """
    name = host_name(authority)
    return bool(name) and name in allowed


def is_allowed_origin(
    origin: str, authority: str, allowed: frozenset[str], scheme: str = "http"
) -> bool:
    """Whether a page of `origin` may call: the relay's own page (`scheme` and Host), or one that the user listed.

    An entry of `allowed` is a whole origin ("https://app.example", "null"), or a scheme with an
    authority left open ("app://", "chrome-extension://"), which stands for every origin of that scheme.
    """
    folded = origin.lower()
    if authority and folded == f"{scheme}://{authority.lower()}":
        return True
    if folded in allowed:
        return True
    other, separator, _ = folded.partition("://")
    return bool(separator) and other not in ("http", "https") and f"{other}://" in allowed


def field_of(head: RequestHead) -> bytes:
    """Return the name of a field that only a browser sends, b"" without one.

    Sec-Fetch-Mode is not among them: Node's `fetch` sends it.
    """
    for name, _ in head.fields:
        if name in _BROWSER_FIELDS:
            return name
    return b""


def is_cross_site(head: RequestHead) -> bool:
    """Whether the browser says that another site caused the request (Fetch Metadata).

    A link that somebody follows to a public page is a navigation of the top window, and is let through
    by the caller; `same-site` is another port or name of the same site and just as foreign here.
    """
    site = head.get(b"sec-fetch-site")
    return site is not None and site.lower() not in (b"same-origin", b"none")


def opens_page(head: RequestHead) -> bool:
    """Whether this is a GET by which a browser opens a page: from a link, a bookmark, the address bar."""
    return (
        head.method in ("GET", "HEAD")
        and (head.get(b"sec-fetch-mode") or b"").lower() == b"navigate"
    )


def is_navigation(head: RequestHead) -> bool:
    """Whether the page opens in a window of its own, not in a frame of another page."""
    return opens_page(head) and (head.get(b"sec-fetch-dest") or b"").lower() == b"document"
