"""The page in Chromium: signing in, text from strangers, the end of a session, many rows, keyboard, accessibility."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.app.test_page_session import LIMITS, browser, new_code, opening, pages_in, session
from tests.chromium import CHROMIUM, Browser, Page
from tests.live import ROOT, Relay, running, wait_for

AXE = ROOT / "tests" / "node" / "node_modules" / "axe-core" / "axe.min.js"
VIEWS = ("now", "usage", "failures", "upstreams", "access", "docs")
SLOTS = {"AIRELAYS_CONCURRENT_REQUESTS_PER_IP": "40"}
pytestmark = pytest.mark.skipif(
    not CHROMIUM or os.name != "posix", reason="no chromium here (build/test.py installs Debian's where it may)"
)  # fmt: skip
MARKUP = "<img src=x onerror=alert(1)><script>window.bad = 1</script>\"'`&amp;"
ESCAPES = "\x1b[31mred\x07\u202e\u0000"


def chat(model: str = "demo", text: str = "hello") -> dict[str, Any]:
    return {"model": model, "messages": [{"role": "user", "content": text}]}


@pytest.fixture(scope="module")
def relay(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Relay]:
    with running(tmp_path_factory.mktemp("page"), env={**LIMITS, **SLOTS}) as one:
        for body in (chat(), chat(text="demo:rate-limit"), {"model": "demo", "messages": 7}):
            one.send("POST", "/v1/chat/completions", body)
        yield one


@pytest.fixture(scope="module")
def chromium(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as one:
        yield one


def signed_in(chromium: Browser, relay: Relay, **how: Any) -> Page:
    page = chromium.page(**how)
    page.open(f"http://127.0.0.1:{relay.port}/#{new_code(relay)}")
    page.wait("document.getElementById('state').textContent === 'Live'")
    return page


@pytest.fixture
def page(chromium: Browser, relay: Relay) -> Iterator[Page]:
    one = signed_in(chromium, relay)
    yield one
    assert one.problems() == []
    one.call("Page.close")


def test_open_signs_the_page_in_and_leaves_no_code_behind(
    chromium: Browser, relay: Relay, tmp_path: Path
) -> None:
    seen = tmp_path / "seen"
    script = f'cp "$1" "{seen}.html"; mv "{seen}.html" "{seen}"; echo "$1" > "{seen}.path"'
    process = opening(relay.home, **browser(tmp_path, script))
    path = wait_for(lambda: (p := Path(f"{seen}.path")).exists() and p.read_text().strip())
    page = chromium.page()
    page.open(f"file://{path}")
    page.wait("document.getElementById('state').textContent === 'Live'")
    out, err = process.communicate(timeout=20)
    assert process.returncode == 0, err
    code = re.findall(r"#([\w-]{43})", seen.read_text())[0]
    assert page.do("location.hash") == "" and code not in out + err
    assert page.do("sessionStorage.getItem('airelays-page')").startswith("airp_")
    assert page.do("document.cookie") == "" and page.do("localStorage.length") == 0
    assert not pages_in(relay.home) and session(relay, code).status == 401
    own = f"http://127.0.0.1:{relay.port}/"
    elsewhere = page.requested(lambda url: not url.startswith((own, "file://")))
    assert elsewhere == [] and page.problems() == []
    assert not page.requested(lambda url: code in url and "/#" not in url)
    page.call("Page.reload")
    page.wait("document.getElementById('state').textContent === 'Live'")
    page.call("Page.close")


def test_a_code_used_twice_is_told_and_opens_nothing(chromium: Browser, relay: Relay) -> None:
    code = new_code(relay)
    assert session(relay, code).status == 200
    page = chromium.page()
    page.open(f"http://127.0.0.1:{relay.port}/#{code}")
    page.wait("!document.getElementById('notice').hidden")
    assert "already used" in page.text() and "open" in page.text() and "Base URL" in page.text()
    assert page.do("location.hash") == ""
    page.call("Page.close")


def test_text_of_strangers_is_text(page: Page, relay: Relay) -> None:
    before = page.do("document.querySelectorAll('*').length")
    relay.send(
        "POST", "/v1/chat/completions", chat(MARKUP + ESCAPES), headers={"User-Agent": MARKUP + "/1"}
    )  # fmt: skip
    row = "document.querySelector('#requests-body tr')"
    page.wait(f"{row}.textContent.includes('onerror')")
    shown = page.do(f"{row}.textContent")
    assert "<img src=x" in shown and "\\u001b[31m" in shown and "\\u202e" in shown
    assert page.do(f"{row}.querySelectorAll('img, script').length") == 0
    page.do(f"{row}.querySelector('button').click()")
    page.wait("document.querySelector('.more')")
    assert page.do("window.bad") is None
    assert page.do("document.querySelectorAll('*').length") > before
    page.do("location.hash = '#usage'")
    page.wait("document.querySelectorAll('#book tr').length > 1")
    assert page.do("document.querySelectorAll('#usage img, #usage script').length") == 0


def test_every_view_fills(page: Page) -> None:
    signs = {
        "now": "demo",
        "usage": "Tokens per day",
        "failures": "refuses requests for 7 seconds",
        "upstreams": "demo-mini",
        "access": "require the relay token",
        "docs": "Try it without signing in",
    }
    for view, sign in signs.items():
        page.do(f"location.hash = '#{view}'")
        page.wait(f"document.getElementById('{view}').outerHTML.includes({json.dumps(sign)})")
        assert (
            page.do(
                "[...document.querySelectorAll('main > .view')].filter((v) => !v.hidden).length"
            )
            == 1
        )
    page.do("location.hash = '#docs/security'")
    page.wait("document.querySelector('#page h2').textContent === 'Security'")
    assert page.do("document.querySelector('#topics [aria-current]').textContent") == "Security"


def test_a_block_is_lifted_with_the_keyboard(page: Page, relay: Relay) -> None:
    for _ in range(8):
        session(relay, "x" * 43)
    page.do("location.hash = '#access'")
    page.wait("document.querySelector('#blocks button')")
    assert "127.0.0.1" in page.do("document.getElementById('blocks').textContent")
    page.do("document.querySelector('#blocks button').focus()")
    page.press("Enter", 13)
    page.wait("document.getElementById('blocks').textContent.includes('No address is blocked')")
    told = "document.getElementById('events').textContent"
    page.wait(f"{told}.includes('127.0.0.1 is blocked for 15 min')")
    page.wait(f"{told}.includes('The block of 127.0.0.1 was lifted')")
    assert session(relay, "x" * 43).status == 401


def test_the_whole_page_is_reached_with_the_keyboard(page: Page) -> None:
    page.do("document.activeElement.blur()")
    page.press("Tab", 9)
    assert page.do("document.activeElement.className") == "skip"
    page.press("Enter", 13)
    assert page.do("document.activeElement.id") == "main"
    reached = set()
    for _ in range(40):
        page.press("Tab", 9)
        reached.add(page.do("document.activeElement.id || document.activeElement.className"))
    assert {"only-failed", "pause"} <= reached
    page.do("document.querySelector('#tabs a[href=\"#usage\"]').focus()")
    page.press("Enter", 13)
    page.wait("document.activeElement.id === 'usage-title'")


def test_ten_thousand_rows_stay_few(page: Page) -> None:
    page.do(
        """(async () => {
          for (let n = 0; n < 10000; n++) {
            live.happened("request", { at_s: 1e9 - n, state: "ok", status: 200, model: "row " + n, took_ms: n });
            if (n % 500 === 499) await new Promise(requestAnimationFrame);
          }
        })()"""
    )
    page.wait("document.querySelector('#requests-body tr').textContent.includes('row 9999')")
    assert page.do("document.querySelectorAll('#requests-body tr').length") <= 151
    assert page.do("live.kept.length") <= 500
    assert page.do("document.getElementById('stat-minute').textContent").startswith("10,")


def test_a_session_that_has_ended_is_told_and_asks_nothing_more(
    chromium: Browser, tmp_path: Path
) -> None:
    with running(tmp_path, env=LIMITS) as relay:
        page = signed_in(chromium, relay)
        port = str(relay.port)
    page.wait("/Reconnecting|stopping/.test(document.getElementById('state').textContent)")
    with running(tmp_path, "--port", port, env=LIMITS) as relay:
        page.do("feed.connect()")
        page.wait("document.getElementById('state').textContent === 'Not signed in'")
        text = page.text()
        assert "relay was restarted" in text and "airelays open" in text
        facts = relay.get("/v1/relay/status").json()["security"]["client"]
        assert facts["failed_auth_attempts"] == 1, "one question, not one per view"
        page.open("about:blank")
        page.open(f"http://127.0.0.1:{port}/#{new_code(relay)}")
        page.wait("document.getElementById('state').textContent === 'Live'")
    page.call("Page.close")


def test_an_open_relay_shows_its_page_to_who_comes(chromium: Browser, tmp_path: Path) -> None:
    with running(tmp_path, "--no-auth", env=LIMITS, token=None) as relay:
        page = chromium.page(390, 844)
        page.open(f"http://127.0.0.1:{relay.port}/")
        page.wait("document.getElementById('state').textContent === 'Live'")
        page.do("location.hash = '#access'")
        page.wait("document.getElementById('limits').textContent.includes('open mode')")
        assert page.problems() == []
        page.call("Page.close")


@pytest.mark.skipif(
    not AXE.exists(), reason="axe-core is not installed (build/test.py does that where npm is)"
)
@pytest.mark.parametrize(("width", "dark"), [(1280, True), (320, False)])
def test_axe_finds_nothing_and_nothing_sticks_out(
    chromium: Browser, relay: Relay, width: int, dark: bool
) -> None:
    page = chromium.page(width, 800, dark=dark)
    page.open(f"http://127.0.0.1:{relay.port}/")
    found = {"landing": findings(page)}
    page.open("about:blank")
    page.open(f"http://127.0.0.1:{relay.port}/#{new_code(relay)}")
    page.wait("document.getElementById('state').textContent === 'Live'")
    for view in VIEWS:
        page.do(f"location.hash = '#{view}'")
        page.wait("!reading")
        found[view] = findings(page)
    assert {view: what for view, what in found.items() if what} == {}
    page.call("Page.close")


def findings(page: Page) -> list[str]:
    """Return what axe finds and what is wider than the window."""
    if not page.do("Boolean(window.axe)"):
        page.do(AXE.read_text(encoding="utf-8") + "; null")
    found: list[str] = page.do(
        "axe.run(document, {resultTypes: ['violations']}).then((r) => r.violations.map((v) =>"
        " `${v.id}: ${v.nodes.map((n) => n.target.join(' ') + ' ' + n.failureSummary).join('; ')}`))"
    )
    if page.do("document.documentElement.scrollWidth > innerWidth"):
        found.append("wider than the window")
    return found
