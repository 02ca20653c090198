"""The one table of options: key, spelling in the environment and as a flag, bounds, help.

Flags, `AIRELAYS_*` variables, TOML keys, validation, `--help`, `config show` and the docs page are all made
from `OPTIONS` and `UPSTREAM_OPTIONS`; type and default come from the dataclasses in `settings.py`.
Layer: words.
"""

from __future__ import annotations

from airelays.settings.kinds import KINDS, NAMED_KIND
from airelays.settings.record import Record
from airelays.settings.values import Settings, UpstreamSettings

# Today's prefix, the singular one of early releases, and the one from before the project had its name.
PREFIXES = ("AIRELAYS_", "AIRELAY_")
OLDEST_PREFIX = "OPENAI_ENDPOINT_"

# Keys of the older program that mean nothing here: accepted, and named by `config check`.
NO_EFFECT = (
    "providers.openai.enabled",
    "providers.openai.balance",
    "providers.openai.account_cooldown_seconds",
    "providers.openai.image_usage_probe",
    "providers.claude.",
)


def _types(record: type[Record]) -> dict[str, tuple[str, object]]:
    """Return the type and default of each field; None if there is no default."""
    return {name: (kind, getattr(record, name, None)) for name, kind in record.fields.items()}


_TYPES = _types(Settings)
_UPSTREAM_TYPES = _types(UpstreamSettings)
_KINDS = {"tuple[str, ...]": "strings", "tuple[float, ...]": "numbers", "Pairs": "pairs"}


class Option(Record):
    """One option. `key` is `table.name` in the file.

    `kind` is str, int, float, bool, path, url, proxy, host, env_name, strings, numbers, pairs, or one of the
    list kinds hosts, origins, networks. `flag_value` makes the flag one without an argument. `commands`
    names the commands that take the flag; empty means all. `also` are older keys that are read as well.
    """

    key: str
    help: str
    attribute: str = ""
    kind: str = ""
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    env: tuple[str, ...] = ()
    oldest_env: bool = False
    flag: str = ""
    flag_value: str = ""
    flag_help: str = ""
    commands: tuple[str, ...] = ()
    also: tuple[str, ...] = ()
    secret: bool = False
    default: object = None

    def allowed(self) -> str:
        """Return in words which values are allowed."""
        if self.choices:
            quoted = [f'"{c}"' for c in self.choices]
            return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
        if self.kind in ("int", "float"):
            what = "a whole number" if self.kind == "int" else "a number"
            return f"{what} from {self.low:,.15g} to {self.high:,.15g}"
        return _ALLOWED[self.kind]


_ALLOWED = {
    "str": "a string",
    "bool": "true or false",
    "path": "a path",
    "url": "an http:// or https:// URL without a user name, query or fragment",
    "proxy": "the URL of a proxy: http://HOST:PORT or socks5h://HOST:PORT",
    "env_name": "the name of an environment variable, not the key itself",
    "strings": "a list of strings",
    "numbers": "a list of numbers from 0 to 86,400",
    "pairs": "a table of strings",
    "host": 'an address, a host name, or "*" for every address, without a port',
    "hosts": "a list of host names or addresses without a port",
    "origins": 'a list of origins such as "https://app.example", "tauri://" or "null", never "*"',
    "networks": 'a list of addresses or networks such as "10.0.0.0/8"',
}

_SERVICE = ("service install", "service print")
_SERVE = ("serve", "init", *_SERVICE)
# The commands that lead to a first answer.
_FIRST = ("serve", "init", "ask", "run", *_SERVICE)
_UNIT = 1024**3
_NAMED_KINDS = tuple(name for name, kind in KINDS.items() if kind.has_name)


def _finish(option: Option, types: dict[str, tuple[str, object]]) -> Option:
    name = option.key.rpartition(".")[2]
    attribute = option.attribute or name
    annotation, default = types[attribute]
    return option.replace(
        attribute=attribute,
        kind=option.kind or _KINDS.get(annotation, annotation),
        env=option.env or (name.upper(),),
        default=default,
    )


# fmt: off
_TABLE = (
    Option("server.host", "Address to listen on. A host name is looked up once, at startup.",
           kind="host", oldest_env=True, flag="--host", commands=_SERVE),
    Option("server.port", "Port to listen on; 0 picks a free one.", low=0, high=65535,
           oldest_env=True, flag="--port", commands=_SERVE),
    Option("server.max_connections", "Maximum number of client connections; further ones get a 503.", low=1,
           high=100_000),
    Option("server.max_connections_per_ip", "Maximum number of client connections from one address.", low=1,
           high=100_000),
    Option("server.max_json_body_bytes", "Largest JSON request body, in bytes.", low=1024, high=_UNIT),
    Option("server.first_byte_seconds", "Time allowed for the first byte of a new connection.", low=0.1,
           high=3600),
    Option("server.head_seconds", "Time allowed for a complete request head, from its first byte.", low=0.1,
           high=3600),
    Option("server.body_gap_seconds", "Longest pause allowed within a request body.", low=0.1,
           high=3600),
    Option("server.keep_alive_seconds", "How long an idle connection is kept open.", low=0.1,
           high=3600),
    Option("server.write_stall_seconds", "Disconnect a client that reads nothing for this long.",
           low=0.1, high=3600),
    Option("server.ping_seconds", "Send a keep-alive comment after a stream has been silent for this long.",
           low=0.05, high=3600),
    Option("server.drain_seconds", "Time that running requests get to finish when the relay stops.",
           low=0, high=3600),
    Option("server.announce_seconds",
           "Time that /healthz answers 503 before a stopping relay stops accepting connections, so that a "
           "load balancer notices.",
           low=0, high=600),
    Option("server.quiet", "On a terminal, do not print a line per request, only what a service prints.",
           flag="--quiet", flag_value="true", commands=("serve",),
           flag_help="Do not print a line per request, only what a service prints."),
    Option("server.log_format", "Format of the lines that `serve` prints while it runs.",
           choices=("text", "json"), flag="--log-format", commands=("serve",)),
    Option("paths.data_dir", "Folder for the relay's files; `~/.airelays` if unset.", kind="path", oldest_env=True,
           flag="--data-dir"),
    Option("paths.logs_dir", "Folder for the traffic log; `logs` in data_dir if unset.",
           kind="path", oldest_env=True, flag="--logs-dir"),
    Option("auth.storage", "Where the upstream sign-in is stored.", attribute="auth_storage",
           choices=("file", "keyring", "auto"), env=("AUTH_STORAGE",), oldest_env=True,
           flag="--auth-storage"),
    Option("auth.browser_open", "Open the browser automatically during `login`.", oldest_env=True),
    Option("auth.login_timeout_seconds", "How long `login` waits for you to sign in.", low=1, high=86_400,
           oldest_env=True),
    Option("upstream.kind", "Kind of the main upstream.", attribute="upstream_kind",
           choices=tuple(KINDS), env=("UPSTREAM_KIND",), flag="--demo",
           flag_value="demo", flag_help="Answer from the built-in demo: no sign-in, no network.",
           commands=_FIRST),
    Option("upstream.base_url", "Base URL of the upstream. Preset for chatgpt, required for compatible.",
           kind="url", attribute="upstream_base_url", env=("UPSTREAM_BASE_URL",), oldest_env=True,
           flag="--upstream", flag_help="Base URL of an OpenAI-compatible server to use as the upstream.",
           commands=_FIRST),
    Option("upstream.issuer_base_url", "Base URL of the sign-in service.", kind="url",
           oldest_env=True),
    Option("upstream.client_id", "Client id used for the sign-in.", oldest_env=True),
    Option("upstream.client_version",
           'Client version to send when requesting the model catalog; "auto" uses the one built into '
           'AIRelays.', oldest_env=True),
    Option("upstream.api_key_env",
           "Environment variable that contains the key of a compatible upstream.", kind="env_name",
           flag="--upstream-key-env", commands=_FIRST),
    Option("upstream.api_key_file", "File that contains the key of a compatible upstream.",
           kind="path"),
    Option("upstream.headers", "Additional header fields to send to a compatible upstream.",
           attribute="upstream_headers", env=("-",), secret=True),
    Option("upstream.models", "Patterns of model names to send here, for example `gpt-*`.",
           attribute="upstream_models", env=("UPSTREAM_MODELS",)),
    Option("upstream.fallback",
           "Models to try, in this order, when this upstream fails before the first byte."),
    Option("upstream.fallback_on",
           "Causes for which to use the fallback: quota, overloaded, unreachable.",
           choices=("quota", "overloaded", "unreachable")),
    Option("upstream.allow_http", "Allow plain http:// to addresses that are neither loopback nor private."),
    Option("upstream.offline",
           "Connect only to loopback and private addresses, without a proxy, and refuse everything else.",
           flag="--offline", flag_value="true", flag_help="Connect only to loopback and private addresses."),
    Option("upstream.connect_seconds", "Time allowed for the name lookup and the TCP connection.", low=0.1, high=600),
    Option("upstream.tls_seconds", "Time allowed for the TLS handshake.", low=0.1, high=600),
    Option("upstream.request_timeout_seconds",
           "Time allowed until the upstream's complete response head has arrived.", low=0.1, high=86_400,
           oldest_env=True),
    Option("upstream.stream_gap_seconds", "Longest pause allowed within a stream from the upstream.", low=0.1,
           high=86_400),
    Option("upstream.max_answer_bytes",
           "Largest non-streamed answer of a compatible server, in bytes; image answers can be up to 64 MiB.",
           low=1024, high=_UNIT),
    Option("upstream.image_timeout_seconds", "Time allowed for one image.", low=1, high=86_400,
           also=("providers.openai.image_timeout_seconds",)),
    Option("upstream.ca_file", "PEM file with the only certificate authorities to trust for upstream "
    "connections.",
           kind="path", flag="--ca-file"),
    Option("upstream.proxy", "Proxy for upstream connections; overrides the environment.",
           kind="proxy", env=("UPSTREAM_PROXY",), secret=True),
    Option("upstream.use_env_proxy", "Use HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY."),
    Option("upstream.models_cache_ttl_seconds",
           "How long the model catalog is cached; 0 disables the cache.", low=0, high=604_800,
           env=("MODELS_CACHE_TTL_SECONDS", "OPENAI_MODELS_CACHE_TTL_SECONDS"),
           also=("providers.openai.models_cache_ttl_seconds",)),
    Option("upstream.extra_models", "Model ids to offer in addition to the catalog.",
           env=("EXTRA_MODELS", "OPENAI_EXTRA_MODELS"), also=("providers.openai.extra_models",)),
    Option("upstream.retry_attempts",
           "Retries after an overload, before the first byte.", low=0, high=10,
           env=("RETRY_ATTEMPTS", "OPENAI_RETRY_ATTEMPTS"),
           also=("providers.openai.retry_attempts",)),
    Option("upstream.retry_backoff_seconds", "Pauses before those retries; the last one repeats.",
           env=("RETRY_BACKOFF_SECONDS", "OPENAI_RETRY_BACKOFF_SECONDS"),
           also=("providers.openai.retry_backoff_seconds",)),
    Option("upstream.demo_pace_ms",
           "Pause between words of the demo upstream, in milliseconds.", low=0, high=60_000),
    Option("upstream.demo_reasoning", "Let the demo upstream stream reasoning."),
    Option("security.require_bearer_auth", "Require the relay token or a named key from every client.",
           flag="--no-auth", flag_value="false", flag_help="Open mode: clients do not need a token.",
           commands=_SERVE),
    Option("security.bearer_token_file",
           "File that contains the relay token; `relay-token` in data_dir if unset.", kind="path",
           flag="--bearer-token-file"),
    Option("security.auto_generate_bearer_token", "Create a relay token at startup if there is none.",
           flag="--make-token", flag_value="true", commands=("serve",),
           flag_help="Create a relay token at startup if there is none."),
    Option("security.rate_limit_per_minute",
           "Requests per minute that one address can send, on average.", low=1, high=1_000_000),
    Option("security.rate_limit_burst", "Requests that one address can send in a burst before that limit applies.",
           low=1, high=1_000_000),
    Option("security.concurrent_requests_per_ip",
           "Requests from one address that can run at the same time.", low=1, high=100_000),
    Option("security.queue_seconds",
           "How long a request waits while its address has that many running; 0 refuses it at once.", low=0, high=3600),
    Option("security.failed_auth_window_seconds", "Period in which failed authentication attempts are counted.",
           low=1, high=86_400),
    Option("security.failed_auth_max_attempts",
           "Failed attempts within that period that cause a block.", low=1, high=1_000_000),
    Option("security.failed_auth_block_seconds", "How long a block lasts.", low=1, high=604_800),
    Option("security.failed_auth_block_scope",
           "What a block stops: further invalid attempts, or every request from the address.",
           choices=("invalid", "address")),
    Option("security.trust_x_forwarded_for",
           "Take the client's address from the X-Forwarded-For header of a trusted proxy."),
    Option("security.trusted_proxies", "Addresses of proxies whose X-Forwarded-For header is trusted.",
           kind="networks"),
    Option("security.network_scope", "Which addresses can connect when the listener is not on loopback.",
           choices=("loopback", "private", "any"), flag="--network-scope", commands=_SERVE),
    Option("security.allowed_hosts",
           "Additional host names that clients can use to reach the relay.", kind="hosts"),
    Option("security.allowed_origins", "Web origins whose pages can call the relay.",
           kind="origins"),
    Option("security.allow_open_network",
           "Confirm open mode or a weak token on an address that other machines can reach.",
           flag="--i-know-this-is-open", flag_value="true", commands=_SERVE,
           flag_help="Confirm --no-auth or --allow-weak-token on an address that other machines can reach."),
    Option("security.allow_weak_token",
           "Accept a published or weak relay token on an address that other machines can reach. Also "
           "requires allow_open_network.",
           flag="--allow-weak-token", flag_value="true", commands=_SERVE,
           flag_help="Accept a weak relay token on an address that other machines can reach. Also requires "
           "--i-know-this-is-open."),
    Option("uploads.max_upload_bytes", "Largest uploaded file, in bytes.", low=1, high=16 * _UNIT),
    Option("uploads.max_total_upload_bytes", "Total size of all uploaded files, in bytes.", low=1,
           high=1024 * _UNIT),
    Option("storage.store_responses",
           "Keep answers for `previous_response_id` and `store: true`."),
    Option("storage.max_responses", "Number of answers to keep; the oldest are deleted first.", low=1, high=1_000_000),
    Option("storage.responses_retention_days", "Days to keep an answer.", low=1, high=36_500),
    Option("storage.max_conversations", "Number of conversations to keep.", low=1, high=1_000_000),
    Option("storage.max_conversation_items", "Maximum number of items in one conversation.", low=1, high=1_000_000),
    Option("storage.max_conversation_bytes", "Maximum size of one conversation, in bytes.", low=1024, high=_UNIT),
    Option("logging.enabled", "Write the traffic log.", attribute="log_enabled",
           env=("LOG_ENABLED",)),
    Option("logging.bodies", "Log request and response bodies, with secrets removed.",
           attribute="log_bodies", choices=("off", "redacted"), env=("LOG_BODIES",)),
    Option("logging.stream_lines", "Also log the raw stream lines of the upstream.",
           attribute="log_stream_lines", env=("LOG_STREAM_LINES",)),
    Option("logging.retention_days", "Days to keep log files; 0 sets no age limit.", low=0,
           high=36_500, attribute="log_retention_days", env=("LOG_RETENTION_DAYS",)),
    Option("logging.max_total_mb", "Maximum size of all log files, in MiB.", low=1, high=1_048_576,
           attribute="log_max_total_mb", env=("LOG_MAX_TOTAL_MB",)),
    Option("logging.max_file_mb", "Maximum size of one log file, in MiB; cannot exceed max_total_mb.", low=1,
           high=10_240, attribute="log_max_file_mb", env=("LOG_MAX_FILE_MB",)),
    Option("ollama.enabled", "Also serve Ollama's API (`/api/*`).", attribute="ollama_enabled",
           env=("OLLAMA_ENABLED",), flag="--for-ollama", flag_value="true", commands=("serve", *_SERVICE),
           flag_help="Also serve Ollama's API, on 127.0.0.1:11434, to every program on this machine."),
)
# fmt: on

OPTIONS: tuple[Option, ...] = tuple(_finish(option, _TYPES) for option in _TABLE)


def _for_upstreams() -> tuple[Option, ...]:
    """The keys of `[upstreams.NAME]`: those of `[upstream]` that `UpstreamSettings` has, without flags."""
    found = []
    for option in OPTIONS:
        table, _, name = option.key.partition(".")
        if table == "upstream" and name in _UPSTREAM_TYPES and name != "offline":
            found.append(
                Option(
                    key=f"upstreams.NAME.{name}",
                    help=option.help,
                    attribute=name,
                    kind=option.kind,
                    low=option.low,
                    high=option.high,
                    choices=_NAMED_KINDS if name == "kind" else option.choices,
                    env=("-",),
                    secret=option.secret,
                    default=NAMED_KIND if name == "kind" else _UPSTREAM_TYPES[name][1],
                )
            )
    return tuple(found)


UPSTREAM_OPTIONS: tuple[Option, ...] = _for_upstreams()


def by_attribute(attribute: str) -> Option:
    """Return the option that sets `Settings.attribute`; KeyError if none does."""
    for option in OPTIONS:
        if option.attribute == attribute:
            return option
    raise KeyError(attribute)


def env_names(option: Option) -> tuple[str, ...]:
    """Return the environment variables of `option`, the strongest first."""
    if option.env == ("-",):
        return ()
    names = [prefix + name for prefix in PREFIXES for name in option.env]
    return (*names, *(OLDEST_PREFIX + name for name in option.env if option.oldest_env))
