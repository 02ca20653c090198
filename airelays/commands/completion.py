"""`completion`: what a shell offers after `airelays` and the tabulator, from the table of commands. Layer: commands."""

from __future__ import annotations

from airelays.app.pages import PAGES, page_title
from airelays.commands.connect.snippets import CLIENTS
from airelays.commands.service.files import KINDS
from airelays.commands.table import SHOWN
from airelays.errors import FlagError
from airelays.hints import hint
from airelays.settings.table import OPTIONS
from airelays.terminal.arguments import Arguments, Command, Flag
from airelays.terminal.console import Console
from airelays.terminal.line import common_flags, flags_of

SHELLS = ("bash", "zsh", "fish", "powershell")


def run(args: Arguments, console: Console) -> int:
    """Print the script for one shell."""
    shell = args.words[0] if args.words else ""
    makers = {"bash": _bash, "zsh": _zsh, "fish": _fish, "powershell": _powershell}
    if shell not in makers:
        raise FlagError(
            f"the shell is {shell!r}; expected one of {', '.join(SHELLS)}"
            if shell
            else f"name a shell: {hint('completion')} {'|'.join(SHELLS)}"
        )
    console.out.write(makers[shell]())
    return 0


def _offers() -> dict[str, list[str]]:
    """Return command line so far -> words that can come next, without flags; "" is the start."""
    offers: dict[str, list[str]] = {"": []}
    for command in SHOWN:
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


def _flags_by_path() -> dict[str, list[str]]:
    """Return command line so far -> flags; before a command is complete those that every command takes."""
    common = sorted(flag.name for flag in common_flags())
    table = {command.name: _flag_words(command) for command in SHOWN}
    return {path: common for path in _offers() if path not in table} | table


def _valued() -> dict[str, str]:
    """Return every flag that a value follows, its short form too -> the name of that value."""
    every = {flag for command in SHOWN for flag in flags_of(command) if flag.value}
    return {name: flag.value for flag in every for name in (flag.name, flag.short) if name}


def _choices() -> dict[str, list[str]]:
    """Return the flags whose values are a few words -> those words."""
    found = {o.flag: list(o.choices) for o in OPTIONS if o.flag and o.choices and not o.flag_value}
    return {**found, "--kind": list(KINDS)}


def _path_flags() -> list[str]:
    return sorted(name for name, value in _valued().items() if value in ("PATH", "DIR"))


_BASH = """\
# bash completion for airelays: source <(airelays completion bash)
_airelays() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} path="" next="" i
    # bash cuts --flag=value into three words
    if [[ $before == = ]]; then before=${{COMP_WORDS[COMP_CWORD-2]}}; fi
    if [[ $word == = ]]; then word=""; fi
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${{COMP_WORDS[i]}} in
            {valued}) if [[ ${{COMP_WORDS[i+1]}} == = ]]; then ((i += 2)); else ((i += 1)); fi ;;
            -*) ;;
            *) path+=${{path:+ }}${{COMP_WORDS[i]}} ;;
        esac
    done
    case $before in
        {paths}) mapfile -t COMPREPLY < <(compgen -f -- "$word"); return ;;
{choices}
        {others}) ;;
        *)
            case $path in
{nexts}
            esac
            if [[ $word == -* ]]; then
                case $path in
{flags}
                esac
            fi ;;
    esac
    mapfile -t COMPREPLY < <(compgen -W "$next" -- "$word")
}}
complete -F _airelays airelays
"""


def _bash() -> str:
    def rows(table: dict[str, list[str]], indent: int, after: str = "") -> str:
        margin = " " * indent
        return "\n".join(
            f'{margin}{path}{after}) next="{" ".join(words)}" ;;' for path, words in table.items()
        )

    def quoted(table: dict[str, list[str]]) -> dict[str, list[str]]:
        return {f'"{path}"': words for path, words in table.items()}

    known = {*_path_flags(), *_choices()}
    flags = _flags_by_path()
    by_length = {path: flags[path] for path in sorted(flags, key=len, reverse=True) if path}
    return _BASH.format(
        valued="|".join(sorted(_valued())),
        paths="|".join(_path_flags()),
        choices=rows(_choices(), 8),
        others="|".join(sorted(set(_valued()) - known)),
        nexts=rows(quoted(_offers()), 16),
        flags=rows(quoted(by_length), 20, "*") + "\n" + rows({"*": flags[""]}, 20),
    )


_ZSH = """\
#compdef airelays
# zsh completion for airelays: source <(airelays completion zsh)
(( $+functions[compdef] )) || { autoload -U compinit && compinit -i; }
_airelays_describe() {
    local -a found
    found=("${(@f)1}")
    (( $# )) && [[ -n $1 ]] && _describe -t "$2" "$2" found
}
_airelays() {
    local at said="" expects="" flag before=${words[CURRENT-1]}
    typeset -A next flags choices
@NEXT@
@FLAGS@
@CHOICES@
    for (( at = 2; at < CURRENT; at++ )); do
        if [[ -n $expects ]]; then expects=""; continue; fi
        case ${words[at]} in
            (@VALUED@) expects=${words[at]} ;;
            (-*) ;;
            (*) said+=${said:+ }${words[at]} ;;
        esac
    done
    if [[ -z $expects && ${words[CURRENT]} == --*=* ]]; then
        expects=${words[CURRENT]%%=*}
        compset -P '*='
    fi
    case $expects in
        ("") ;;
        (@PATHS@) _files; return ;;
        (*) [[ -n ${choices[$expects]} ]] && compadd -- ${=choices[$expects]}; return ;;
    esac
    if [[ ${words[CURRENT]} == -* ]]; then
        while [[ -n $said && -z ${flags[$said]} ]]; do
            [[ $said == *' '* ]] && said=${said% *} || said=""
        done
        _airelays_describe "${flags[${said:-(none)}]}" flag
    else
        _airelays_describe "${next[${said:-(none)}]}" command
    fi
}
# The file of a folder of fpath is itself the function that is called first.
if [[ ${funcstack[1]} == _airelays ]]; then _airelays "$@"; else compdef _airelays airelays; fi
"""


def _zsh() -> str:
    summaries = {path: f"One of: {', '.join(words)}." for path, words in _offers().items() if path}
    summaries |= {command.name: command.summary for command in SHOWN}
    by_path = {c.name: {flag.name: flag.help for flag in flags_of(c)} for c in SHOWN}
    every = {flag.name: flag.help for flag in common_flags()}
    titles = {name: page_title(name) for name in PAGES}

    def told(path: str, word: str) -> str:
        about = titles.get(word) if path == "docs" else summaries.get(f"{path} {word}".strip())
        return _zsh_entry(word, about or "")

    nexts = {path: [told(path, word) for word in words] for path, words in _offers().items()}
    flags = {
        path: [_zsh_entry(name, by_path.get(path, every)[name]) for name in names]
        for path, names in _flags_by_path().items()
    }
    choices = {flag: [" ".join(words)] for flag, words in _choices().items()}
    parts = {
        "@NEXT@": _zsh_table("next", nexts),
        "@FLAGS@": _zsh_table("flags", flags),
        "@CHOICES@": _zsh_table("choices", choices),
        "@VALUED@": "|".join(sorted(_valued())),
        "@PATHS@": "|".join(_path_flags()),
    }
    text = _ZSH
    for mark, part in parts.items():
        text = text.replace(mark, part)
    return text


def _zsh_entry(word: str, about: str) -> str:
    """Return a word as `_describe` takes it: a colon ends it, and its explanation follows."""
    escaped = word.replace(":", "\\:")
    return f"{escaped}:{about}" if about else escaped


def _zsh_table(name: str, table: dict[str, list[str]]) -> str:
    """Return the assignment of an associative array: path and, a line per entry, what is offered after it."""
    pairs = (
        f"        {_zsh_quoted(path or '(none)')} {_zsh_quoted(chr(10).join(entries))}"
        for path, entries in table.items()
    )
    return "\n".join([f"    {name}=(", *pairs, "    )"])


def _zsh_quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


_FISH = """\
# fish completion for airelays: airelays completion fish | source
function __airelays_words
    set -l said (commandline -opc)
    set -e said[1]
    set -l is_value 0
    for word in $said
        if test $is_value = 1
            set is_value 0
            continue
        end
        switch $word
            case {valued}
                set is_value 1
            case '-*'
            case '*'
                echo $word
        end
    end
end
function __airelays_at
    set -l words (__airelays_words)
    test "$words" = "$argv"
end
function __airelays_in
    set -l words (__airelays_words)
    set -l count (count $argv)
    test (count $words) -ge $count; and test "$words[1..$count]" = "$argv"
end
complete -c airelays -f
"""


def _fish() -> str:
    lines = [_FISH.format(valued=" ".join(sorted(_valued()))).rstrip("\n")]
    summaries = {c.name: c.summary for c in SHOWN}
    for path, words in _offers().items():
        condition = _fish_quoted(f"__airelays_at {path}".strip())
        for word in words:
            text = summaries.get(f"{path} {word}".strip(), "")
            about = f" -d {_fish_quoted(text)}" if text else ""
            lines.append(f"complete -c airelays -n {condition} -a {word}{about}")
    every = {flag.name: flag for command in SHOWN for flag in flags_of(command)}
    for path, names in _flags_by_path().items():
        own = {flag.name: flag for c in SHOWN if c.name == path for flag in flags_of(c)}
        lines += [_fish_flag(_fish_condition(path), own.get(name, every[name])) for name in names]
    return "\n".join(lines) + "\n"


def _fish_condition(path: str) -> str:
    """Return when the flags of `path` are offered: `logs` has some, and `logs prune` others."""
    names = [command.name for command in SHOWN]
    if path not in names:
        return f"__airelays_at {path}".strip()
    longer = [f"; and not __airelays_in {name}" for name in names if name.startswith(path + " ")]
    return f"__airelays_in {path}" + "".join(longer)


def _fish_flag(condition: str, flag: Flag) -> str:
    kind = " -r" if flag.value else ""
    if flag.value in ("PATH", "DIR"):
        kind += " -F"
    elif flag.name in _choices():
        kind += f" -a {_fish_quoted(' '.join(_choices()[flag.name]))}"
    return (
        f"complete -c airelays -n {_fish_quoted(condition)} -l {flag.name[2:]}{kind}"
        f" -d {_fish_quoted(flag.help)}"
    )


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
    $choices = @{{
{choices}
    }}
    $valued = @({valued})
    $said = @($tree.CommandElements | Select-Object -Skip 1 | ForEach-Object {{ $_.ToString() }})
    if ($word -ne '' -and $said.Count -gt 0) {{ $said = @($said | Select-Object -SkipLast 1) }}
    $words = @()
    $isValue = $false
    foreach ($one in $said) {{
        if ($isValue) {{ $isValue = $false; continue }}
        if ($valued -ccontains $one) {{ $isValue = $true }} elseif ($one -notlike '-*') {{ $words += $one }}
    }}
    $path = $words -join ' '
    $found = if ($isValue) {{ $choices[$said[-1]] }}
        elseif ($word -like '-*') {{ $flags[$path] }}
        else {{ $next[$path] }}
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
        nexts=rows(_offers()),
        flags=rows(_flags_by_path()),
        choices=rows(_choices()),
        valued=", ".join(map(repr, sorted(_valued()))),
    )
