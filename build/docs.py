"""Write or check the pages that are made from the program: `python3 build/docs.py --write | --check`.

`airelays/docs/configuration.md` is made from the table of options. A test runs the check.
"""

from __future__ import annotations

import json
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from airelays.dialects.parameters import QUIRKS  # noqa: E402
from airelays.settings.rules import PARAMETERS  # noqa: E402
from airelays.settings.table import NO_EFFECT, OPTIONS, UPSTREAM_OPTIONS, Option, env_names  # noqa: E402

PAGE = ROOT / "airelays" / "docs" / "configuration.md"
QUIRKS_PAGE = ROOT / "airelays" / "docs" / "quirks.md"
QUIRKS_HEAD = """\
# Adaptations

<!-- Made by build/docs.py from the table of adaptations; do not edit. -->

Look up what a name in the response header `x-airelays-quirks` means. Some clients send something slightly different
from what the API specifies, or need something slightly different from what they request. The relay adapts to them, and
the header lists each adaptation that it made.

| name | what the relay did |
| --- | --- |
"""

HEAD = """\
# Configuration

<!-- Made by build/docs.py from the table of options; do not edit. -->

Look up what you can set, which values are allowed and how each option is spelled. Every option can be set in the config
file, most of them also in the environment, and some with a flag. A flag overrides the environment, the environment
overrides the file, and the file overrides the default. An empty string counts as unset.

The config file is the one that you name with `--config` or `AIRELAYS_CONFIG`; otherwise, it is
`~/.config/airelays/config.toml`.

| command | what it does |
| --- | --- |
| `airelays config path` | prints the path of the file |
| `airelays config show --origin` | shows the values in effect and where they come from |
| `airelays config check` | checks whether the relay would start, and warns about what would make requests fail |
| `airelays config set KEY VALUE` | sets one option in the file |
| `airelays config edit` | opens the file in your editor and checks it before it is saved |
| `airelays reload` | applies the file to a running relay |

The relay does not start with an unknown key, a value of the wrong type or a number out of range. The error names the
file, the key, the value that was found and what is allowed.

In the environment and in flags, separate the items of a list with commas. A boolean is `true`, `1`, `yes` or `on`, or
`false`, `0`, `no` or `off`. Paths can start with `~`; other relative paths start in the working directory.

Do not put secrets in the file. The relay token is in `security.bearer_token_file` or in the environment variable
`AIRELAYS_BEARER_TOKEN`, which takes precedence. For keys of compatible upstreams, `api_key_file` or `api_key_env` name
where they are.
"""

TABLES = {
    "server": "The listener, and the limits of connections.",
    "paths": "Where the relay keeps its files.",
    "auth": "The sign-in of the ChatGPT upstream.",
    "upstream": "The main upstream. It answers requests that no other upstream matches.",
    "security": "Who can use the relay, and how often.",
    "uploads": "Limits of `POST /v1/files`.",
    "storage": "What the relay stores of answers and conversations.",
    "logging": "The traffic log.",
    "ollama": "Ollama's API, for programs that support no other local server; see `airelays docs ollama`.",
}

NAMED = """\
## [[listen]]

Listeners in addition to `server.host` and `server.port`. With a `key`, every program that connects uses that named
key and does not need a token; see `airelays docs keys`. `--listen HOST:PORT[,key=NAME]` does the same for one run.

```toml
[[listen]]
host = "127.0.0.1"   # the default
port = 8081
key = "editor"       # without it, the listener requires a token or a key
```

## [upstreams.NAME]

More upstreams, each in its own table. A name has 1 to 40 letters, digits, dots, dashes or underscores. A request
goes to the first upstream whose `models` match its model, or to the one that it names as `NAME/model`. If you do not
set a timeout, the one of `[upstream]` applies.

```toml
[upstreams.local]
base_url = "http://127.0.0.1:11434/v1"
models = ["llama*", "qwen*"]

[upstreams.gateway]
base_url = "https://models.example.com/v1"
api_key_file = "~/.config/airelays/gateway.key"
headers = { X-Team = "research" }
fallback = ["local/llama3.2"]
fallback_on = ["overloaded", "unreachable"]
```
"""

ALIASES = """\
## [aliases]

Your own model names. A request for such a name goes to the model that you assign to it.

```toml
[aliases]
fast = "local/llama3.2"
best = { model = "gpt-5.5", fallback = ["local/llama3.2"], fallback_on = ["quota"] }
```

A name with `*` or `?` is a pattern: `"claude-*" = "gpt-5.5"`. An alias with exactly the requested name takes
precedence, followed by the most specific pattern. `/v1/models` does not list patterns.

You can also define aliases in `[upstream.aliases]` and `[upstreams.NAME.aliases]`.
"""

RULES = """\
## [[rules]]

Change parameters of text requests before they are sent, for one upstream, one model, or all:

```toml
[[rules]]
upstream = "local"                    # the name of an upstream; default: all
model = "qwen*"                       # a pattern for the requested or the real name; default: all
set = { temperature = 0.2 }           # always
default = { top_p = 0.9 }             # if the client does not set it
strip = ["seed", "logprobs"]          # never send these
cap = { max_output_tokens = 4096, reasoning_effort = "medium" }   # at most; also the limit if the client sets none
```

Rules apply in the order of the file. A response header lists what they changed: `x-airelays-rules: set temperature,
cap max_output_tokens`. Use the names below; the relay translates them to the spelling of each API
(`max_completion_tokens`, `max_tokens`, `reasoning.effort`, `stop_sequences`). Parameters that an upstream does not
accept are adapted afterwards, as usual. `airelays config show` lists the rules, and `airelays reload` applies changes
without a restart.

{names}
"""

OLDER = """\
## Names of earlier releases

The relay reads each variable as `AIRELAYS_X`, otherwise as `AIRELAY_X`; those marked with * also as
`OPENAI_ENDPOINT_X`. If only the folders `~/.config/airelay` and `~/.airelay` exist, it uses them.
"""


def configuration_page() -> str:
    """Return the text of the page."""
    parts = [HEAD]
    for table, sentence in TABLES.items():
        options = [option for option in OPTIONS if option.key.startswith(table + ".")]
        parts.append(
            f"## [{table}]\n\n{sentence}\n\n" + "\n".join(_entry(o) for o in options) + "\n"
        )
    parts += [
        NAMED,
        "\n".join(_entry(o, named=True) for o in UPSTREAM_OPTIONS) + "\n",
        ALIASES,
        RULES.replace("{names}", textwrap.fill(", ".join(f"`{name}`" for name in PARAMETERS), 116)),
        OLDER,
    ]
    moved = [f"- `{old}` is read as `{o.key}`." for o in OPTIONS for old in o.also]
    nothing = [f"- `{key}{'*' if key.endswith('.') else ''}`" for key in NO_EFFECT]
    parts.append("\n".join(moved) + "\n")
    parts.append("These keys are accepted but have no effect:\n\n" + "\n".join(nothing) + "\n")
    return "\n".join(parts)


def _entry(option: Option, *, named: bool = False) -> str:
    """One option: key, help, then what is allowed, the default, the spellings."""
    name = option.key.rpartition(".")[2]
    default = list(option.default) if isinstance(option.default, tuple) else option.default
    facts = [f"Allowed: {option.allowed()}."]
    if isinstance(default, float) and default == int(default):
        default = int(default)
    if default in ("", []):
        facts.append("Unset by default.")
    else:
        facts.append(f"Default: `{json.dumps(default)}`.")
    variables = env_names(option)
    if variables and not named:
        facts.append(f"Environment: `{variables[0]}`{'*' if option.oldest_env else ''}.")
    if option.flag and not named:
        value = "" if option.flag_value else " VALUE"
        sets = f" (sets `{option.flag_value}`)" if option.flag_value else ""
        facts.append(f"Flag: `{option.flag}{value}`{sets}.")
    return f"- **`{name}`** {option.help}\n  {' '.join(facts)}"


def quirks_page() -> str:
    """Return the page of the adaptations, one row each."""
    rows = [f"| `{name}` | {meaning} |" for name, meaning in QUIRKS.items()]
    return QUIRKS_HEAD + "\n".join(rows) + "\n"


def main(arguments: list[str]) -> int:
    """Write the page, or say whether it is current."""
    if arguments not in (["--write"], ["--check"]):
        sys.stderr.write("usage: python3 build/docs.py --write | --check\n")
        return 2
    pages = {PAGE: configuration_page(), QUIRKS_PAGE: quirks_page()}
    for page, text in pages.items():
        if arguments == ["--write"]:
            page.write_text(text, encoding="utf-8")
        elif not page.is_file() or page.read_text(encoding="utf-8") != text:
            sys.stderr.write(f"{page.name} is not current: python3 build/docs.py --write\n")
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
