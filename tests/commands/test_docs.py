"""The documentation inside: every page is there, true to the program, served, and its examples run."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import get_args

import pytest

from airelays.app.docpages import render_markdown
from airelays.app.page import DOC_FIELDS
from airelays.app.pages import PAGES, page_text
from airelays.app.routes import ROUTES
from airelays.commands.table import COMMANDS
from airelays.settings.load import load
from airelays.settings.parse import Places
from airelays.settings.table import OPTIONS
from airelays.upstream.chatgpt.signin import SignInProblem
from tests import live

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "airelays" / "docs"
DEADLINE_S = 60.0
NAMED = (
    *("getting-started", "configuration", "security", "api", "clients", "upstreams", "errors"),
    *("troubleshooting", "performance", "disclaimer", "licenses"),
)


def text_of(name: str) -> str:
    return (ROOT / "README.md").read_text() if name == "README" else page_text(name)


def test_every_page_is_listed_and_every_listed_page_is_there() -> None:
    assert {path.stem for path in DOCS.iterdir()} == set(PAGES)
    assert set(NAMED) <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_begins_with_its_title_and_closes_its_fences(name: str) -> None:
    text = page_text(name)
    assert (
        text.startswith("# ") and text.endswith("\n") and text.count("\n# ") == text.count("\n# ")
    )
    assert len(re.findall(r"^```", text, re.MULTILINE)) % 2 == 0
    assert all(len(line) <= 320 for line in text.splitlines())


# ---- errors: every code of the program is explained


def constants(node: ast.expr) -> Iterator[str]:
    if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value:
        yield node.value
    elif isinstance(node, ast.IfExp):
        yield from constants(node.body)
        yield from constants(node.orelse)
    elif isinstance(node, ast.BoolOp):
        for value in node.values:
            yield from constants(value)


def said(node: ast.AST) -> Iterator[ast.expr]:
    """Yield the expressions that become an error's code."""
    if isinstance(node, ast.Call):
        yield from (k.value for k in node.keywords if k.arg == "code")
        if isinstance(node.func, ast.Name) and node.func.id == "fault" and len(node.args) == 3:
            yield node.args[2]
    elif isinstance(node, ast.Assign):
        for target in node.targets:
            pairs = [(target, node.value)]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):
                pairs = list(zip(target.elts, node.value.elts, strict=True))
            yield from (v for t, v in pairs if isinstance(t, ast.Attribute) and t.attr == "code")
    elif isinstance(node, ast.FunctionDef):
        names = node.args.args[len(node.args.args) - len(node.args.defaults) :]
        yield from (d for a, d in zip(names, node.args.defaults, strict=True) if a.arg == "code")


# Codes that are put together while the program runs, by their expression: each needs its whole list here.
COMPOSED = {
    "f'client_not_{where}'": ["client_not_on_this_machine", "client_not_on_private_network"],
    "f'upstream_auth_{kind}'": [f"upstream_auth_{kind}" for kind in get_args(SignInProblem)],
}


def codes() -> set[str]:
    found = {code for listed in COMPOSED.values() for code in listed}
    for path in (ROOT / "airelays").rglob("*.py"):
        source = path.read_text(encoding="utf-8")
        if "/commands/" not in path.as_posix():
            for node in ast.walk(ast.parse(source)):
                for value in said(node):
                    found |= set(constants(value))
                    composed = ast.unparse(value)
                    assert not isinstance(value, ast.JoinedStr) or composed in COMPOSED, composed
    return found - {"null"}


def test_every_code_of_the_program_is_on_the_errors_page() -> None:
    listed = set(re.findall(r"^\| `(\w+)` \|", page_text("errors"), re.MULTILINE))
    missing = codes() - listed
    assert not missing, f"airelays/docs/errors.md says nothing of {sorted(missing)}"


def test_the_errors_page_explains_no_code_that_does_not_exist() -> None:
    source = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "airelays").rglob("*.py"))
    listed = re.findall(r"^\| `(\w+)` \| (.+)$", page_text("errors"), re.MULTILINE)
    known = codes()
    for code, rest in listed:
        assert code in known or f'"{code}"' in source, code
        status, cause, fix = (part.strip() for part in rest.strip(" |").split(" | "))
        assert re.fullmatch(r"(\d{3})(, \d{3})*|-", status) and cause and fix, code


# ---- what the pages name exists


@pytest.mark.parametrize("name", [*PAGES, "README"])
def test_commands_that_a_page_names_exist(name: str) -> None:
    words = {c.name for c in COMMANDS}
    groups = {w.split()[0] for w in words}
    found = re.findall(r"(?:^|[`(])airelays ([a-z]+(?: [a-z]+)?)", text_of(name), re.MULTILINE)
    for said_words in found:
        first, _, second = said_words.partition(" ")
        assert first in groups, f"airelays {said_words}"
        members = [w.split()[1] for w in words if w.startswith(first + " ")]
        if members and first not in words:
            assert second in members, f"airelays {said_words}"
        if first == "docs" and second:
            assert second in {p.split("-")[0] for p in PAGES}, f"airelays {said_words}"


@pytest.mark.parametrize("name", [*PAGES, "README"])
def test_options_that_a_page_names_exist(name: str) -> None:
    tables = {o.key.split(".")[0] for o in OPTIONS}
    keys = {o.key for o in OPTIONS} | {key for o in OPTIONS for key in o.also}
    for found in re.findall(r"`([a-z_]+\.[a-z_]+)`", text_of(name)):
        if found.split(".")[0] in tables and not found.endswith("_") and name != "configuration":
            assert found in keys, found


def test_the_api_page_names_every_route() -> None:
    text = page_text("api") + page_text("files") + page_text("conversations")
    for route in ROUTES:
        path = route.path.replace("...", "").removeprefix("/no-tools")
        last = path.rstrip("/").rpartition("/")[2] or path
        assert path in text or f"/{last}" in text, path


def test_links_of_the_readme_lead_somewhere() -> None:
    for target in re.findall(r"\]\(([^)]+)\)", text_of("README")):
        assert target.startswith("https://") or (ROOT / target).exists(), target


# ---- pages over HTTP


class Tags(HTMLParser):
    """Checks that what is opened is closed, and notes which tags there are."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[live.Relay]:
    path = tmp_path_factory.mktemp("docs") / "config.toml"
    path.write_text("[security]\nrate_limit_burst = 1000\nrate_limit_per_minute = 10000\n")
    with live.running(path.parent, "--config", str(path)) as running:
        yield running


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_served_as_plain_html(relay: live.Relay, name: str) -> None:
    reply = relay.get(f"/docs/{name}")
    assert reply.status == 200 and reply.headers["content-type"] == "text/html; charset=utf-8"
    for field, value in DOC_FIELDS:
        assert reply.headers[field.decode()] == value.decode()
    html = reply.body.decode()
    tags = Tags()
    tags.feed(html)
    assert tags.open == [] and not tags.seen & {"script", "img", "iframe", "link", "form"}
    assert f"<h1>{page_text(name).splitlines()[0][2:]}</h1>" in html
    running_text = re.sub(r"<pre>.*?</pre>", "", html, flags=re.DOTALL).split("<main>")[1]
    assert not re.search(r"```|<p>\||\*\*|^#", running_text, re.MULTILINE)


def test_the_list_links_every_page(relay: live.Relay) -> None:
    html = relay.get("/docs").body.decode()
    assert re.findall(r'href="/docs/([a-z-]+)"', html) == list(PAGES)


def test_pages_are_behind_the_token(relay: live.Relay) -> None:
    for path in ("/docs", "/docs/security", "/docs/nowhere"):
        assert relay.send("GET", path, token=None).status == 401
    reply = relay.get("/docs/nowhere")
    assert reply.status == 404 and reply.error["code"] == "unknown_route"
    assert relay.get("/docs/..%2fx").status == 404
    moved = relay.get("/docs/hardening")
    assert moved.body == relay.get("/docs/threat-model").body
    assert relay.send("HEAD", "/docs/security").status == 200


@pytest.mark.parametrize(
    "markdown, html",
    [
        ("# A & b\n", "<h1>A &amp; b</h1>\n"),
        ("one\ntwo `<x>`\n\nthree\n", "<p>one two <code>&lt;x&gt;</code></p>\n<p>three</p>\n"),
        ("- a\n  b\n- **c**\n", "<ul>\n<li>a b</li>\n<li><strong>c</strong></li>\n</ul>\n"),
        ("1. a\n2. b\n", "<ol>\n<li>a</li>\n<li>b</li>\n</ol>\n"),
        ("```py\n<a> & `b`\n```\n", "<pre><code>&lt;a&gt; &amp; `b`</code></pre>\n"),
        (
            "| a | b |\n| --- | --- |\n| 1 | x \\| y |\n",
            "<table>\n<tr><th>a</th><th>b</th></tr>\n<tr><td>1</td><td>x | y</td></tr>\n</table>\n",
        ),
        (
            "[t](https://x.example/?a=1&b)\n",
            '<p><a href="https://x.example/?a=1&amp;b">t</a></p>\n',
        ),
        ("[t](javascript:alert)\n", "<p>t</p>\n"),
        ("<script>x</script>\n", "<p>&lt;script&gt;x&lt;/script&gt;</p>\n"),
        ("```\nnever closed\n", "<pre><code>never closed\n</code></pre>\n"),
    ],
)
def test_markdown_becomes_html(markdown: str, html: str) -> None:
    assert render_markdown(markdown) == html


# ---- examples


def examples() -> list[tuple[str, str, str]]:
    """Return (where, language, code) of every curl and Python example."""
    found = []
    for name in [*PAGES, "README"]:
        for at, match in enumerate(
            re.finditer(r"^```(\w*)\n(.*?)^```", text_of(name), re.M | re.S)
        ):
            language, code = match.groups()
            if language == "python" or code.startswith("curl "):
                found.append((f"{name}-{at}", language or "sh", code))
    return found


def config_examples() -> list[tuple[str, str]]:
    """Return (where, text) of every example of a config file."""
    return [
        (f"{name}-{at}", match[1])
        for name in [*PAGES, "README"]
        for at, match in enumerate(re.finditer(r"^```toml\n(.*?)^```", text_of(name), re.M | re.S))
    ]


def test_there_are_config_examples() -> None:
    assert len(config_examples()) >= 10


@pytest.mark.parametrize("where, text", config_examples(), ids=lambda v: v[:24])
def test_an_example_of_a_config_file_is_valid(where: str, text: str) -> None:
    # Some continue another one of their page, which defines this upstream.
    if "upstreams" not in tomllib.loads(text):
        text += '[upstreams.local]\nbase_url = "http://127.0.0.1:11434/v1"\n'
    load(text, where, {}, {}, places=Places(home="/home/ann", cwd="/"))


def test_there_are_examples() -> None:
    assert len([e for e in examples() if e[1] == "python"]) >= 5
    assert len([e for e in examples() if e[1] == "sh"]) >= 3


@pytest.mark.parametrize("where, language, code", examples(), ids=lambda v: v[:24])
def test_an_example_runs(
    relay: live.Relay, tmp_path: Path, where: str, language: str, code: str
) -> None:
    if language == "sh" and shutil.which("curl") is None:
        pytest.skip("there is no curl here")
    shim = tmp_path / "airelays"
    shim.write_text(f'#!/bin/sh\nexec {sys.executable} -m airelays "$@"\n')
    shim.chmod(0o755)
    # What curl is told here beside the example: an error status is a failure.
    (tmp_path / ".curlrc").write_text("fail\nsilent\n")
    (tmp_path / "report.pdf").write_bytes(b"%PDF-1.4 a file that an example sends")
    env = {
        "PATH": f"{tmp_path}:{os.environ.get('PATH', os.defpath)}",
        "PYTHONPATH": str(ROOT),
        "HOME": str(tmp_path),
        "AIRELAYS_BEARER_TOKEN": live.TOKEN,
        "OPENAI_BASE_URL": relay.url,
        "OPENAI_API_KEY": live.TOKEN,
    }
    code = code.replace("http://127.0.0.1:8080/v1", relay.url)
    words = [sys.executable, "-c", code] if language == "python" else ["sh", "-euc", code]
    done = subprocess.run(
        words, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=DEADLINE_S
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip()
