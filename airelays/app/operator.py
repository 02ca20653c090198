"""What an operator looks at: the page, the health check, the relay's status. Layer: app."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from airelays import __version__
from airelays.app.page import PAGE_FIELDS, render_page
from airelays.app.routes import ROUTES
from airelays.app.unsupported import refuse
from airelays.disk.token import fingerprint
from airelays.guard.network import limiter_key
from airelays.model import Route
from airelays.net.request import Request

if TYPE_CHECKING:
    from airelays.app.endpoints import Endpoint
    from airelays.app.relay import Relay

__all__ = ["ENDPOINTS"]


async def page(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /. The same for everybody."""
    needs_token = relay.settings.require_bearer_auth
    body = render_page(relay.base_url, relay.upstreams.default_model(), needs_token=needs_token)
    await request.reply(200, body, PAGE_FIELDS, b"text/html; charset=utf-8")


async def health(relay: Relay, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /healthz. Minimal on purpose: strangers may ask."""
    body = {"ok": True, "app_name": "AIRelays", "version": __version__}
    await request.reply(200, json.dumps(body).encode() + b"\n")


async def relay_status(
    relay: Relay, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/status. Everything that can be said without a secret and without asking the upstream."""
    query = request.head.query.split("&")
    if "activity_only=true" in query:
        body: dict[str, Any] = {"requests_total": relay.requests_total}
    else:
        body = await _status(relay, request)
    await request.reply(200, json.dumps(body).encode() + b"\n")


async def _status(relay: Relay, request: Request) -> dict[str, Any]:
    settings = relay.settings
    upstreams = await relay.upstreams.status()
    token = relay.token.current()
    main: dict[str, Any] = upstreams.get(relay.upstreams.main.name, {})
    return {
        "object": "relay.status",
        "app_name": "AIRelays",
        "version": __version__,
        "captured_at": int(time.time()),
        "uptime_seconds": round(relay.uptime_s(), 3),
        **relay.facts(),
        "ready": {
            "upstream_auth": bool(main.get("ready")),
            "relay_token": token is not None or not settings.require_bearer_auth,
        },
        "auth": main,
        "upstreams": upstreams,
        "relay": _summary(relay, token),
        "security": _security(relay, request, token),
        "supported_routes": sorted({r.path.replace("...", "") for r in ROUTES}),
    }


def _summary(relay: Relay, token: bytes | None) -> dict[str, Any]:
    settings = relay.settings
    return {
        "app_name": "AIRelays",
        "host": settings.host,
        "port": relay.port,
        "client_base_url": relay.base_url,
        "auth_storage_mode": settings.auth_storage,
        "data_dir": settings.data_dir,
        "logs_dir": settings.logs_dir,
        "upstream_kind": settings.upstream_kind,
        "require_bearer_auth": settings.require_bearer_auth,
        "bearer_token_file": settings.bearer_token_file,
        "bearer_token_present": token is not None,
        "bearer_token_source": relay.token.source,
        "bearer_token_fingerprint": fingerprint(token) if token else None,
        "auto_generate_bearer_token": settings.auto_generate_bearer_token,
        "trust_x_forwarded_for": settings.trust_x_forwarded_for,
        "network_scope": settings.network_scope,
        "effective_network_scope": relay.gate.scope,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_total_upload_bytes": settings.max_total_upload_bytes,
        **_limits(relay),
    }


def _limits(relay: Relay) -> dict[str, Any]:
    settings = relay.settings
    return {
        "rate_limit_per_minute": settings.rate_limit_per_minute,
        "rate_limit_burst": settings.rate_limit_burst,
        "concurrent_requests_per_ip": settings.concurrent_requests_per_ip,
        "failed_auth_window_seconds": settings.failed_auth_window_seconds,
        "failed_auth_max_attempts": settings.failed_auth_max_attempts,
        "failed_auth_block_seconds": settings.failed_auth_block_seconds,
    }


def _security(relay: Relay, request: Request, token: bytes | None) -> dict[str, Any]:
    gate, now_s = relay.gate, time.monotonic()
    client = gate.client_of(request.head, request.peer)
    key = limiter_key(client)
    return {
        "protected_routes": ["/v1/*", "/no-tools/v1/*"],
        "require_bearer_auth": relay.settings.require_bearer_auth,
        "bearer_token_present": token is not None,
        "network_scope": gate.scope,
        **_limits(relay),
        "tracked_clients": len(gate.buckets),
        "blocked_clients": gate.blocklist.blocked(now_s),
        "active_clients": len(gate.leases),
        "client": {
            "ip": client,
            "allowance_remaining": round(gate.buckets.level(key, now_s), 3),
            "active_requests": gate.leases.in_use(key),
            "failed_auth_attempts": gate.blocklist.failures(key, now_s),
            "blocked_for_seconds": round(gate.blocklist.blocked_for_s(key, now_s), 3),
        },
    }


ENDPOINTS: dict[str, Endpoint] = {
    "page": page,
    "health": health,
    "relay_status": relay_status,
    "relay_metrics": refuse,
    "metrics": refuse,
}
