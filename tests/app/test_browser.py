"""Web pages in a real browser: what a foreign page tries against the relay, in protected and in open mode."""

from __future__ import annotations

import html
import json
import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.live import Relay, running
from tests.net.test_live_wire import WIDE, chat

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
pytestmark = pytest.mark.skipif(
    not CHROMIUM, reason="no chromium here (build/test.py installs Debian's where it may)"
)

# Every way by which a page can make a browser send something, and what the page learns of it.
PAGE = """<!doctype html><meta charset="utf-8"><pre id="out"></pre>
<img src="{relay}/v1/models"><iframe src="{relay}/" name="frame"></iframe>
<form id="form" method="post" action="{relay}/v1/chat/completions" enctype="text/plain" target="frame">
<input name='{{"model":"demo","messages":[{{"role":"user","content":"x"}}],"a":"' value='"}}'></form>
<script>
const body = '{{"model":"demo","messages":[{{"role":"user","content":"from a page"}}]}}';
const tries = {{
  get: () => fetch("{relay}/v1/models"),
  status: () => fetch("{relay}/v1/relay/status"),
  "no-cors get": () => fetch("{relay}/v1/models", {{mode: "no-cors"}}),
  "simple post": () => fetch("{relay}/v1/chat/completions", {{method: "POST", body}}),
  "no-cors post": () => fetch("{relay}/v1/chat/completions", {{method: "POST", mode: "no-cors", body}}),
  "json post": () => fetch("{relay}/v1/chat/completions",
    {{method: "POST", headers: {{"Content-Type": "application/json"}}, body}}),
  "with a token": () => fetch("{relay}/v1/models", {{headers: {{Authorization: "Bearer guess"}}}}),
  upload: () => {{ const f = new FormData(); f.append("purpose", "assistants");
    f.append("file", new Blob(["x"]), "a.txt"); return fetch("{relay}/v1/files", {{method: "POST", body: f}}); }},
  "delete": () => fetch("{relay}/v1/files/file-x", {{method: "DELETE"}}),
}};
(async () => {{
  const found = {{}};
  for (const [name, go] of Object.entries(tries)) {{
    try {{
      const reply = await go();
      found[name] = reply.type === "opaque" ? "opaque" : [reply.status, (await reply.text()).slice(0, 200)];
    }} catch (error) {{ found[name] = "blocked"; }}
  }}
  document.getElementById("form").submit();
  setTimeout(() => {{ document.getElementById("out").textContent = JSON.stringify(found); }}, 300);
}})();
</script>"""


@pytest.fixture
def foreign() -> Iterator[dict[str, Any]]:
    """A web server of somebody else; `page` is what it serves, `port` where."""
    state: dict[str, Any] = {"page": ""}

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            raw = state["page"].encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    state["port"] = server.server_address[1]
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield state
    server.shutdown()
    thread.join()
    server.server_close()


def browse(profile: Path, url: str, *flags: str) -> str:
    """Open `url` in a new browser; return the page as it is in the end."""
    done = subprocess.run(
        [
            CHROMIUM,
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            f"--user-data-dir={profile}",
            "--host-resolver-rules=MAP evil.example 127.0.0.1",
            "--virtual-time-budget=8000",
            *flags,
            url,
        ],
        env={"HOME": str(profile), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    return done.stdout


def findings(profile: Path, url: str) -> dict[str, Any]:
    text = browse(profile, url, "--dump-dom")
    found = re.search(r'<pre id="out">(.+?)</pre>', text, re.DOTALL)
    assert found, text[-2000:]
    value: dict[str, Any] = json.loads(html.unescape(found[1]))
    return value


def served(relay: Relay, token: str | None) -> int:
    reply = relay.send("GET", "/v1/relay/status", token=token)
    assert reply.status == 200, "the user's own client is locked out"
    count: int = reply.json()["requests_total"]
    return count


@pytest.mark.parametrize("mode", ["protected", "open"])
@pytest.mark.parametrize("name", ["evil.example", "127.0.0.1"])
def test_a_foreign_page_gets_nothing_and_locks_nobody_out(
    tmp_path: Path, foreign: dict[str, Any], mode: str, name: str
) -> None:
    flags = ["--no-auth"] if mode == "open" else []
    env = {k: v for k, v in WIDE.items() if "FAILED_AUTH" not in k}
    token = None if mode == "open" else ""
    with running(tmp_path, *flags, env=env) as relay:
        before = served(relay, token)
        foreign["page"] = PAGE.format(relay=f"http://127.0.0.1:{relay.port}")
        found = findings(tmp_path / "profile", f"http://{name}:{foreign['port']}/")
        for tried, result in found.items():
            assert result in ("blocked", "opaque"), (tried, result)
        assert served(relay, token) - before == 1, "a request of the page was served"
        assert relay.send("POST", "/v1/chat/completions", chat("mine"), token=token).status == 200


@pytest.mark.parametrize("mode", ["protected", "open"])
def test_a_rebound_name_gets_nothing(tmp_path: Path, foreign: dict[str, Any], mode: str) -> None:
    """The page's own name now means this machine: to the browser the relay is of the same origin."""
    flags = ["--no-auth"] if mode == "open" else []
    token = None if mode == "open" else ""
    with running(tmp_path, *flags, env=WIDE) as relay:
        before = served(relay, token)
        text = browse(tmp_path / "profile", f"http://evil.example:{relay.port}/", "--dump-dom")
        assert "The relay is up" not in text and "host_not_allowed" in text
        assert served(relay, token) - before == 1


def test_the_relays_own_page_opens_and_cannot_be_framed(
    tmp_path: Path, foreign: dict[str, Any]
) -> None:
    with running(tmp_path, env=WIDE) as relay:
        url = f"http://127.0.0.1:{relay.port}/"
        assert "The relay is up" in browse(tmp_path / "a", url, "--dump-dom")
        foreign["page"] = f'<a id="link" href="{url}">relay</a><script>link.click()</script>'
        followed = browse(tmp_path / "b", f"http://evil.example:{foreign['port']}/", "--dump-dom")
        assert "The relay is up" in followed, "a link to the page may be followed"
        picture = tmp_path / "page.png"
        browse(tmp_path / "c", url, f"--screenshot={picture}", "--window-size=390,844")
        assert picture.stat().st_size > 10_000
