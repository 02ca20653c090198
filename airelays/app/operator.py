"""What operators use: the page, the health check, the relay's status. Layer: app."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

from airelays import __version__
from airelays.app.page import page_fields, render_page
from airelays.app.routes import ROUTES
from airelays.credentials.token import fingerprint
from airelays.errors import ClientFault, ConfigError, RelayError
from airelays.guard.network import limiter_key
from airelays.hints import told
from airelays.journal.metrics import CONTENT_TYPE, Sample, render, single
from airelays.journal.retention import Policy, changed, log_facts, policy_to_change, save_policy
from airelays.journal.writer import Journal
from airelays.model import Route
from airelays.net.request import Request
from airelays.settings.hosts import is_loopback

if TYPE_CHECKING:
    from airelays.app.desk import OperatorDesk


async def page(desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]) -> None:
    """GET /. The same for everyone; with Ollama's API on, what its clients expect, except in browsers."""
    if desk.settings.ollama_enabled and b"text/html" not in (request.head.get(b"accept") or b""):
        await request.reply(200, b"Ollama is running", (), b"text/plain; charset=utf-8")
        return
    needs_token = desk.settings.require_bearer_auth
    body = render_page(
        desk.base_url,
        desk.upstreams.default_model() or "MODEL",
        desk.gate.reveal,
        needs_token=needs_token,
        wide=not is_loopback(desk.settings.host),
        opener=told("open"),
        explain=told("explain"),
    )
    await request.reply(200, body, page_fields(), b"text/html; charset=utf-8")


async def health(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /healthz. Minimal on purpose, because it is open to everyone."""
    body = {"ok": not desk.leaving, "app_name": "AIRelays", "version": __version__}
    await request.reply(503 if desk.leaving else 200, json.dumps(body).encode() + b"\n")


async def relay_status(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /v1/relay/status. Everything that is known without secrets and without contacting the upstream."""
    query = request.head.query.split("&")
    if "activity_only=true" in query:
        body: dict[str, Any] = {"requests_total": desk.requests_total}
    else:
        body = await status_facts(desk)
        body["security"]["client"] = _client(desk, request)
    await request.reply(200, json.dumps(body).encode() + b"\n")


async def status_facts(desk: OperatorDesk) -> dict[str, Any]:
    """Return the status of a running relay, for this route and the control listener."""
    settings = desk.settings
    upstreams = await desk.upstreams.status()
    token = desk.token.current()
    main: dict[str, Any] = upstreams.get(desk.upstreams.main.name, {})
    return {
        "object": "relay.status",
        "app_name": "AIRelays",
        "version": __version__,
        "captured_at": int(time.time()),
        "uptime_seconds": round(desk.uptime_s(), 3),
        **desk.facts(),
        "tasks": len(asyncio.all_tasks()),
        "ready": {
            "upstream_auth": bool(main.get("ready")),
            "relay_token": token is not None or not settings.require_bearer_auth,
        },
        "auth": main,
        "upstreams": upstreams,
        "relay": _summary(desk, token),
        "storage": await desk.store.facts(),
        "security": _security(desk, token),
        "journal": _journal(desk),
        "supported_routes": sorted({r.path.replace("...", "") for r in ROUTES}),
    }


def _summary(desk: OperatorDesk, token: bytes | None) -> dict[str, Any]:
    settings = desk.settings
    return {
        "app_name": "AIRelays",
        "host": settings.host,
        "port": desk.port,
        "listeners": [
            {"host": door.host, "port": door.port, "key": door.name or None} for door in desk.doors
        ],
        "client_base_url": desk.base_url,
        "default_model": desk.upstreams.default_model() or None,
        "auth_storage_mode": settings.auth_storage,
        "data_dir": settings.data_dir,
        "logs_dir": settings.logs_dir,
        "upstream_kind": settings.upstream_kind,
        "require_bearer_auth": settings.require_bearer_auth,
        "bearer_token_file": settings.bearer_token_file,
        "bearer_token_present": token is not None,
        "bearer_token_source": desk.token.source,
        "bearer_token_fingerprint": fingerprint(token) if token else None,
        "auto_generate_bearer_token": settings.auto_generate_bearer_token,
        "trust_x_forwarded_for": settings.trust_x_forwarded_for,
        "network_scope": settings.network_scope,
        "effective_network_scope": desk.gate.scope,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_total_upload_bytes": settings.max_total_upload_bytes,
        **_limits(desk),
    }


def _limits(desk: OperatorDesk) -> dict[str, Any]:
    settings = desk.settings
    return {
        "rate_limit_per_minute": settings.rate_limit_per_minute,
        "rate_limit_burst": settings.rate_limit_burst,
        "concurrent_requests_per_ip": settings.concurrent_requests_per_ip,
        "failed_auth_window_seconds": settings.failed_auth_window_seconds,
        "failed_auth_max_attempts": settings.failed_auth_max_attempts,
        "failed_auth_block_seconds": settings.failed_auth_block_seconds,
    }


def _security(desk: OperatorDesk, token: bytes | None) -> dict[str, Any]:
    gate, now_s = desk.gate, time.monotonic()
    return {
        "protected_routes": ["/v1/*", "/no-tools/v1/*"],
        "require_bearer_auth": desk.settings.require_bearer_auth,
        "bearer_token_present": token is not None,
        "network_scope": gate.scope,
        **_limits(desk),
        "tracked_clients": len(gate.buckets),
        "blocked_clients": gate.blocklist.blocked(now_s),
        "active_clients": len(gate.leases),
    }


def _client(desk: OperatorDesk, request: Request) -> dict[str, Any]:
    """Return how much the client's address has left."""
    gate, now_s = desk.gate, time.monotonic()
    client = gate.client_of(request.head, request.peer)
    key = limiter_key(client)
    return {
        "ip": client,
        "allowance_remaining": round(gate.buckets.level(key, now_s), 3),
        "active_requests": gate.leases.in_use(key),
        "waiting_requests": gate.leases.waiting_for(key),
        "failed_auth_attempts": gate.blocklist.failures(key, now_s),
        "blocked_for_seconds": round(gate.blocklist.blocked_for_s(key, now_s), 3),
    }


def _journal(desk: OperatorDesk) -> dict[str, Any]:
    """Whether the log is reliable: what was written, what was lost, and why."""
    journal, settings = desk.notes.journal, desk.settings
    if journal is None:
        return {"enabled": False}
    return {
        "enabled": True,
        "logs_dir": journal.logs_dir,
        "bodies": settings.log_bodies,
        "stream_lines": settings.log_stream_lines,
        **_counts(journal),
        "withheld_records": desk.notes.encoder.withheld,
    }


def _counts(journal: Journal) -> dict[str, Any]:
    """Return the journal's counts; times as ISO 8601 text, as in every answer for people."""
    facts = journal.facts()
    at_s = facts["last_cleanup_at"]
    shown = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at_s)) if at_s else None
    return {**facts, "last_cleanup_at": shown}


async def metrics(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET /metrics and /v1/relay/metrics, for Prometheus."""
    samples = [*_gauges(desk), *desk.notes.metrics.samples(), *await _from_upstreams(desk)]
    recorder = desk.notes
    await request.reply(200, render(samples, recorder.redactor().short), (), CONTENT_TYPE)


def _gauges(desk: OperatorDesk) -> list[Sample]:
    """Counts from other modules, and states."""
    facts, now_s, gate = desk.facts(), time.monotonic(), desk.gate
    found = [
        Sample("airelays_info", "gauge", "The running version.", ("version",), {(__version__,): 1}),
        single("airelays_start_time_seconds", "gauge", "Unix time when the relay started.",
               desk.started_wall_s),
        single("airelays_requests_open", "gauge", "Requests running now.",
               desk.notes.open_requests),
        single("airelays_streams_open", "gauge", "Streams running now.", desk.streams_open),
        single("airelays_connections_open", "gauge", "Client connections now.",
               facts["connections"]),
        single("airelays_connections_refused_total", "counter",
               "Client connections refused because there were too many.",
               facts["connections_refused"]),
        single("airelays_book_lines_lost_total", "counter",
               "Requests missing from the book of usage because the disk was full.", desk.book_lines_lost()),
        single("airelays_blocked_clients", "gauge", "Addresses blocked after failed attempts.",
               gate.blocklist.blocked(now_s)),
    ]  # fmt: skip
    journal = desk.notes.journal
    if journal is not None:
        found += _journal_samples(journal)
    return found


def _journal_samples(journal: Journal) -> list[Sample]:
    dropped: dict[tuple[str, ...], float] = {
        ("queue_full",): journal.dropped_full,
        ("disk",): journal.dropped_disk,
        ("oversized",): journal.oversized,
    }
    return [
        single("airelays_journal_records_total", "counter", "Records written to the traffic log.",
               journal.written),
        single("airelays_journal_queued", "gauge", "Records waiting to be written.",
               journal.queued),
        Sample("airelays_journal_dropped_total", "counter", "Records lost, by reason.",
               ("reason",), dropped),
    ]  # fmt: skip


async def _from_upstreams(desk: OperatorDesk) -> list[Sample]:
    ready: dict[tuple[str, ...], float] = {}
    refreshes: dict[tuple[str, ...], float] = {}
    for name, facts in (await desk.upstreams.status()).items():
        healthy = facts["health"]["state"] == "ready"
        ready[(name,)] = int(bool(facts.get("ready")) and healthy)
        if isinstance(facts.get("refreshes"), int):
            refreshes[(name,)] = facts["refreshes"]
    return [
        Sample("airelays_upstream_ready", "gauge", "Whether the upstream can be used now.",
               ("upstream",), ready),
        Sample("airelays_sign_in_refreshes_total", "counter", "Refreshes of the sign-in.",
               ("upstream",), refreshes),
    ]  # fmt: skip


async def relay_logging(
    desk: OperatorDesk, request: Request, route: Route, values: dict[str, str]
) -> None:
    """GET and PUT /v1/relay/logging: what is kept of the traffic log, and changing that."""
    journal = desk.notes.journal
    if request.head.method == "PUT":
        await _change_policy(desk, request, journal)
    configured = Policy.of(desk.settings)
    try:
        facts = await asyncio.to_thread(log_facts, desk.settings.logs_dir, configured)
    except ConfigError as error:
        raise _log_fault("read", error) from error
    body = {**facts, "enabled": journal is not None, **(_counts(journal) if journal else {})}
    await request.reply(200, json.dumps(body).encode() + b"\n")


def _log_fault(what: str, error: ConfigError) -> RelayError:
    text = f"the policy of the traffic log cannot be {what}; `{told('logs')}` says why"
    return RelayError(text, status=503, code="log_storage_error", local=str(error))


async def _change_policy(desk: OperatorDesk, request: Request, journal: Journal | None) -> None:
    from airelays.app.bodies import read_json

    changes = await read_json(desk, request)
    if not changes:
        return  # nothing is to be changed: the answer says what is
    logs_dir, configured = desk.settings.logs_dir, Policy.of(desk.settings)
    try:
        before = await asyncio.to_thread(policy_to_change, logs_dir, configured)
        policy = changed(before, changes)
        await asyncio.to_thread(save_policy, logs_dir, policy)
    except ValueError as error:
        name = next((n for n in changes if str(error).startswith(n[:64])), None)
        raise ClientFault(str(error), code="invalid_value", param=name) from error
    except ConfigError as error:
        raise _log_fault("saved", error) from error
    if journal is not None:
        journal.policy_changed()
