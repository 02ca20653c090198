"""`status`: the relay that runs, asked over its control listener; without one, what it would start with.

No upstream is asked. Layer: commands.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from airelays.commands.connect.facts import client_facts, print_client
from airelays.commands.usage import span
from airelays.commands.weaktoken import weak_warning
from airelays.credentials.as_owner import check_readable
from airelays.credentials.token import fingerprint
from airelays.errors import ConfigError
from airelays.hints import hint
from airelays.settings.kinds import KINDS
from airelays.settings.values import client_base_url
from airelays.terminal.arguments import Arguments
from airelays.terminal.browser import is_headless
from airelays.terminal.console import Console
from airelays.terminal.context import Context, find_context
from airelays.terminal.running import NOT_RUNNING, access, find_relay
from airelays.upstream.chatgpt.signin import SignIn
from airelays.upstream.chatgpt.store import SignInStore


def run(args: Arguments, console: Console) -> int:
    """Show the current state and the next steps.

    Exit 3 if no relay is running; 1 if that cannot be determined or the token cannot be used.
    """
    context = find_context(args, console)
    check_readable(context.settings.data_dir)
    contact = find_relay(args, context)
    running = None if contact is None else contact.ask("GET", "/status")
    auth = sign_in_facts(context, console)
    relay = _relay_facts(context)
    if running is not None:
        relay |= running["relay"]
        auth |= running["auth"]
    steps = _next_steps(context, console, relay, auth, runs=running is not None)
    if relay["bearer_token_warning"] and context.token.source == "file":
        steps.insert(0, hint("token rotate"))
    client = access(context, contact, running)
    if args.has("--json"):
        told = {
            "relay": relay,
            "auth": auth,
            "client": client_facts(client),
            "running": _told(running),
        }
        console.json({**told, "next_steps": steps})
    else:
        console.title("Status")
        _print_running(console, context, running)
        _print_relay(console, context, relay)
        if KINDS[relay["upstream_kind"]].signs_in:
            _print_auth(console, auth)
        print_client(console, client)
        console.steps(steps)
    if running is None:
        return NOT_RUNNING
    return 1 if relay["bearer_token_problem"] else 0


def _told(running: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return what the JSON view adds about a running relay to the rest of its answer."""
    if running is None:
        return None
    apart = ("object", "app_name", "auth", "relay", "supported_routes")
    return {name: value for name, value in running.items() if name not in apart}


def _print_running(console: Console, context: Context, running: dict[str, Any] | None) -> None:
    console.section("Running")
    if running is None:
        console.field("Runs", f"no relay is using {context.settings.data_dir}")
        return
    process = running.get("process", {})
    ends = ", stopping" if process.get("stopping") else ""
    pid = f"pid {process['pid']}, " if "pid" in process else ""
    console.field("Runs", f"yes{ends}; {pid}version {running['version']}")
    console.field("Since", f"{span(running['uptime_seconds'])} ago")
    console.field(
        "Requests", f"{running['requests_total']}, {running['requests_open']} running now"
    )
    console.field("Connections", running["connections"])
    for name, facts in running["upstreams"].items():
        console.field(f"Upstream {name}", _upstream_text(facts))
    blocked = running["security"]["blocked_clients"]
    if blocked:
        console.field("Blocked", f"{blocked} addresses; lift it: {hint('unblock')}")
    if process.get("reload_problem"):
        console.field("Reload failed", process["reload_problem"])


def _upstream_text(facts: dict[str, Any]) -> str:
    """Return whether an upstream is asked now, and if not why and until when."""
    health = facts.get("health", {})
    if not facts.get("ready"):
        return "not ready"
    if health.get("state") == "skipped":
        return f"skipped ({health['cause']}); next try in {health['for_seconds']:g} s"
    if health.get("state") == "trying":
        return f"the next request tries it again ({health['cause']})"
    spent = health.get("quota_used_up")
    return f"ready; quota used up for {', '.join(spent)}" if spent else "ready"


def sign_in_facts(context: Context, console: Console) -> dict[str, Any]:
    """Return the facts of the stored sign-in, with a `problem` when it cannot be read."""
    try:
        store = SignInStore(
            context.settings.data_dir, context.settings.auth_storage, warn=console.note
        )
        facts = {**(store.load() or SignIn()).describe(), **store.describe()}
    except ConfigError as error:
        facts = {
            **SignIn().describe(),
            "storage_mode": context.settings.auth_storage,
            "problem": str(error),
        }
    return facts


def _relay_facts(context: Context) -> dict[str, Any]:
    settings, token = context.settings, context.token.current()
    return {
        "app_name": "AIRelays",
        "config_path": context.config_path,
        "config_exists": context.config_text is not None,
        "host": settings.host,
        "port": settings.port,
        "listeners": [one.as_dict() for one in settings.listeners],
        "client_base_url": settings.base_url,
        "upstream_kind": settings.upstream_kind,
        "auth_storage_mode": settings.auth_storage,
        "data_dir": settings.data_dir,
        "auth_file": os.path.join(settings.data_dir, "auth.json"),
        "logs_dir": settings.logs_dir,
        "browser_open": settings.browser_open,
        "require_bearer_auth": settings.require_bearer_auth,
        "bearer_token_file": settings.bearer_token_file,
        "bearer_token_present": token is not None,
        "bearer_token_source": context.token.source,
        "bearer_token_problem": context.token.problem or None,
        "bearer_token_warning": weak_warning(context) or None,
        "bearer_token_fingerprint": fingerprint(token) if token else None,
        "auto_generate_bearer_token": settings.auto_generate_bearer_token,
        "rate_limit_per_minute": settings.rate_limit_per_minute,
        "rate_limit_burst": settings.rate_limit_burst,
        "concurrent_requests_per_ip": settings.concurrent_requests_per_ip,
        "failed_auth_window_seconds": settings.failed_auth_window_seconds,
        "failed_auth_max_attempts": settings.failed_auth_max_attempts,
        "failed_auth_block_seconds": settings.failed_auth_block_seconds,
        "trust_x_forwarded_for": settings.trust_x_forwarded_for,
        "network_scope": settings.network_scope,
        "effective_network_scope": settings.effective_network_scope,
        "max_upload_bytes": settings.max_upload_bytes,
        "max_total_upload_bytes": settings.max_total_upload_bytes,
    }


def _next_steps(
    context: Context, console: Console, relay: dict[str, Any], auth: dict[str, Any], *, runs: bool
) -> list[str]:
    if relay["require_bearer_auth"] and not relay["bearer_token_present"]:
        return [hint("init")]
    if KINDS[relay["upstream_kind"]].signs_in and not auth["ready_for_requests"]:
        headless = is_headless(console.env, sys.platform)
        return [hint("login --device" if headless else "login")]
    return [hint("connect CLIENT")] if runs else [hint("serve")]


def _print_relay(console: Console, context: Context, relay: dict[str, Any]) -> None:
    console.section("Relay")
    console.field("Config file", relay["config_path"])
    console.field("Config exists", relay["config_exists"])
    console.field("Base URL", relay["client_base_url"])
    for one in relay.get("listeners", ()):
        if one["port"] != relay["port"] or one["key"]:
            key = f": open to every program on this machine, with the key {one['key']}"
            url = client_base_url(one["host"], one["port"])
            console.field("Also", url + (key if one["key"] else ""))
    console.field("Upstream", relay["upstream_kind"])
    console.field("Data dir", relay["data_dir"])
    console.field("Logs dir", relay["logs_dir"])
    console.field("Who can connect", relay["effective_network_scope"])
    needs_token = relay["require_bearer_auth"]
    console.field("Bearer auth", "enabled" if needs_token else "disabled")
    present = "present" if relay["bearer_token_present"] else "missing"
    if relay["bearer_token_problem"]:
        present = f"cannot be used: {relay['bearer_token_problem']}"
    elif relay["bearer_token_warning"]:
        present = f"weak: {relay['bearer_token_warning']}"
    console.field("Relay token", present if needs_token else "not required")
    console.field("Token source", relay["bearer_token_source"])
    console.field("Token file", relay["bearer_token_file"])
    rate = f"{relay['rate_limit_per_minute']}/min + burst {relay['rate_limit_burst']}"
    console.field("Rate limit", rate)
    console.field("Concurrent/IP", relay["concurrent_requests_per_ip"])


def _print_auth(console: Console, auth: dict[str, Any]) -> None:
    console.section("Upstream Session")
    console.field("Ready", auth["ready_for_requests"])
    console.field("Authenticated", auth["authenticated"])
    console.field("Account bound", auth["account_bound"])
    console.field("Email", auth["email"])
    console.field("Plan", auth["plan_type"])
    console.field("Account ID", auth["account_id"])
    console.field("Last refresh", auth["last_refresh"])
    console.field("Storage mode", auth["storage_mode"])
    console.field("Auth store", auth.get("auth_store_path"))
    if "problem" in auth:
        console.field("Problem", auth["problem"])
