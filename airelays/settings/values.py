"""The frozen values that the options become: `Settings`, one `UpstreamSettings` per upstream, `Alias`.

Names, types and defaults are defined here once; `table.py` defines their spelling in the file, in the environment and
on the command line, and their limits. Times are seconds and sizes bytes, unless the name says otherwise. Secrets are
never here, only their places. Layer: words.
"""

from __future__ import annotations

from typing import Any

from airelays.settings.hosts import is_loopback
from airelays.settings.kinds import KINDS
from airelays.settings.record import Record

Pairs = tuple[tuple[str, str], ...]

MIB = 1024 * 1024


class Alias(Record):
    """A model name of the user's own: requests for `name` go to `model` (`NAME/model` or a plain id)."""

    name: str
    model: str
    fallback: tuple[str, ...] = ()
    fallback_on: tuple[str, ...] = ()


class Rule(Record):
    """What is done to parameters of requests for `upstream` ("" for all) and `model` (a pattern, "" for all)."""

    upstream: str = ""
    model: str = ""
    set: tuple[tuple[str, Any], ...] = ()
    default: tuple[tuple[str, Any], ...] = ()
    strip: tuple[str, ...] = ()
    cap: tuple[tuple[str, Any], ...] = ()


class ListenSettings(Record):
    """One listener in addition to `server.host`. `key` is the name of the key that it is bound to, or ""."""

    host: str
    port: int
    key: str = ""


class Price(Record):
    """What a million tokens of the models that fit the pattern `model` costs; `cached` is for input from a cache."""

    model: str
    input: float
    cached: float
    output: float


class UpstreamSettings(Record):
    """One upstream. `models` are patterns with `*`; empty means everything that no other upstream matches."""

    name: str
    kind: str
    base_url: str = ""
    api_key_env: str = ""
    api_key_file: str = ""
    headers: Pairs = ()
    request_timeout_seconds: float = 120.0
    connect_seconds: float = 10.0
    tls_seconds: float = 10.0
    stream_gap_seconds: float = 300.0
    max_answer_bytes: int = 16 * MIB
    ca_file: str = ""
    proxy: str = ""
    use_env_proxy: bool = True
    models: tuple[str, ...] = ()
    aliases: tuple[Alias, ...] = ()
    fallback: tuple[str, ...] = ()
    fallback_on: tuple[str, ...] = ()
    allow_http: bool = False
    offline: bool = False


class Settings(Record):
    """Everything that can be set, resolved. `Settings(data_dir="/x")` is the defaults on that folder."""

    # [server]
    host: str = "127.0.0.1"
    port: int = 8080
    max_connections: int = 512
    max_connections_per_ip: int = 256
    max_json_body_bytes: int = 32 * MIB
    first_byte_seconds: float = 15.0
    head_seconds: float = 10.0
    body_gap_seconds: float = 15.0
    keep_alive_seconds: float = 75.0
    write_stall_seconds: float = 60.0
    ping_seconds: float = 15.0
    drain_seconds: float = 10.0
    announce_seconds: float = 0.0
    # [paths]
    data_dir: str = ""
    logs_dir: str = ""
    # [auth]
    auth_storage: str = "file"
    browser_open: bool = False
    login_timeout_seconds: float = 900.0
    # [upstream]
    upstream_kind: str = "chatgpt"
    upstream_base_url: str = ""
    issuer_base_url: str = "https://auth.openai.com"
    client_id: str = "app_EMoamEEZ73f0CkXaXp7hrann"
    client_version: str = "auto"
    api_key_env: str = ""
    api_key_file: str = ""
    upstream_headers: Pairs = ()
    upstream_models: tuple[str, ...] = ()
    fallback: tuple[str, ...] = ()
    fallback_on: tuple[str, ...] = ()
    allow_http: bool = False
    offline: bool = False
    connect_seconds: float = 10.0
    tls_seconds: float = 10.0
    request_timeout_seconds: float = 120.0
    stream_gap_seconds: float = 300.0
    image_timeout_seconds: float = 300.0
    max_answer_bytes: int = 16 * MIB
    ca_file: str = ""
    proxy: str = ""
    use_env_proxy: bool = True
    models_cache_ttl_seconds: float = 300.0
    extra_models: tuple[str, ...] = ()
    retry_attempts: int = 0
    retry_backoff_seconds: tuple[float, ...] = (5.0, 20.0, 60.0)
    demo_pace_ms: float = 0.0
    demo_reasoning: bool = True
    # [security]
    require_bearer_auth: bool = True
    bearer_token_file: str = ""
    auto_generate_bearer_token: bool = False
    rate_limit_per_minute: int = 120
    rate_limit_burst: int = 40
    concurrent_requests_per_ip: int = 8
    queue_seconds: float = 10.0
    failed_auth_window_seconds: int = 300
    failed_auth_max_attempts: int = 8
    failed_auth_block_seconds: int = 900
    failed_auth_block_scope: str = "invalid"
    trust_x_forwarded_for: bool = False
    trusted_proxies: tuple[str, ...] = ("127.0.0.0/8", "::1")
    network_scope: str = "private"
    allowed_hosts: tuple[str, ...] = ()
    allowed_origins: tuple[str, ...] = ()
    allow_open_network: bool = False
    allow_weak_token: bool = False
    # [uploads]
    max_upload_bytes: int = 32 * MIB
    max_total_upload_bytes: int = 256 * MIB
    # [storage]
    store_responses: bool = True
    max_responses: int = 1000
    responses_retention_days: int = 30
    max_conversations: int = 1000
    max_conversation_items: int = 5000
    max_conversation_bytes: int = 16 * MIB
    # [logging]
    log_enabled: bool = True
    quiet: bool = False
    log_format: str = "text"
    log_bodies: str = "off"
    log_stream_lines: bool = False
    log_retention_days: int = 7
    log_max_total_mb: int = 1024
    log_max_file_mb: int = 50
    # [ollama]
    ollama_enabled: bool = False
    # [[listen]], [[rules]], [upstreams.NAME], [aliases], [prices]
    rules: tuple[Rule, ...] = ()
    listeners: tuple[ListenSettings, ...] = ()
    upstreams: tuple[UpstreamSettings, ...] = ()
    aliases: tuple[Alias, ...] = ()
    prices: tuple[Price, ...] = ()

    def _complete(self) -> None:
        """Derive what was left empty: folders and files below `data_dir`, the ChatGPT base URL."""
        derived = {
            "logs_dir": self.data_dir and f"{self.data_dir}/logs",
            "bearer_token_file": self.data_dir and f"{self.data_dir}/relay-token",
            "upstream_base_url": KINDS[self.upstream_kind].base_url
            if self.upstream_kind in KINDS
            else "",
        }
        for name, value in derived.items():
            if not getattr(self, name):
                self.__dict__[name] = value

    @property
    def main_upstream(self) -> UpstreamSettings:
        """The `[upstream]` table as one value; its name is its kind."""
        return UpstreamSettings(
            name=self.upstream_kind,
            kind=self.upstream_kind,
            base_url=self.upstream_base_url,
            api_key_env=self.api_key_env,
            api_key_file=self.api_key_file,
            headers=self.upstream_headers,
            request_timeout_seconds=self.request_timeout_seconds,
            connect_seconds=self.connect_seconds,
            tls_seconds=self.tls_seconds,
            stream_gap_seconds=self.stream_gap_seconds,
            max_answer_bytes=self.max_answer_bytes,
            ca_file=self.ca_file,
            proxy=self.proxy,
            use_env_proxy=self.use_env_proxy,
            models=self.upstream_models,
            fallback=self.fallback,
            fallback_on=self.fallback_on,
            allow_http=self.allow_http,
            offline=self.offline,
        )

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host that is listened on, `host` first."""
        return (self.host, *(one.host for one in self.listeners))

    @property
    def effective_network_scope(self) -> str:
        """ "loopback" when the listener is on loopback, else `network_scope`."""
        return "loopback" if is_loopback(self.host) else self.network_scope

    @property
    def base_url(self) -> str:
        """What a client on this machine is given as base URL; a wildcard listener is shown as loopback."""
        return client_base_url(self.host, self.port)


def is_wildcard_host(host: str) -> bool:
    """Whether a `host` to listen on means every address of the machine."""
    return host in ("0.0.0.0", "::", "")


def client_base_url(host: str, port: int) -> str:
    """Return `http://HOST:PORT/v1` with a host that can be dialed."""
    dialled = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)
    return f"http://[{dialled}]:{port}/v1" if ":" in dialled else f"http://{dialled}:{port}/v1"
