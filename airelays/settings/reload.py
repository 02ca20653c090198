"""What SIGHUP can change in a running relay. Layer: app."""

from __future__ import annotations

from airelays.hints import hint
from airelays.settings.values import Settings

# The policy of the traffic log, unless one is saved next to it.
POLICY = frozenset({"log_max_file_mb", "log_max_total_mb", "log_retention_days"})
# What upstreams are created from and chosen by: if one of these changes, upstreams that differ are created again.
UPSTREAMS = frozenset(
    {
        "aliases",
        "allow_http",
        "api_key_env",
        "api_key_file",
        "ca_file",
        "client_version",
        "connect_seconds",
        "extra_models",
        "fallback",
        "fallback_on",
        "image_timeout_seconds",
        "max_answer_bytes",
        "models_cache_ttl_seconds",
        "proxy",
        "request_timeout_seconds",
        "retry_attempts",
        "retry_backoff_seconds",
        "stream_gap_seconds",
        "tls_seconds",
        "upstream_base_url",
        "upstream_headers",
        "upstream_models",
        "upstreams",
        "use_env_proxy",
    }
)
# Read for each request, connection or cleanup of the log. All others are built into what exists since
# the start: listening sockets, folders, the kind of the main upstream, the journal. Whether a token is needed at
# all changes by a restart only.
RELOADABLE = (
    POLICY
    | UPSTREAMS
    | frozenset(
        {
            "announce_seconds",
            "drain_seconds",
            "max_conversation_bytes",
            "max_conversation_items",
            "max_conversations",
            "max_responses",
            "max_total_upload_bytes",
            "max_upload_bytes",
            "responses_retention_days",
            "store_responses",
            "allowed_hosts",
            "allowed_origins",
            "body_gap_seconds",
            "concurrent_requests_per_ip",
            "queue_seconds",
            "failed_auth_block_scope",
            "failed_auth_block_seconds",
            "failed_auth_max_attempts",
            "failed_auth_window_seconds",
            "first_byte_seconds",
            "head_seconds",
            "keep_alive_seconds",
            "max_connections",
            "max_connections_per_ip",
            "max_json_body_bytes",
            "network_scope",
            "ping_seconds",
            "rate_limit_burst",
            "rate_limit_per_minute",
            "rules",
            "trust_x_forwarded_for",
            "trusted_proxies",
        }
    )
)


def split_changes(old: Settings, new: Settings) -> tuple[list[str], list[str]]:
    """Return the names whose values differ: those that can be applied, and those that require a restart."""
    changed = [n for n in Settings.fields if getattr(old, n) != getattr(new, n)]
    return (
        [name for name in changed if name in RELOADABLE],
        [name for name in changed if name not in RELOADABLE],
    )


def spelled(names: list[str], old: Settings, new: Settings) -> list[str]:
    """Return the names, with the user's own names instead of their tables: `upstreams.local`."""
    found = []
    for name in names:
        before, after = getattr(old, name), getattr(new, name)
        if name not in ("upstreams", "aliases"):
            found.append(name)
            continue
        changed = sorted(
            {one.name for one in {*before, *after} if (one in before) != (one in after)}
        )
        found += [f"{name}.{one}" for one in changed] or [f"{name} (their order)"]
    return found


def reload_text(taken: list[str], left: list[str], saved_policy: str = "") -> str:
    """Return one sentence about a reload; `saved_policy` is the file of a policy that overrides the config."""
    if not taken and not left:
        return "settings reloaded: nothing changed"
    parts = []
    if taken:
        parts.append("applied: " + ", ".join(taken))
    if left:
        parts.append("restart required for: " + ", ".join(left))
    beaten = [name for name in taken if name in POLICY] if saved_policy else []
    if beaten:
        parts.append(
            f"{saved_policy} overrides {', '.join(beaten)} (`{hint('logs --reset')}` removes it)"
        )
    return "settings reloaded: " + "; ".join(parts)
