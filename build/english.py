"""Find phrases that a native writer would not use: `python3 build/english.py [FILE ...] [--count]`.

Looks at the texts that people read: README, the pages of `airelays/docs`, what stands in `packaging`, and the string
literals of the program that are sentences (docstrings and patterns are not). Prints file, line, pattern and words; the
exit code is 1 when anything is found. `--count` prints how often each pattern was found.
"""

from __future__ import annotations

import argparse
import ast
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
PACKAGING = (
    "debian/*", "docker/*", "haproxy/*", "homebrew/*", "launchd/*", "systemd/*", "systemd/user/*", "windows/*",
)  # fmt: skip
# Of these calls no person reads the arguments.
_NOT_READ = ("compile", "execute", "executescript")
_UNIT = "second|minute|hour|day|week|month|year|event|request|stream|line|model|address|key|client|read|turn"
_COUNTED = "files?|models?|requests?|tokens?|lines?|keys?|streams?|errors?|events?|bytes|times|calls|MiB|once|one"
PATTERNS = {
    "is no X": r"(?<!there )\b(?:is|are|was|were|being|be) no "
    r"(?!(?:longer|more|less|better|different|one|way)\b)\w+",
    "a for per": rf"\b(?:{_COUNTED}) an? (?:{_UNIT})\b(?! (?:of|for|that|with|at|on)\b)",
    "so many": r"\bso (?:many|old|long|few|large|often)\b(?! (?:as|that)\b)|\bfor so much\b",
    "object in front": r"(?:^|[.:;] )(?:Lost|Open|Missing|Gone|Excluded|Meant|Allowed|Known|Left|Needed|Accepted|Shown|"
    r"Counted|Listed|Kept|Sent|Refused|Found|Checked|Removed|Changed|Of [a-z]+ [a-z]+ (?:the|only)) "
    r"(?:are|is|was|were)\b",
    "wants, tells": r"\b(?:wants?|wanted|tells|told|telling)\b",
    "may have": r"\bmay have (?:up to )?\d",
    "behind": r"\bbehind (?:it|them|that|this|the end|the file|the last|a line|the line|the name|its)\b",
    "odd idioms": r"\bbelongs? into\b|\bfar side\b|\bfor a while of\b|\btakes? the mark away\b|\bby hand of\b"
    r"|\bfor ever\b|\banew\b|\bin front of (?:it|them|that)\b|\bit is said\b|\bsays nothing of\b|\bword on\b",
    "beside": r"\bbeside\b(?! the point)",
    "be connected": r"\b(?:could|can|cannot|can't) (?:not )?be connected\b",
    "mend, wish, lack": r"\b(?:mend(?:s|ed|ing)?|wish(?:es|ed)?|lack(?:s|ed|ing)?|ma[dk]e[s]? known)\b",
    "somebody": r"\b(?:somebody|nobody|everybody|whom|strangers?|whoever)\b",
    "one files": r"\b1 (?:files|models|requests|tokens|lines|keys|streams|errors|days|times|entries)\b|\w\(s\)",
    "filler": r"\b(?:simply|please|easily|of course|obviously)\b",
    "British": r"\b\w*(?:[a-z]olour|aviour|onour|defence|licence|recognis|normalis|organis|authoris|initialis|summaris"
    r"|synchronis|serialis|minimis|maximis|optimis|catalogue|centre|cancelled|labelled|modelled)\w*\b",
    "old phrases": r"everything not given|asks nobody|otherwise is default|\bgive it back\b|\bto be had\b"
    r"|\bat all times\b|\bin the place of\b|\bin place of which\b|\bwhich is fine\b|\bthe rest is\b|\bby itself\b"
    r"|\bof its own\b(?! accord)",
}
# What stands there on purpose: the file, the words with their neighbors, and why.
ALLOWED: dict[tuple[str, str], str] = {
    ("airelays/commands/service/files.py", "Wants=network-online.target"): "a word of systemd's",
    ("packaging/systemd/airelays.service", "Wants=network-online.target"): "a word of systemd's",
    ("airelays/upstream/compatible/whole.py", "; request a stream"): "a verb, not a unit",
}


class Found(NamedTuple):
    """One phrase in a text."""

    file: str
    line: int
    pattern: str
    words: str


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """Yield the texts of a file with the lines on which they begin."""
    source = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from _prose(source) if path.suffix == ".md" else _lines(source, path.suffix)
        return
    tree = ast.parse(source)
    skipped = {id(node) for node in _unread(tree)}
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, (str, bytes))
            and id(node) not in skipped
        ):
            text = node.value if isinstance(node.value, str) else node.value.decode("latin-1")
            if len(text.split()) >= 3:
                yield node.lineno, text


def _unread(tree: ast.AST) -> Iterator[ast.AST]:
    """Yield the strings that nobody reads: docstrings, and what goes into `re`, SQL and such."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            yield node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            yield from ast.walk(node) if node.func.attr in _NOT_READ else ()


def _lines(source: str, suffix: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of another file: of a page without its tags, of a script only the sentences in quotes."""
    for number, line in enumerate(source.splitlines(), 1):
        if suffix == ".js":
            for found in re.finditer(r"""(["'`])((?:(?!\1).)*)\1""", line):
                if len(found[2].split()) >= 3:
                    yield number, found[2]
        else:
            yield number, re.sub(r"<[^>]*>", "", line) if suffix == ".html" else line


def _prose(source: str) -> Iterator[tuple[int, str]]:
    """Yield the paragraphs of a page, code left out."""
    in_code, begun, lines = False, 1, list[str]()
    for number, line in enumerate([*source.splitlines(), ""], 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        kept = "" if in_code or line.startswith("    ") else line
        if kept and not kept.startswith("|"):
            begun = begun if lines else number
            lines.append(kept)
            continue
        if lines:
            yield begun, re.sub(r"`[^`]*`", "`x`", " ".join(lines))
            lines.clear()
        if kept:
            yield number, re.sub(r"`[^`]*`", "`x`", kept)


def look(path: Path) -> Iterator[Found]:
    """Yield what is found in one file."""
    name = path.relative_to(ROOT).as_posix()
    for line, text in texts(path):
        for pattern, words in found_in(text):
            if not any(file == name and allowed in words for file, allowed in ALLOWED):
                yield Found(name, line, pattern, words)


def found_in(text: str) -> Iterator[tuple[str, str]]:
    """Yield each pattern that is in a text, with the words around it."""
    for pattern, words in PATTERNS.items():
        # What stands in front begins a sentence: there its capital counts.
        flags = re.MULTILINE if pattern == "object in front" else re.MULTILINE | re.IGNORECASE
        for found in re.finditer(words, text, flags):
            yield pattern, text[max(0, found.start() - 30) : found.end() + 30].replace("\n", " ")


def files() -> list[Path]:
    """Return every file with texts for people."""
    found = [
        ROOT / "README.md",
        *(ROOT / "airelays").rglob("*.md"),
        *(ROOT / "airelays").rglob("*.py"),
        *(ROOT / "airelays").rglob("*.html"),
        *(ROOT / "airelays").rglob("*.js"),
    ]
    found += [
        path
        for pattern in PACKAGING
        for path in (ROOT / "packaging").glob(pattern)
        if path.is_file()
    ]
    return sorted(found)


def main() -> int:
    """Print what is found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--count", action="store_true")
    given = parser.parse_args()
    found = [one for path in given.files or files() for one in look(path.resolve())]
    if given.count:
        for pattern, count in Counter(one.pattern for one in found).most_common():
            print(f"{count:5} {pattern}")
        print(f"{len(found):5} in all, in {len({one.file for one in found})} files")
    else:
        for one in found:
            print(f"{one.file}:{one.line}: {one.pattern}: ...{one.words}...")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
