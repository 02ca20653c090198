"""What the Python drivers share: a case is a function, each has a time limit, and one line says how it went.

A driver gets `BASE_URL`, `TOKEN` and `MODEL` in the environment and ends with `run({...})`. Each line of its output
that begins with `CASE ` holds the case, its state and the reason, separated by tabs.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request

BASE_URL = os.environ.get("BASE_URL", "")
TOKEN = os.environ.get("TOKEN", "")
MODEL = os.environ.get("MODEL", "")
UPSTREAM = os.environ.get("UPSTREAM", "")
CASE_SECONDS = 60

HELLO = "hello there"
ECHO = "You said: hello there"
ASK_WEATHER = 'call the tool get_weather with {"city": "Oslo"}'
WEATHER = "4 degrees in Oslo"
TOOL_ECHO = "The tool said: 4 degrees in Oslo"
# 400 words, 25 ms apart: ten seconds, unless somebody leaves.
SLOW = "demo:words=400 demo:pace=25"
LIMITED = "please demo:rate-limit"


class Skip(Exception):
    """Raised by a case that this client cannot play."""


def get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"4 degrees in {city}"


def same(found, wanted):
    """Fail unless both are equal; works under -O, too."""
    if found != wanted:
        raise AssertionError(f"expected {wanted!r}, found {found!r}")


def true(found, what):
    """Fail unless `found` is true."""
    if not found:
        raise AssertionError(f"expected {what}")


def raises(kind, call, what=None):
    """Fail unless `call()` raises `kind`; return the exception."""
    try:
        call()
    except kind as error:
        return error
    except Exception as error:
        wanted = getattr(kind, "__name__", kind)
        raise AssertionError(f"expected {wanted}, got {type(error).__name__}: {error}") from error
    raise AssertionError(f"expected an error: {what or kind}")


def requests_open():
    """Return how many requests the relay says it serves, this one not counted."""
    url = BASE_URL.removesuffix("/v1") + "/v1/relay/status"
    ask = urllib.request.Request(url, headers={"Authorization": f"Bearer {TOKEN}"})
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(ask, timeout=5) as answer:
        found = json.load(answer)
    return find(found, "requests_open") - 1


def find(value, name):
    """Return the first `name` anywhere in `value`."""
    if isinstance(value, dict):
        if name in value:
            return value[name]
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        found = find(inner, name)
        if found is not None:
            return found
    return None


def ends_within(seconds=5.0):
    """Fail unless the relay serves nobody any more before `seconds` are over."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if requests_open() == 0:
            return
        time.sleep(0.1)
    raise AssertionError("the relay still answers a client that has left")


def leaves(process, seconds=20.0, end=subprocess.Popen.terminate):
    """End the client `process` while the relay serves it; fail unless the relay notices."""
    last = time.monotonic() + seconds
    while not requests_open() and time.monotonic() < last:
        time.sleep(0.05)
    served = requests_open()
    end(process)
    process.wait()
    true(served, "a request that the relay serves")
    ends_within()


def _late(*_):
    raise TimeoutError(f"no end within {CASE_SECONDS} s")


def run(cases):
    """Play each case and print its line; end the process."""
    only = [name for name in os.environ.get("CASES", "").split(",") if name]
    signal.signal(signal.SIGALRM, _late)
    for name, case in cases.items():
        if only and name not in only:
            continue
        signal.alarm(CASE_SECONDS)
        state, why = "ok", ""
        try:
            case()
        except Skip as skip:
            state, why = "skipped", str(skip)
        except BaseException as error:
            state, why = "failed", f"{type(error).__name__}: {error}"
            if os.environ.get("TRACE"):
                import traceback

                traceback.print_exc()
        signal.alarm(0)
        print("CASE", name, state, " ".join(why.split())[:400], sep="\t", flush=True)
    sys.stdout.flush()
    # Some clients leave threads that never end.
    os._exit(0)
