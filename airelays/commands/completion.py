"""`completion`: what a shell offers after `airelays` and the tabulator, from the table of commands. Layer: commands."""

from __future__ import annotations

from airelays.commands.console import Console
from airelays.commands.line import flags_of
from airelays.commands.snippets import CLIENTS
from airelays.commands.table import COMMANDS, Arguments, Command
from airelays.disk.pages import PAGES
from airelays.errors import ConfigError

__all__ = ["run"]

SHELLS = ("bash", "zsh", "fish", "powershell")


def run(args: Arguments, console: Console) -> int:
    """Print the script for one shell."""
    shell = args.words[0] if args.words else ""
    makers = {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}
    if shell not in makers:
        raise ConfigError(
            f"the shell is {shell!r}; expected {', '.join(SHELLS)}"
            if shell
            else f"name a shell: airelays completion {'|'.join(SHELLS)}"
        )
    console.out.write(makers[shell]())
    return 0


def _offers() -> dict[str, list[str]]:
    """Return command line so far -> words that may come next, without flags; "" is the start."""
    offers: dict[str, list[str]] = {"": []}
    for command in COMMANDS:
        first, _, second = command.name.partition(" ")
        if first not in offers[""]:
            offers[""].append(first)
        if second:
            offers.setdefault(first, []).append(second)
    offers["docs"] = list(PAGES)
    offers["connect"] = list(CLIENTS)
    offers["completion"] = list(SHELLS)
    return offers


def _flag_words(command: Command) -> list[str]:
    return sorted(flag.name for flag in flags_of(command))


def _path_flags() -> list[str]:
    found = {f.name for c in COMMANDS for f in flags_of(c) if f.value in ("PATH", "DIR")}
    return sorted(found)


_BASH = """\
# bash completion for airelays: source <(airelays completion bash)
_airelays() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path="" flags="" next="" i
    for ((i = 1; i < COMP_CWORD; i++)); do
        [[ ${{COMP_WORDS[i]}} == -* ]] || path+=${{path:+ }}${{COMP_WORDS[i]}}
    done
    case $before in
        {paths}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
    esac
    case $path in
{nexts}
    esac
    case $path in
{flags}
    esac
    if [[ $word == -* ]]; then next=$flags; fi
    mapfile -t COMPREPLY < <(compgen -W "$next" -- "$word")
}}
complete -F _airelays airelays
"""


def _bash() -> str:
    return _BASH.format(
        paths="|".join(_path_flags()),
        nexts="\n".join(
            f'        "{path}") next="{" ".join(words)}" ;;' for path, words in _offers().items()
        ),
        flags="\n".join(
            f'        "{c.name}"*) flags="{" ".join(_flag_words(c))}" ;;'
            for c in sorted(COMMANDS, key=lambda c: -len(c.name))
        ),
    )


def _zsh() -> str:
    """Bash's, through zsh's own bridge: one list of words to keep right."""
    return (
        "#compdef airelays\n# zsh completion for airelays: source <(airelays completion zsh)\n"
        "autoload -U +X compinit && compinit -i\nautoload -U +X bashcompinit && bashcompinit\n"
        + _bash()
        .replace(
            'mapfile -t COMPREPLY < <(compgen -f -- "$word")',
            'COMPREPLY=("${(@f)$(compgen -f -- "$word")}")',
        )
        .replace(
            'mapfile -t COMPREPLY < <(compgen -W "$next" -- "$word")',
            'COMPREPLY=("${(@f)$(compgen -W "$next" -- "$word")}")',
        )
    )


def _fish() -> str:
    lines = [
        "# fish completion for airelays: airelays completion fish | source",
        "complete -c airelays -f",
    ]
    offers = _offers()
    summaries = {c.name: c.summary for c in COMMANDS}
    for path, words in offers.items():
        if path:
            seen = f"__fish_seen_subcommand_from {path}"
            condition = f"{seen}; and not __fish_seen_subcommand_from {' '.join(words)}"
        else:
            condition = "__fish_use_subcommand"
        for word in words:
            text = summaries.get(f"{path} {word}".strip(), "")
            about = f" -d {_fish_quoted(text)}" if text else ""
            lines.append(f"complete -c airelays -n {_fish_quoted(condition)} -a {word}{about}")
    for command in COMMANDS:
        seen = "; and ".join(f"__fish_seen_subcommand_from {w}" for w in command.name.split())
        for flag in sorted(flags_of(command)):
            kind = " -r" if flag.value else ""
            files = " -F" if flag.value in ("PATH", "DIR") else ""
            lines.append(
                f"complete -c airelays -n {_fish_quoted(seen)} -l {flag.name[2:]}{kind}{files}"
                f" -d {_fish_quoted(flag.help)}"
            )
    return "\n".join(lines) + "\n"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


_POWERSHELL = """\
# PowerShell completion for airelays: airelays completion powershell | Out-String | Invoke-Expression
Register-ArgumentCompleter -Native -CommandName airelays -ScriptBlock {{
    param($word, $tree, $cursor)
    $next = @{{
{nexts}
    }}
    $flags = @{{
{flags}
    }}
    $said = @($tree.CommandElements | Select-Object -Skip 1 | ForEach-Object {{ $_.ToString() }})
    if ($word -ne '' -and $said.Count -gt 0) {{ $said = @($said | Select-Object -SkipLast 1) }}
    $path = (@($said | Where-Object {{ $_ -notlike '-*' }})) -join ' '
    $found = if ($word -like '-*') {{ $flags[$path] }} else {{ $next[$path] }}
    $found | Where-Object {{ $_ -like "$word*" }} | ForEach-Object {{
        [System.Management.Automation.CompletionResult]::new($_, $_, 'ParameterValue', $_)
    }}
}}
"""


def _powershell() -> str:
    def rows(table: dict[str, list[str]]) -> str:
        return "\n".join(
            f"        '{path}' = @({', '.join(repr(w) for w in words)})"
            for path, words in table.items()
        )

    return _POWERSHELL.format(
        nexts=rows(_offers()), flags=rows({c.name: _flag_words(c) for c in COMMANDS})
    )
