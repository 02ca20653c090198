"""The page at `/`: static, without scripts, without anything that a stranger could use."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from airelays import __version__
from airelays.app.page import PAGE_FIELDS, render_page

BASE = "http://127.0.0.1:8080/v1"
REVEAL = "airelays token show"


class Outline(HTMLParser):
    """Collects tags and checks that they are closed in order."""

    VOID = frozenset({"meta", "br"})

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        assert not [name for name, _ in attrs if name.startswith("on") or name in ("src", "href")]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("needs_token", [True, False])
@pytest.mark.parametrize("wide", [True, False])
def test_the_page_is_whole_and_has_no_script_and_no_outside_parts(
    needs_token: bool, wide: bool
) -> None:
    page = render_page(BASE, "gpt-5.5", REVEAL, needs_token=needs_token, wide=wide).decode()
    outline = Outline()
    outline.feed(page)
    assert outline.open == []
    assert not outline.tags & {"script", "img", "link", "iframe", "form", "object"}
    assert "url(" not in page and "@import" not in page
    assert page.count(BASE) >= 4
    assert ("airelays token show" in page) is needs_token
    assert ("From another machine" in page) is wide


def test_the_page_tells_no_version_no_folder_and_no_state() -> None:
    page = render_page(BASE, "gpt-5.5", REVEAL, needs_token=True).decode()
    assert __version__ not in re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
    for word in ("/.airelays", "/home", "/root", "pid", "signed in", "Python/"):
        assert word not in page


def test_what_is_put_into_the_page_is_escaped() -> None:
    page = render_page("http://[::1]:1/v1", '<script>"', REVEAL, needs_token=True).decode()
    assert "<script>" not in page and "&lt;script&gt;" in page
    assert b"<h>" not in render_page("http://<h>:1/v1", "m", REVEAL, needs_token=True)


def test_the_page_is_closed_to_scripts_frames_and_forms() -> None:
    policy = dict(PAGE_FIELDS)[b"content-security-policy"]
    for part in (b"default-src 'none'", b"frame-ancestors 'none'", b"form-action 'none'"):
        assert part in policy
    assert b"script" not in policy


def test_the_page_follows_the_colour_scheme_and_fits_a_phone() -> None:
    page = render_page(BASE, "gpt-5.5", REVEAL, needs_token=True).decode()
    assert "prefers-color-scheme: dark" in page
    assert 'name="viewport"' in page
    assert "max-width: 40rem" in page
