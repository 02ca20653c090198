"""Chromium without a window, driven over its debugging pipe: pages, scripts in them, pictures, sizes, themes."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or ""
WITHIN_S = 30.0
# Chromium reads commands from descriptor 3 and writes to 4; both may be taken in the process that starts it.
_START = (
    "import os, sys; r, w = int(sys.argv[1]), int(sys.argv[2]); r, w = os.dup(r), os.dup(w); "
    "r, w = os.dup2(r, 70), os.dup2(w, 71); os.dup2(r, 3); os.dup2(w, 4); os.execv(sys.argv[3], sys.argv[3:])"
)
FLAGS = (
    "--headless=new",
    "--remote-debugging-pipe",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--force-color-profile=srgb",
)


class Navigated(Exception):
    """The page went elsewhere while a script ran in it."""


class Browser:
    """One browser with a profile of its own in `profile`; ends with the block."""

    def __init__(self, profile: Path, *flags: str) -> None:
        read_in, self._write = os.pipe()
        self._read, write_out = os.pipe()
        self._number = 0
        self._buffer = b""
        self._replies: dict[int, dict[str, Any]] = {}
        self.events: list[dict[str, Any]] = []
        profile.mkdir(parents=True, exist_ok=True)
        words = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *flags, "about:blank"]
        self._process = subprocess.Popen(
            [sys.executable, "-S", "-c", _START, str(read_in), str(write_out), *words],
            env={"HOME": str(profile), "PATH": os.environ["PATH"], "TZ": "UTC"},
            pass_fds=(read_in, write_out),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(read_in)
        os.close(write_out)

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        try:
            self.call("Browser.close")
            self._process.wait(10)
        except (OSError, EOFError, AssertionError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        os.close(self._write)
        os.close(self._read)

    def page(self, width: int = 1280, height: int = 900, *, dark: bool = False) -> Page:
        """Open a new page of that size in pixels, in the light or the dark theme."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        page = Page(self, session, target)
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        page.resize(width, height)
        features = [
            {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
            {"name": "prefers-reduced-motion", "value": "reduce"},
        ]
        page.call("Emulation.setEmulatedMedia", features=features)
        return page

    def call(self, method: str, session: str = "", **params: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        command = {"id": self._number, "method": method, "params": params}
        if session:
            command["sessionId"] = session
        os.write(self._write, json.dumps(command).encode() + b"\0")
        end_s = time.monotonic() + WITHIN_S
        while self._number not in self._replies:
            self.look(end_s)
        reply = self._replies.pop(self._number)
        if "navigated" in str(reply.get("error")) or "context was destroyed" in str(
            reply.get("error")
        ):
            raise Navigated
        assert "error" not in reply, (method, reply["error"])
        result: dict[str, Any] = reply["result"]
        return result

    def look(self, end_s: float) -> None:
        """Read what has come, waiting until `end_s`; events are gathered."""
        ready, _, _ = select.select([self._read], [], [], max(0.0, end_s - time.monotonic()))
        assert ready, "the browser did not answer in time"
        data = os.read(self._read, 1 << 20)
        if not data:
            raise EOFError("the browser has ended")
        *messages, self._buffer = (self._buffer + data).split(b"\0")
        for raw in messages:
            message = json.loads(raw)
            if "id" in message:
                self._replies[message["id"]] = message
            else:
                self.events.append(message)


class Page:
    """One tab."""

    def __init__(self, browser: Browser, session: str, target: str) -> None:
        self.browser = browser
        self.session = session
        self.target = target

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command about this page."""
        return self.browser.call(method, self.session, **params)

    def resize(self, width: int, height: int) -> None:
        """Give the window a size."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width, height=height, deviceScaleFactor=1, mobile=width < 600,
        )  # fmt: skip

    def open(self, url: str) -> None:
        """Go to `url`."""
        self.call("Page.navigate", url=url)
        self.wait("document.readyState === 'complete'")

    def do(self, script: str) -> Any:
        """Return what a script says; promises are waited for."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in found, found["exceptionDetails"]
        return found["result"].get("value")

    def wait(self, script: str, within_s: float = WITHIN_S) -> Any:
        """Return what `script` says as soon as that is true."""
        end_s = time.monotonic() + within_s
        looked = f"((found) => found instanceof Node || found)({script})"
        while time.monotonic() < end_s:
            with contextlib.suppress(Navigated):
                found = self.do(
                    f"(() => {{ try {{ return {looked} }} catch {{ return null }} }})()"
                )
                if found:
                    return found
                self.do("new Promise((done) => setTimeout(done, 20))")
        raise AssertionError(f"never true: {script}; the page says: {self.text()[-1500:]}")

    def text(self) -> str:
        """Return what the page shows."""
        return str(self.do("document.body.innerText"))

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        text = {"Enter": "\r"}.get(key, "")
        for kind in ("keyDown", "keyUp"):
            self.call(
                "Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, text=text
            )  # fmt: skip

    def picture(self, path: Path) -> None:
        """Save what is seen as PNG."""
        data = self.call("Page.captureScreenshot", format="png")["data"]
        path.write_bytes(base64.b64decode(data))

    def problems(self) -> list[str]:
        """Return what the console complained of: exceptions, violations of the policy, failed loads."""
        found = []
        for event in self.browser.events:
            if event.get("sessionId") != self.session:
                continue
            if event["method"] == "Runtime.exceptionThrown":
                found.append(json.dumps(event["params"]["exceptionDetails"]))
            if event["method"] == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(event["params"]["entry"]["text"])
        return found

    def requested(self, wanted: Callable[[str], bool] = lambda _: True) -> list[str]:
        """Return the addresses that the page has asked for."""
        urls = [
            event["params"]["request"]["url"]
            for event in self.browser.events
            if event.get("sessionId") == self.session
            and event["method"] == "Network.requestWillBeSent"
        ]
        return [url for url in urls if wanted(url)]
