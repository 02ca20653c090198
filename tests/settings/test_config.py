"""Options: file, environment and flags become one frozen Settings, or one sentence."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from airelays.errors import ConfigError
from airelays.settings.hosts import is_loopback
from airelays.settings.load import Loaded, Origin, check_listener, load, parse_toml
from airelays.settings.parse import Places, listen_host
from airelays.settings.table import OPTIONS, UPSTREAM_OPTIONS, by_attribute, env_names
from airelays.settings.values import (
    Alias,
    Settings,
    UpstreamSettings,
    client_base_url,
)
from airelays.settings.write import render_config, toml_value

ROOT = Path(__file__).resolve().parents[2]
PLACES = Places(home="/home/ann", cwd="/srv/here")
FILE = "/etc/config.toml"


def resolve(
    text: str | None = None,
    env: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
) -> Loaded:
    return load(text, FILE, env or {}, flags or {}, places=PLACES)


A_HOST = 'an address, a host name, or "*" for every address, without a port'


def refusal(
    text: str | None = None,
    env: dict[str, str] | None = None,
    flags: dict[str, str] | None = None,
) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(text, env, flags)
    return str(caught.value)


# The table itself


def test_every_setting_has_exactly_one_option() -> None:
    attributes = [option.attribute for option in OPTIONS]
    fields = set(Settings.fields) - {"upstreams", "aliases", "listeners", "rules", "prices"}
    assert sorted(attributes) == sorted(fields)


def test_no_two_options_share_a_key_a_variable_or_a_flag() -> None:
    for names in (
        [key for o in OPTIONS for key in (o.key, *o.also)],
        [name for o in OPTIONS for name in env_names(o)],
        [o.flag for o in OPTIONS if o.flag],
    ):
        assert len(names) == len(set(names))


def test_every_default_is_within_its_own_bounds() -> None:
    for option in OPTIONS:
        if option.kind in ("int", "float"):
            assert option.low is not None and option.high is not None
            assert option.low <= option.default <= option.high  # type: ignore[operator]  # numbers
        elif option.choices and option.default:
            assert option.default in option.choices


def test_every_key_of_a_named_upstream_is_a_field() -> None:
    fields = set(UpstreamSettings.fields)
    assert {o.attribute for o in UPSTREAM_OPTIONS} == fields - {"name", "aliases", "offline"}


def test_the_security_page_s_numbers_are_the_defaults() -> None:
    settings = Settings()
    assert (settings.rate_limit_per_minute, settings.rate_limit_burst) == (120, 40)
    assert settings.concurrent_requests_per_ip == 8
    assert (settings.failed_auth_max_attempts, settings.failed_auth_window_seconds) == (8, 300)
    assert settings.failed_auth_block_seconds == 900
    assert settings.max_upload_bytes == 32 * 1024 * 1024
    assert settings.max_total_upload_bytes == 256 * 1024 * 1024
    assert settings.host == "127.0.0.1" and settings.require_bearer_auth


def test_the_configuration_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "build" / "docs.py"), "--check"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


# Where a value comes from


def test_nothing_given_is_all_defaults_below_the_home_folder() -> None:
    loaded = resolve()
    assert loaded.settings == Settings(data_dir="/home/ann/.airelays")
    assert loaded.settings.logs_dir == "/home/ann/.airelays/logs"
    assert loaded.settings.bearer_token_file == "/home/ann/.airelays/relay-token"
    assert set(loaded.origins.values()) == {Origin("default")}
    assert loaded.notes == ()


def test_flag_beats_environment_beats_file_beats_default() -> None:
    text, env, flags = "[server]\nport = 1", {"AIRELAYS_PORT": "2"}, {"port": "3"}
    assert resolve(text, env, flags).settings.port == 3
    assert resolve(text, env, flags).origins["port"] == Origin("flag", "--port")
    assert resolve(text, env).settings.port == 2
    assert resolve(text, env).origins["port"] == Origin("environment", "AIRELAYS_PORT")
    assert resolve(text).settings.port == 1
    assert resolve(text).origins["port"] == Origin("file", "server.port")
    assert resolve().settings.port == 8080


def test_the_newest_spelling_of_a_variable_wins() -> None:
    env = {"AIRELAYS_PORT": "1", "AIRELAY_PORT": "2", "OPENAI_ENDPOINT_PORT": "3"}
    for expected, name in enumerate(list(env), 1):
        assert resolve(env=env).settings.port == expected
        del env[name]


def test_an_empty_variable_is_unset() -> None:
    env = {"AIRELAYS_PORT": "", "AIRELAY_PORT": "7"}
    assert resolve(env=env).settings.port == 7
    assert resolve(env={"AIRELAYS_PORT": ""}).settings.port == 8080


def test_an_empty_host_is_unset_and_not_every_address() -> None:
    for loaded in (resolve("[server]\nhost = ''"), resolve(flags={"host": ""})):
        assert loaded.settings.host == "127.0.0.1"
        assert loaded.origins["host"] == Origin("default")


def test_a_variable_that_never_had_the_oldest_prefix_is_not_read_with_it() -> None:
    loaded = resolve(env={"OPENAI_ENDPOINT_RATE_LIMIT_BURST": "7"})
    assert loaded.settings.rate_limit_burst == 40
    assert loaded.notes == (
        "environment variable OPENAI_ENDPOINT_RATE_LIMIT_BURST is unknown; "
        "did you mean AIRELAYS_RATE_LIMIT_BURST?",
    )


def test_keys_of_the_older_provider_table_are_read() -> None:
    text = "[providers.openai]\nretry_attempts = 2\nextra_models = ['a', 'b']\naliases = {x = 'y'}"
    settings = resolve(text).settings
    assert settings.retry_attempts == 2
    assert settings.extra_models == ("a", "b")
    assert settings.aliases == (Alias("x", "y"),)


def test_keys_without_effect_are_noted_and_change_nothing() -> None:
    text = "[providers.claude]\nbin = 'x'\ncommand = ['y']\n[providers.openai]\nbalance = 'ordered'"
    loaded = resolve(text)
    assert loaded.settings == Settings(data_dir="/home/ann/.airelays")
    assert loaded.notes == (
        f"{FILE}: providers.claude.bin has no effect here",
        f"{FILE}: providers.claude.command has no effect here",
        f"{FILE}: providers.openai.balance has no effect here",
    )


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("~", "/home/ann"),
        ("~/x", "/home/ann/x"),
        ("/abs/", "/abs"),
        ("rel", "/srv/here/rel"),
        ("./rel", "/srv/here/rel"),
        ("C:\\x", "C:\\x"),
        ("/", "/"),
    ],
)
def test_paths_become_absolute(given: str, expected: str) -> None:
    settings = resolve(flags={"data_dir": given}).settings
    assert settings.data_dir == expected
    assert settings.bearer_token_file == f"{expected}/relay-token"


@pytest.mark.parametrize("word", ["true", "1", "yes", "on", "TRUE", " On "])
def test_booleans_in_the_environment(word: str) -> None:
    assert resolve(env={"AIRELAYS_BROWSER_OPEN": word}).settings.browser_open is True


@pytest.mark.parametrize("word", ["false", "0", "no", "off", "False"])
def test_booleans_that_say_no(word: str) -> None:
    assert resolve(env={"AIRELAYS_REQUIRE_BEARER_AUTH": word}).settings.require_bearer_auth is False


def test_lists_in_the_environment_and_in_the_file() -> None:
    assert resolve(env={"AIRELAYS_ALLOWED_HOSTS": "a.example, b"}).settings.allowed_hosts == (
        "a.example",
        "b",
    )
    assert resolve("[security]\nallowed_hosts = 'a,b'").settings.allowed_hosts == ("a", "b")
    assert resolve("[security]\nallowed_hosts = []").settings.allowed_hosts == ()
    text = "[upstream]\nretry_backoff_seconds = [1, 2.5]"
    assert resolve(text).settings.retry_backoff_seconds == (1.0, 2.5)
    env = {"AIRELAYS_OPENAI_RETRY_BACKOFF_SECONDS": "1,2.5"}
    assert resolve(env=env).settings.retry_backoff_seconds == (1.0, 2.5)


def test_a_base_url_loses_its_last_slash() -> None:
    text = "[upstream]\nkind = 'compatible'\nbase_url = 'https://h.example/v1/'"
    assert resolve(text).settings.upstream_base_url == "https://h.example/v1"


def test_a_byte_order_mark_is_skipped() -> None:
    assert resolve("\ufeff[server]\nport = 9").settings.port == 9


# What is refused, in whole sentences


@pytest.mark.parametrize("option", [o for o in OPTIONS if o.kind == "int"], ids=lambda o: o.key)
def test_bounds_of_whole_numbers(option) -> None:  # type: ignore[no-untyped-def]  # Option
    table, _, name = option.key.partition(".")
    low, high = int(option.low), int(option.high)
    # Values that must agree with another one are given both.
    beside = {
        "log_max_total_mb": "max_file_mb = 1",
        "log_max_file_mb": "max_total_mb = 1048576",
        "max_upload_bytes": f"max_total_upload_bytes = {1024**4}",
        "max_total_upload_bytes": "max_upload_bytes = 1",
    }.get(option.attribute, "")
    for value in (low, low + 1, high - 1, high):
        text = f"[{table}]\n{beside}\n{name} = {value}"
        assert getattr(resolve(text).settings, option.attribute) == value
    for value in (low - 1, high + 1):
        assert refusal(f"[{table}]\n{beside}\n{name} = {value}") == (
            f"{FILE}: {option.key} is {value}; expected a whole number from {low:,} to {high:,}"
        )


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("[server]\nport = '80'", 'server.port is "80"; expected a whole number from 0 to 65,535'),
        ("[server]\nport = 80.0", "server.port is 80.0; expected a whole number from 0 to 65,535"),
        ("[server]\nport = true", "server.port is true; expected a whole number from 0 to 65,535"),
        (
            "[server]\nhead_seconds = inf",
            "server.head_seconds is Infinity; expected a number from 0.1 to 3,600",
        ),
        (
            "[server]\nhead_seconds = nan",
            "server.head_seconds is NaN; expected a number from 0.1 to 3,600",
        ),
        ("[server]\nhost = 1", f"server.host is 1; expected {A_HOST}"),
        ("[server]\nhost = ['a']", f"server.host is a list; expected {A_HOST}"),
        ("[auth]\nbrowser_open = 'yes'", 'auth.browser_open is "yes"; expected true or false'),
        (
            "[auth]\nstorage = 'disk'",
            'auth.storage is "disk"; expected "file", "keyring" or "auto"',
        ),
        (
            "[security]\nallowed_origins = ['*']",
            'security.allowed_origins is "*"; expected a list of origins such as '
            '"https://app.example", "tauri://" or "null", never "*"',
        ),
        (
            "[security]\nallowed_hosts = ['a.example:80']",
            'security.allowed_hosts is "a.example:80"; '
            "expected a list of host names or addresses without a port",
        ),
        (
            "[security]\ntrusted_proxies = ['10.0.0.0/33']",
            'security.trusted_proxies is "10.0.0.0/33"; '
            'expected a list of addresses or networks such as "10.0.0.0/8"',
        ),
        ("[server]\nprot = 1", "server.prot is unknown; did you mean server.port?"),
        ("[sever]\nport = 1", "sever is unknown; did you mean server?"),
        ("port = 1", "port is unknown; did you mean server.port?"),
        ("zzz = 1", "zzz is unknown; `airelays docs configuration` lists all keys"),
        ("server = 1", "server is 1; expected a table, written [server]"),
        ("[[server]]\nport = 1", "server is a list of tables; expected a table, written [server]"),
        (
            "[upstreams.local]\nurl = 'x'",
            "upstreams.local.url is unknown; expected one of aliases, allow_http, api_key_env, api_key_file, "
            "base_url, ca_file, connect_seconds, fallback, fallback_on, headers, kind, max_answer_bytes, "
            "models, proxy, request_timeout_seconds, stream_gap_seconds, tls_seconds, use_env_proxy",
        ),
        (
            "[upstreams.local]\n",
            "upstreams.local.base_url is not set; set it to the server's base URL",
        ),
        (
            "[upstreams.'a/b']\n",
            'upstreams contains the name "a/b"; '
            "expected 1 to 40 letters, digits, dots, dashes or underscores",
        ),
        (
            "[upstreams.chatgpt]\nbase_url = 'https://a.example'",
            "upstreams.chatgpt has the same name as the main upstream; choose another name",
        ),
        ("upstreams = 1", "upstreams is 1; expected tables, written [upstreams.NAME]"),
        ("[upstreams]\na = 1", "upstreams.a is 1; expected a table, written [upstreams.a]"),
        ("aliases = 1", 'aliases is 1; expected a table such as fast = "local/llama3.2"'),
        ("[aliases]\na = 1", "aliases.a is 1; expected a model name or a table with the key model"),
        (
            "[aliases]\na = {model = 'b', on = 'c'}",
            "aliases.a.on is unknown; expected model, fallback or fallback_on",
        ),
        (
            "[aliases]\na = {model = 'b', fallback_on = ['x']}",
            'aliases.a.fallback_on contains "x"; expected "quota", "overloaded" or "unreachable"',
        ),
        (
            "[logging]\nmax_file_mb = 20\nmax_total_mb = 10",
            f"logging.max_file_mb is 20, which is more than {FILE}: logging.max_total_mb (10); "
            "lower the first or raise the second",
        ),
        (
            "[upstream]\nkind = 'compatible'",
            'upstream.kind is "compatible" and upstream.base_url is not set; '
            "set it to the server's base URL, for example http://127.0.0.1:11434/v1",
        ),
    ],
)
def test_a_wrong_file_is_one_sentence(text: str, sentence: str) -> None:
    assert refusal(text) == f"{FILE}: {sentence}"


def test_a_file_that_is_not_toml_is_one_sentence() -> None:
    assert refusal("[server\nport = 1") == (
        f"{FILE} is not valid TOML: Expected ']' at the end of a table declaration "
        "(at line 1, column 8); correct that line"
    )
    assert refusal("a = " + "[" * 5000).startswith(f"{FILE} is n")


def test_a_wrong_variable_and_a_wrong_flag_are_named_as_they_were_written() -> None:
    assert refusal(env={"AIRELAY_PORT": "8o"}) == (
        'environment variable AIRELAY_PORT is "8o"; expected a whole number from 0 to 65,535'
    )
    assert refusal(flags={"port": "-1"}) == "--port is -1; expected a whole number from 0 to 65,535"
    assert refusal(env={"AIRELAYS_BROWSER_OPEN": "maybe"}) == (
        'environment variable AIRELAYS_BROWSER_OPEN is "maybe"; expected true or false'
    )


@pytest.mark.parametrize("digits", ["\u0661\u0662", "1_0", "0x10", "1e3", " ", "1 2", "--1"])
def test_numbers_are_plain_ascii_digits(digits: str) -> None:
    assert refusal(env={"AIRELAYS_PORT": digits}).endswith("a whole number from 0 to 65,535")


@pytest.mark.parametrize(
    "text",
    [
        "[upstream]\napi_key = 'SECRET'",
        "[upstream]\napi_key_env = 'sk-SECRET'",
        "[upstream]\nproxy = 'socks5://u:SECRET@h'",
        '[upstream]\nheaders = {a = "SECRET\\n"}',
        "[upstream]\nheaders = {'a b' = 'SECRET'}",
        "[upstream]\nheaders = 'SECRET'",
        "[upstream]\nbase_url = 'https://u:SECRET@h.example'",
        "[security]\nbearer_token = 'SECRET'",
        "[upstreams.x]\napi_key = 'SECRET'",
        "[upstreams.x]\nheaders = {a = ['SECRET']}",
        "password = 'SECRET'",
    ],
)
def test_a_refusal_never_shows_a_secret(text: str) -> None:
    sentence = refusal(text)
    assert "SECRET" not in sentence
    assert sentence.startswith(f"{FILE}: ")


@pytest.mark.parametrize(
    ("url", "allowed"),
    [
        ("http://127.0.0.1:1/v1", True),
        ("http://localhost/v1", True),
        ("http://[::1]:80", True),
        ("http://192.168.1.7/v1", True),
        ("http://10.1.2.3", True),
        ("http://[fd00::1]/v1", True),
        ("http://8.8.8.8/v1", False),
        ("http://models.example/v1", False),
        ("http://localhost.example", False),
        ("https://models.example/v1", True),
    ],
)
def test_plain_http_only_to_near_addresses(url: str, allowed: bool) -> None:
    text = f"[upstream]\nkind = 'compatible'\nbase_url = '{url}'"
    if allowed:
        assert resolve(text).settings.upstream_base_url == url
    else:
        assert "would send prompts and keys unencrypted to" in refusal(text)
        assert resolve(text + "\nallow_http = true").settings.allow_http


def test_named_upstreams_keep_their_order_and_inherit_timeouts() -> None:
    text = """
        [upstream]
        connect_seconds = 3
        [upstreams.b]
        base_url = "http://127.0.0.1:2/v1"
        models = ["x*"]
        headers = { X-Team = "research" }
        aliases = { quick = "x1" }
        [upstreams.a]
        kind = "demo"
        tls_seconds = 4
    """
    b, a = resolve(text).settings.upstreams
    assert (b.name, b.kind, b.models, b.connect_seconds) == ("b", "compatible", ("x*",), 3.0)
    assert b.headers == (("X-Team", "research"),)
    assert b.aliases == (Alias("quick", "x1"),)
    assert (a.name, a.kind, a.connect_seconds, a.tls_seconds) == ("a", "demo", 3.0, 4.0)


def test_the_main_upstream_is_one_value_too() -> None:
    text = "[upstream]\nkind = 'compatible'\nbase_url = 'https://h.example'\napi_key_env = 'KEY'"
    main = resolve(text).settings.main_upstream
    assert (main.name, main.kind) == ("compatible", "compatible")
    assert (main.base_url, main.api_key_env) == ("https://h.example", "KEY")


def test_open_mode_beyond_loopback_must_be_said_twice() -> None:
    check_listener(Settings(require_bearer_auth=False))
    check_listener(Settings(host="0.0.0.0"))
    check_listener(Settings(host="0.0.0.0", require_bearer_auth=False, allow_open_network=True))
    with pytest.raises(ConfigError) as caught:
        check_listener(Settings(host="0.0.0.0", require_bearer_auth=False))
    assert str(caught.value) == (
        "open mode on 0.0.0.0 lets other machines use the relay without a token; "
        "listen on 127.0.0.1, require the token, or add --i-know-this-is-open"
    )


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("127.evil.example.com", False),
        ("localhost.example", False),
        ("10.0.0.1", False),
    ],
)
def test_what_counts_as_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback
    expected = "loopback" if loopback else "private"
    assert Settings(host=host).effective_network_scope == expected


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:80/v1"),
        ("0.0.0.0", "http://127.0.0.1:80/v1"),
        ("::", "http://[::1]:80/v1"),
        ("::1", "http://[::1]:80/v1"),
        ("relay.lan", "http://relay.lan:80/v1"),
    ],
)
def test_the_url_for_clients_can_be_dialled(host: str, url: str) -> None:
    assert client_base_url(host, 80) == url


# The file that `init` writes


def test_a_written_file_says_what_was_given_and_is_all_defaults_otherwise() -> None:
    assert resolve(render_config({})).settings == resolve().settings
    text = render_config({"server": {"port": 9}, "aliases": {"a.b": "c"}})
    loaded = resolve(text)
    assert loaded.settings.port == 9
    assert loaded.settings.aliases == (Alias("a.b", "c"),)
    assert loaded.origins["host"].source == "default"


def test_every_commented_default_of_a_written_file_is_valid_when_taken_in() -> None:
    text = "\n".join(
        line.removeprefix("# ") if line.startswith("# ") and " = " in line else line
        for line in render_config({}).splitlines()
    )
    assert resolve(text).settings == resolve().settings


def test_a_rewritten_file_keeps_tables_that_the_options_do_not_know() -> None:
    tree = {
        "upstream": {"headers": {"X-A": "b"}, "kind": "chatgpt"},
        "upstreams": {"local": {"base_url": "http://127.0.0.1:1/v1", "models": ["a*"]}},
        "aliases": {"fast": "local/a", "best": {"model": "x", "fallback": ["fast"]}},
        "providers": {"claude": {"bin": "x"}},
    }
    assert parse_toml(render_config(tree), FILE) == {
        **{o.key.partition(".")[0]: {} for o in OPTIONS},
        **tree,
    }


@given(
    st.recursive(
        st.text() | st.booleans() | st.integers(-(2**62), 2**62),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=8,
    )
)
def test_what_is_written_as_toml_is_read_back(value: object) -> None:
    assert parse_toml(f"a = {toml_value(value)}", FILE) == {"a": value}


@given(st.text(max_size=200))
def test_any_text_is_settings_or_one_sentence(text: str) -> None:
    try:
        resolve(text)
    except ConfigError as error:
        assert "\n" not in str(error)


@given(st.sampled_from([n for o in OPTIONS for n in env_names(o)]), st.text(min_size=1))
def test_any_variable_is_settings_or_one_sentence(name: str, value: str) -> None:
    try:
        resolve(env={name: value})
    except ConfigError as error:
        assert "\n" not in str(error) and len(str(error)) < 400


def test_options_are_found_by_attribute() -> None:
    assert by_attribute("port").key == "server.port"
    with pytest.raises(KeyError):
        by_attribute("nothing")


# The form of a host and of a port


@pytest.mark.parametrize(
    "host",
    [
        *("a b", "999.1.1.1", "1.2.3", "127.0.0.01", "a..b", "-a", "a:80", "1.2.3.4:80", "[::1"),
        *("[a]", "::1::", "a/b", "x" * 64, "\udcff", "b\udcfc\u0301", "\u00fc b"),
    ],
)
def test_a_host_that_can_be_none_is_refused_by_its_form(host: str) -> None:
    shown = json.dumps(host)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    assert refusal(flags={"host": host}) == f"--host is {shown}; expected {A_HOST}"
    assert refusal(env={"AIRELAYS_HOST": host}).endswith(f"is {shown}; expected {A_HOST}")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("*", "0.0.0.0"),
        ("0", "0.0.0.0"),
        ("[::1]", "::1"),
        ("::0", "::"),
        ("fe80::1%eth0", "fe80::1%eth0"),
        ("192.168.0.255", "192.168.0.255"),
        ("my_box.local.", "my_box.local."),
        ("m\u00fcsli.local", "m\u00fcsli.local"),
        ("LocalHost", "LocalHost"),
    ],
)
def test_a_host_is_taken_as_what_it_means(given: str, taken: str) -> None:
    assert listen_host(given) == taken


@pytest.mark.parametrize("key", ["base_url", "issuer_base_url", "proxy"])
@pytest.mark.parametrize("port", [0, 65536, 99999])
def test_a_port_that_does_not_exist_is_refused(key: str, port: int) -> None:
    text = f"[upstream]\n{key} = 'http://127.0.0.1:{port}'"
    assert (
        refusal(text) == f"{FILE}: upstream.{key} has port {port}; expected a port from 1 to 65,535"
    )
    resolve(f"[upstream]\n{key} = 'http://127.0.0.1:65535'")


@pytest.mark.parametrize("host", ["10.0.0.5:80", "cafe:8080", "::1:x", "a b"])
def test_an_allowed_host_has_no_port(host: str) -> None:
    assert "security.allowed_hosts" in refusal(f"[security]\nallowed_hosts = ['{host}']")


@pytest.mark.parametrize("name", ["CLIENT_ID", "EXTRA_MODELS"])
def test_bytes_that_are_no_text_are_refused(name: str) -> None:
    assert "is " in refusal(env={f"AIRELAYS_{name}": "a\udcff"})


def test_the_variable_of_client_programs_is_no_misspelling() -> None:
    assert resolve(env={"AIRELAYS_TOKEN": "x"}).notes == ()
