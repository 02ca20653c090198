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

Every option can be set in a file, most also in the environment, some with a flag. A flag wins over the
environment, the environment over the file, the file over the default. An empty text counts as unset.

The file is the one given with `--config`, else the one that `AIRELAYS_CONFIG` names, else
`~/.config/airelays/config.toml`. `airelays config path` prints which one it is, `airelays config show --origin`
what is in effect and why, and `airelays config check` whether the relay would start with it, with a warning for
what would only make requests fail, such as a key file that is not there. A key that does not exist, a value of the
wrong type and a number out of range are errors that name the file, the key, what was found and what is allowed; the
relay does not start with them.

In the environment and in flags a list is written with commas, and a boolean is `true`, `1`, `yes`, `on` or `false`,
`0`, `no`, `off`. Paths may begin with `~`; other relative paths start in the working directory.

The relay token itself is never in the file. It is in `security.bearer_token_file`, or in the environment variable
`AIRELAYS_BEARER_TOKEN`, which wins. Keys of compatible upstreams are not in the file either: `api_key_file` or
`api_key_env` say where they are.
"""

TABLES = {
    "server": "The listener, and the bounds of one connection.",
    "paths": "Where the relay keeps its files.",
    "auth": "The sign-in of the ChatGPT upstream.",
    "upstream": "The far side that answers when no other upstream takes the model.",
    "security": "Who gets in, and how often.",
    "uploads": "Ceilings of `POST /v1/files`.",
    "storage": "What the relay remembers of answers and conversations.",
    "logging": "The traffic log.",
    "ollama": "Ollama's API, for programs that know no other local server: `airelays docs ollama`.",
}

NAMED = """\
## [[listen]]

Further listeners beside `server.host` and `server.port`. One with a `key` is bound to that named key and asks for
nothing: `airelays docs keys`. `--listen HOST:PORT[,key=NAME]` does the same for one run.

```toml
[[listen]]
host = "127.0.0.1"   # the default
port = 8081
key = "editor"       # leave it out for a listener that needs a token or a key
```

## [upstreams.NAME]

More upstreams, each in a table with a name of its own: 1 to 40 letters, digits, dots, dashes or underscores. A
request goes to the first whose `models` match its model, or to the one that it names as `NAME/model`. Timeouts that
are left out are those of `[upstream]`.

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

Model names of your own. A request for the name goes to the model behind it.

```toml
[aliases]
fast = "local/llama3.2"
best = { model = "gpt-5.5", fallback = ["local/llama3.2"], fallback_on = ["quota"] }
```

A name with `*` or `?` is a pattern: `"claude-*" = "gpt-5.5"`. An alias of exactly the requested name comes first, then
the most exact pattern. `/v1/models` does not list patterns.

Aliases may also stand in `[upstream.aliases]` and `[upstreams.NAME.aliases]`.
"""

RULES = """\
## [[rules]]

Change parameters of text requests on their way, for one upstream, one model, or all:

```toml
[[rules]]
upstream = "local"                    # the name of an upstream; left out: all
model = "qwen*"                       # a pattern for the requested or the real name; left out: all
set = { temperature = 0.2 }           # whatever the client says
default = { top_p = 0.9 }             # if the client says nothing
strip = ["seed", "logprobs"]          # never sent
cap = { max_output_tokens = 4096, reasoning_effort = "medium" }   # at most; an answer without a limit gets this one
```

Rules apply in the order of the file, and the answer lists what they changed: `x-airelays-rules: set temperature, cap
max_output_tokens`. The names are those below; each API's own spelling is used (`max_completion_tokens`, `max_tokens`,
`reasoning.effort`, `stop_sequences`). What an upstream does not take is adapted afterwards as usual.
`airelays config show` lists the rules, and `airelays reload` changes them without a restart.

{names}
"""

OLDER = """\
## Names of earlier releases

Each variable is looked for as `AIRELAYS_X`, then `AIRELAY_X`; those marked with * also as `OPENAI_ENDPOINT_X`. The
folders `~/.config/airelay` and `~/.airelay` are used when only they exist.
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
    parts.append("These are accepted and have no effect here:\n\n" + "\n".join(nothing) + "\n")
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
