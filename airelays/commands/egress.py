"""`egress`: every destination that the relay can connect to, from the options alone. Layer: commands.

The network client has the same list and connects to nothing else: an address in a request is never used.
"""

from __future__ import annotations

from typing import Any

from airelays.errors import UpstreamFault
from airelays.net.client import Client
from airelays.settings.values import Settings, UpstreamSettings
from airelays.terminal.arguments import Arguments
from airelays.terminal.console import Console
from airelays.terminal.context import find_context
from airelays.upstream.choose import make_upstream


def run(args: Arguments, console: Console) -> int:
    """List the destinations: purpose, origin, and proxy."""
    settings = find_context(args, console).settings
    rows = egress(settings)
    if args.has("--json"):
        console.json({"offline": settings.offline, "egress": rows})
        return 0
    console.title("Egress")
    console.section("The relay connects to")
    for row in rows:
        via = f" through the proxy {row['proxy']}" if row["proxy"] else ""
        console.field(row["purpose"], row["origin"] + via)
    if not rows:
        console.line("  nowhere")
    console.line()
    console.field("Offline", settings.offline)
    if settings.offline:
        console.line("  Names that resolve to any other address are refused.")
    return 0


def egress(settings: Settings) -> list[dict[str, Any]]:
    """Return one row for each place: purpose, origin, proxy (None for a direct connection)."""
    rows = []
    for upstream in (settings.main_upstream, *settings.upstreams):
        places = make_upstream(settings, upstream).places()
        rows += [_row(place.purpose, place.url, upstream) for place in places]
    return rows


def _row(purpose: str, url: str, settings: UpstreamSettings) -> dict[str, Any]:
    client = Client.for_settings([url], settings)
    try:
        proxy = client.proxy_for(url)
        place = proxy.place if proxy is not None else None
    except UpstreamFault as fault:
        place = f"(unusable: {fault.local})"
    return {"purpose": purpose, "origin": _bracketed(client.egress()[0]), "proxy": place}


def _bracketed(origin: str) -> str:
    """Return an origin as in a URL, with an IPv6 address in brackets."""
    scheme, _, place = origin.partition("://")
    host, _, port = place.rpartition(":")
    return f"{scheme}://[{host}]:{port}" if ":" in host and host[0] != "[" else origin
