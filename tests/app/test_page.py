"""The page at `/`: one document, closed to all but its own style and script, with nothing for strangers to use."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser

import pytest

from airelays import __version__
from airelays.app.page import DOC_FIELDS, page_fields, render_page, script, style

BASE = "http://127.0.0.1:8080/v1"
REVEAL = "airelays token show"
# Every way by which text could become markup or code.
SINKS = (
    "innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function", "setHTMLUnsafe",
    "createContextualFragment", "srcdoc", "javascript:", "importScripts", "import(", "localStorage", "document.cookie",
    "XMLHttpRequest", "WebSocket", "EventSource", "setAttribute(\"on", "style:",
)  # fmt: skip


class Outline(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "br", "input"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        given = dict(attrs)
        assert not [name for name in given if name.startswith("on") or name in ("src", "style")]
        assert (given.get("href") or "#").startswith("#")
        if given.get("id"):
            self.ids.append(str(given["id"]))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def render(model: str = "gpt-5.5", *, needs_token: bool = True, wide: bool = False) -> str:
    return rendered(BASE, model, needs_token=needs_token, wide=wide)


def rendered(base: str, model: str, *, needs_token: bool = True, wide: bool = False) -> str:
    return render_page(
        base, model, REVEAL, opener="airelays open", explain="airelays explain", needs_token=needs_token, wide=wide
    ).decode()  # fmt: skip


@pytest.mark.parametrize("needs_token", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_the_page_is_whole_and_has_no_outside_parts(needs_token: bool, wide: bool) -> None:
    page = render(needs_token=needs_token, wide=wide)
    outline = Outline()
    outline.feed(page)
    assert outline.open == [] and len(set(outline.ids)) == len(outline.ids)
    assert not outline.tags & {"img", "link", "iframe", "form", "object", "base"}
    assert "url(" not in page and "@import" not in page and "{{" not in page
    assert page.count(BASE) >= 4
    assert ("airelays token show" in page) is needs_token
    assert ("From another machine" in page) is wide
    assert f'data-mode="{"token" if needs_token else "open"}"' in page


def test_every_element_that_the_script_names_is_there() -> None:
    outline = Outline()
    outline.feed(render())
    named = set(re.findall(r'byId\("([\w-]+)"\)|set\("([\w-]+)"', script()))
    assert {a or b for a, b in named} <= set(outline.ids)


def test_the_page_tells_no_version_no_folder_and_no_state() -> None:
    page = re.sub(r"<(style|script)>.*?</\1>", "", render(), flags=re.DOTALL)
    assert __version__ not in page
    for word in ("/.airelays", "/home", "/root", "pid", "signed in as", "Python/"):
        assert word not in page


def test_what_is_put_into_the_page_is_escaped() -> None:
    page = rendered("http://[::1]:1/v1", '<script>"')
    assert page.count("<script>") == 1 and "&lt;script&gt;" in page
    assert "<h>" not in rendered("http://<h>:1/v1", "m")
    own = render_page("http://h:1/v1", "m", "<r>", opener="<o>", explain="<e>", needs_token=True)
    page = own.decode()
    for name in "roe":
        assert f"&lt;{name}&gt;" in page and f"<{name}>" not in page


def test_the_policy_lets_in_this_style_and_this_script_and_nothing_else() -> None:
    policy = dict(page_fields())[b"content-security-policy"].decode()
    rules = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    page = render()
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        found = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert len(found) == 1
        digest = base64.b64encode(hashlib.sha256(found[0].encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"
    assert rules["default-src"] == "'none'" and rules["connect-src"] == "'self'"
    assert rules["require-trusted-types-for"] == "'script'" and rules["trusted-types"] == "docs"
    for name in ("frame-ancestors", "base-uri", "form-action"):
        assert rules[name] == "'none'"
    assert "unsafe" not in policy and "data:" not in policy


def test_the_pages_below_docs_run_nothing() -> None:
    policy = dict(DOC_FIELDS)[b"content-security-policy"]
    for part in (b"default-src 'none'", b"frame-ancestors 'none'", b"form-action 'none'"):
        assert part in policy
    assert b"script" not in policy


def test_the_script_sets_text_only() -> None:
    found = [sink for sink in SINKS if sink in script()]
    assert not found
    assert script().count("parseFromString") == 1, (
        "of our own documentation, in a document that runs nothing"
    )


def test_the_page_follows_the_colour_scheme_and_fits_a_phone() -> None:
    assert "prefers-color-scheme: dark" in style() and "prefers-reduced-motion" in style()
    assert 'name="viewport"' in render() and "max-width: 46rem" in style()
