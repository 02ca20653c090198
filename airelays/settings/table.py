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
    """Return type and default of each field; None where there is no default."""
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
        """Say in words what a value may be."""
        if self.choices:
            quoted = [f'"{c}"' for c in self.choices]
            return " or ".join(filter(None, [", ".join(quoted[:-1]), quoted[-1]]))
        if self.kind in ("int", "float"):
            what = "a whole number" if self.kind == "int" else "a number"
            return f"{what} from {self.low:,.15g} to {self.high:,.15g}"
        return _ALLOWED[self.kind]


_ALLOWED = {
    "str": "a text",
    "bool": "true or false",
    "path": "a path",
    "url": "an http:// or https:// URL without user name, query and fragment",
    "proxy": "a URL of a proxy: http://HOST:PORT or socks5h://HOST:PORT",
    "env_name": "the name of an environment variable, not the key itself",
    "strings": "a list of texts",
    "numbers": "a list of numbers from 0 to 86,400",
    "pairs": "a table of texts",
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
    Option("server.host", "Address to listen on; a name is looked up once at start.",
           kind="host", oldest_env=True, flag="--host", commands=_SERVE),
    Option("server.port", "Port to listen on; 0 takes any free one.", low=0, high=65535,
           oldest_env=True, flag="--port", commands=_SERVE),
    Option("server.max_connections", "Client connections at once; more get a 503.", low=1,
           high=100_000),
    Option("server.max_connections_per_ip", "Client connections at once from one address.", low=1,
           high=100_000),
    Option("server.max_json_body_bytes", "Largest JSON request body.", low=1024, high=_UNIT),
    Option("server.first_byte_seconds", "Wait for the first byte of a new connection.", low=0.1,
           high=3600),
    Option("server.head_seconds", "Time for a whole request head, from its first byte.", low=0.1,
           high=3600),
    Option("server.body_gap_seconds", "Longest silence inside a request body.", low=0.1,
           high=3600),
    Option("server.keep_alive_seconds", "How long an idle connection is kept.", low=0.1,
           high=3600),
    Option("server.write_stall_seconds", "A client that takes nothing for so long is cut.",
           low=0.1, high=3600),
    Option("server.ping_seconds", "Silence in a stream after which a keep-alive comment is sent.",
           low=0.05, high=3600),
    Option("server.drain_seconds", "Time that running answers get when the relay is stopped.",
           low=0, high=3600),
    Option("server.announce_seconds",
           "Time that /healthz answers 503 before a stopping relay accepts no more, for a load balancer to notice.",
           low=0, high=600),
    Option("server.quiet", "Print no line per request on a terminal, only what a service prints.",
           flag="--quiet", flag_value="true", commands=("serve",),
           flag_help="Print no line per request, only what a service prints."),
    Option("server.log_format", "Form of the lines that `serve` prints while it serves.",
           choices=("text", "json"), flag="--log-format", commands=("serve",)),
    Option("paths.data_dir", "Folder for the relay's own files; `~/.airelays` if unset.", kind="path", oldest_env=True,
           flag="--data-dir"),
    Option("paths.logs_dir", "Folder for the traffic log; `logs` below data_dir if unset.",
           kind="path", oldest_env=True, flag="--logs-dir"),
    Option("auth.storage", "Where the upstream sign-in is kept.", attribute="auth_storage",
           choices=("file", "keyring", "auto"), env=("AUTH_STORAGE",), oldest_env=True,
           flag="--auth-storage"),
    Option("auth.browser_open", "Open the browser by itself at `login`.", oldest_env=True),
    Option("auth.login_timeout_seconds", "How long `login` waits.", low=1, high=86_400,
           oldest_env=True),
    Option("upstream.kind", "What the relay talks to.", attribute="upstream_kind",
           choices=tuple(KINDS), env=("UPSTREAM_KIND",), flag="--demo",
           flag_value="demo", flag_help="Answer from the embedded demo: no sign-in, no network.",
           commands=_FIRST),
    Option("upstream.base_url", "Base URL of the upstream; set for chatgpt, needed for compatible.",
           kind="url", attribute="upstream_base_url", env=("UPSTREAM_BASE_URL",), oldest_env=True,
           flag="--upstream", flag_help="Base URL of an OpenAI-compatible server to use as the upstream.",
           commands=_FIRST),
    Option("upstream.issuer_base_url", "Base URL of the sign-in service.", kind="url",
           oldest_env=True),
    Option("upstream.client_id", "Client id that the sign-in uses.", oldest_env=True),
    Option("upstream.client_version",
           'Version told to the model catalogue; "auto" is our own constant.', oldest_env=True),
    Option("upstream.api_key_env",
           "Environment variable that holds the key of a compatible upstream.", kind="env_name",
           flag="--upstream-key-env", commands=_FIRST),
    Option("upstream.api_key_file", "File that holds the key of a compatible upstream.",
           kind="path"),
    Option("upstream.headers", "Extra header fields sent to a compatible upstream.",
           attribute="upstream_headers", env=("-",), secret=True),
    Option("upstream.models", "Patterns of model names that go here, for example `gpt-*`.",
           attribute="upstream_models", env=("UPSTREAM_MODELS",)),
    Option("upstream.fallback",
           "Models tried in order when this upstream fails before the first byte."),
    Option("upstream.fallback_on",
           "Causes for which the fallback is used: quota, overloaded, unreachable.",
           choices=("quota", "overloaded", "unreachable")),
    Option("upstream.allow_http", "Allow plain http:// beyond loopback and private addresses."),
    Option("upstream.offline",
           "Connect to loopback and private addresses only, through no proxy; refuse everything else.",
           flag="--offline", flag_value="true", flag_help="Connect to loopback and private addresses only."),
    Option("upstream.connect_seconds", "Time for name lookup and TCP connect.", low=0.1, high=600),
    Option("upstream.tls_seconds", "Time for the TLS handshake.", low=0.1, high=600),
    Option("upstream.request_timeout_seconds",
           "Time until the upstream's whole response head is there.", low=0.1, high=86_400,
           oldest_env=True),
    Option("upstream.stream_gap_seconds", "Longest silence inside an upstream stream.", low=0.1,
           high=86_400),
    Option("upstream.max_answer_bytes",
           "Largest answer that is read whole from a compatible server; images can be 64 MiB.",
           low=1024, high=_UNIT),
    Option("upstream.image_timeout_seconds", "Time for one image.", low=1, high=86_400,
           also=("providers.openai.image_timeout_seconds",)),
    Option("upstream.ca_file", "PEM file with the only authorities to trust upstream.",
           kind="path", flag="--ca-file"),
    Option("upstream.proxy", "Proxy for upstream connections; wins over the environment.",
           kind="proxy", env=("UPSTREAM_PROXY",), secret=True),
    Option("upstream.use_env_proxy", "Obey HTTPS_PROXY, ALL_PROXY and NO_PROXY."),
    Option("upstream.models_cache_ttl_seconds",
           "Age up to which the model catalogue is fresh; 0: never.", low=0, high=604_800,
           env=("MODELS_CACHE_TTL_SECONDS", "OPENAI_MODELS_CACHE_TTL_SECONDS"),
           also=("providers.openai.models_cache_ttl_seconds",)),
    Option("upstream.extra_models", "Model ids offered beside the catalogue.",
           env=("EXTRA_MODELS", "OPENAI_EXTRA_MODELS"), also=("providers.openai.extra_models",)),
    Option("upstream.retry_attempts",
           "Extra tries of our own after an overload, before the first byte.", low=0, high=10,
           env=("RETRY_ATTEMPTS", "OPENAI_RETRY_ATTEMPTS"),
           also=("providers.openai.retry_attempts",)),
    Option("upstream.retry_backoff_seconds", "Waits before those tries; the last one repeats.",
           env=("RETRY_BACKOFF_SECONDS", "OPENAI_RETRY_BACKOFF_SECONDS"),
           also=("providers.openai.retry_backoff_seconds",)),
    Option("upstream.demo_pace_ms",
           "Pause between the words of the demo upstream, in milliseconds.", low=0, high=60_000),
    Option("upstream.demo_reasoning", "Whether the demo upstream streams reasoning."),
    Option("security.require_bearer_auth", "Ask every client for the relay token.",
           flag="--no-auth", flag_value="false", flag_help="Open mode: clients need no token.",
           commands=_SERVE),
    Option("security.bearer_token_file",
           "File with the relay token; `relay-token` below data_dir if unset.", kind="path",
           flag="--bearer-token-file"),
    Option("security.auto_generate_bearer_token", "Make a token at start when there is none.",
           flag="--make-token", flag_value="true", commands=("serve",),
           flag_help="Make a relay token at the start when there is none."),
    Option("security.rate_limit_per_minute",
           "Requests a minute that one address may make on average.", low=1, high=1_000_000),
    Option("security.rate_limit_burst", "Requests that one address may make at once before that.",
           low=1, high=1_000_000),
    Option("security.concurrent_requests_per_ip",
           "Requests of one address that run at the same time.", low=1, high=100_000),
    Option("security.queue_seconds",
           "How long a request waits when all of its address are taken; 0 refuses it at once.", low=0, high=3600),
    Option("security.failed_auth_window_seconds", "Window in which failed attempts are counted.",
           low=1, high=86_400),
    Option("security.failed_auth_max_attempts",
           "Failed attempts in the window that cause a block.", low=1, high=1_000_000),
    Option("security.failed_auth_block_seconds", "How long the block lasts.", low=1, high=604_800),
    Option("security.failed_auth_block_scope",
           "Whom a block stops: further invalid attempts, or the address.",
           choices=("invalid", "address")),
    Option("security.trust_x_forwarded_for",
           "Take the client's address from X-Forwarded-For of a proxy."),
    Option("security.trusted_proxies", "Addresses whose X-Forwarded-For is believed.",
           kind="networks"),
    Option("security.network_scope", "Who may connect when the listener is not on loopback.",
           choices=("loopback", "private", "any"), flag="--network-scope", commands=_SERVE),
    Option("security.allowed_hosts",
           "Host names beyond loopback under which the relay may be addressed.", kind="hosts"),
    Option("security.allowed_origins", "Web origins whose pages may call the relay.",
           kind="origins"),
    Option("security.allow_open_network",
           "Second confirmation for open mode or a weak token beyond loopback.",
           flag="--i-know-this-is-open", flag_value="true", commands=_SERVE,
           flag_help="Confirm --no-auth or --allow-weak-token on an address beyond loopback."),
    Option("security.allow_weak_token",
           "Accept a published or weak relay token beyond loopback, with allow_open_network.",
           flag="--allow-weak-token", flag_value="true", commands=_SERVE,
           flag_help="Accept a weak relay token beyond loopback, with --i-know-this-is-open."),
    Option("uploads.max_upload_bytes", "Largest uploaded file.", low=1, high=16 * _UNIT),
    Option("uploads.max_total_upload_bytes", "All uploaded files together.", low=1,
           high=1024 * _UNIT),
    Option("storage.store_responses",
           "Keep answers for `previous_response_id` and `store: true`."),
    Option("storage.max_responses", "Answers kept; the oldest go first.", low=1, high=1_000_000),
    Option("storage.responses_retention_days", "Days that an answer is kept.", low=1, high=36_500),
    Option("storage.max_conversations", "Conversations kept.", low=1, high=1_000_000),
    Option("storage.max_conversation_items", "Items in one conversation.", low=1, high=1_000_000),
    Option("storage.max_conversation_bytes", "Size of one conversation.", low=1024, high=_UNIT),
    Option("logging.enabled", "Write the traffic log.", attribute="log_enabled",
           env=("LOG_ENABLED",)),
    Option("logging.bodies", "Whether bodies are logged, with secrets removed.",
           attribute="log_bodies", choices=("off", "redacted"), env=("LOG_BODIES",)),
    Option("logging.stream_lines", "Log the upstream's raw stream lines too.",
           attribute="log_stream_lines", env=("LOG_STREAM_LINES",)),
    Option("logging.retention_days", "Days that log files are kept; 0 sets no age limit.", low=0,
           high=36_500, attribute="log_retention_days", env=("LOG_RETENTION_DAYS",)),
    Option("logging.max_total_mb", "Size of all log files, MiB.", low=1, high=1_048_576,
           attribute="log_max_total_mb", env=("LOG_MAX_TOTAL_MB",)),
    Option("logging.max_file_mb", "Size of one log file, MiB; not above max_total_mb.", low=1,
           high=10_240, attribute="log_max_file_mb", env=("LOG_MAX_FILE_MB",)),
    Option("ollama.enabled", "Serve Ollama's API (`/api/*`) too.", attribute="ollama_enabled",
           env=("OLLAMA_ENABLED",), flag="--for-ollama", flag_value="true", commands=("serve", *_SERVICE),
           flag_help="Serve Ollama's API too, on 127.0.0.1:11434, to every program on this machine."),
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
