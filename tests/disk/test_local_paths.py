"""Errors that clients are sent name no path of the relay's machine: read from the source, and tried live.

The operator does see the path: `RelayError.local` goes to the log and to the terminal.
"""

from __future__ import annotations

import ast
import functools
import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from airelays.errors import RelayError, UpstreamFault, error_body
from tests.fakes.backend import FakeBackend
from tests.live import Relay, program, running
from tests.net.test_live_wire import WIDE

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airelays"


def test_what_is_local_is_not_in_the_body() -> None:
    fault = UpstreamFault("the key is missing", local="the key file /home/me/key is missing")
    assert fault.local == "the key file /home/me/key is missing"
    assert b"/home" not in error_body(fault) and "/home" not in str(fault)
    assert RelayError("plain").local == "plain"


# ---- by the source

MAKERS = {
    "ClientFault",
    "RelayBug",
    "RelayError",
    "UpstreamFault",
    "_log_fault",
    "_no_key",
    "_unusable",
    "rejected",
    "sign_in_fault",
}
# Names that hold a path of this machine, or the text of an error that may name one.
SUSPECT = re.compile(r"(^|_)(path|paths|file|folder|dir|filename|home|cwd|error|problem)$")
# "module: function: name" -> why it is not a path of this machine.
HARMLESS = {
    "app/control.py: handle: error": "told to the owner's own commands only.",
    "app/control.py: handle: path": "of the request.",
    "app/forwarding.py: _forward_body: path": "of the route.",
    "app/conversations.py: _want_items: path": "where in the request's JSON the item stands.",
    "app/docpages.py: doc: error": "names the page only (disk/pages.py).",
    "app/docpages.py: docs: error": "names the page only (disk/pages.py).",
    "app/operator.py: _change_policy: error": "a number out of range; of a file only `local` speaks.",
    "app/operator.py: relay_logging: error": "becomes `local`.",
    "app/embeddings.py: _embedded: path": "of the route.",
    "app/leases.py: hold_lease: error": "what is wrong with the lease, which the owner's command sent.",
    "app/ollama.py: absent: path": "of the request.",
    "app/usage.py: relay_usage: error": "what is wrong in the query; of a file only `local` speaks.",
    "app/relay.py: _check_method: path": "of the route.",
    "app/relay.py: _no_route: path": "of the request.",
    "app/bodies.py: refuse: path": "of the route.",
    "state/database.py: storage_fault: error": "strerror without its file, or SQLite's text.",
    "state/quota.py: too_large: max_file": "a number of bytes.",
    "protocol/jsonio.py: _parse: error": "what is wrong in the request's JSON, and where.",
    "dialects/checks.py: fault: path": "where in the request's JSON the value stands.",
    "dialects/ollama/options.py: _stops: error": "what is wrong with the request's option.",
    "dialects/stream/failure.py: classify: error": "the error object of the upstream.",
    "upstream/chatgpt/oauth.py: _post: path": "of the issuer's URL.",
    "upstream/compatible/__init__.py: _fetch_models: _problem": "the message of a fault, or a time.",
}


@functools.cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def names_in(node: ast.expr) -> set[str]:
    """Return the names whose values become part of a text: not those of functions, nor what is only asked."""
    found = set()
    for one in ast.walk(node):
        if isinstance(one, ast.Attribute):
            found.add(one.attr)
        elif isinstance(one, ast.Name):
            found.add(one.id)
    return found


def suspects(path: Path) -> Iterator[str]:
    module = path.relative_to(PACKAGE).as_posix()
    for function in ast.walk(tree(path)):
        if not isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        texts: dict[str, set[str]] = {}
        for node in ast.walk(function):
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                texts.setdefault(node.targets[0].id, set()).update(names_in(node.value))
        for node in ast.walk(function):
            if not isinstance(node, ast.Call):
                continue
            name = (
                node.func.attr if isinstance(node.func, ast.Attribute) else ast.unparse(node.func)
            )
            if name not in MAKERS:
                continue
            message = [*node.args[:2], *(k.value for k in node.keywords if k.arg == "message")]
            if name in ("_no_key", "_unusable"):
                message = node.args[:1]
            used = set[str]().union(*(names_in(one) for one in message))
            for inner in list(used):
                used |= texts.get(inner, set())
            yield from (f"{module}: {function.name}: {n}" for n in used if SUSPECT.search(n))


def test_no_error_for_clients_is_made_of_a_path() -> None:
    rooms = (
        "app",
        "net",
        "upstream",
        "disk",
        "guard",
        "protocol",
        "dialects",
        "state",
        "journal",
        "credentials",
    )
    found = {s for room in rooms for path in (PACKAGE / room).rglob("*.py") for s in suspects(path)}
    assert found == set(HARMLESS)


# ---- live

ROUTES: tuple[tuple[str, str, Any], ...] = (
    (
        "POST",
        "/v1/chat/completions",
        {"model": "m", "messages": [{"role": "user", "content": "x"}]},
    ),
    ("POST", "/v1/responses", {"model": "m", "input": "x", "stream": True}),
    ("POST", "/v1/completions", {"model": "m", "prompt": "x"}),
    ("POST", "/v1/embeddings", {"model": "m", "input": "x"}),
    ("POST", "/v1/images/generations", {"model": "gpt-image-2", "prompt": "x"}),
    ("GET", "/v1/models", None),
    ("GET", "/v1/files", None),
    ("GET", "/v1/files/file-" + "0" * 32 + "/content", None),
    ("POST", "/v1/conversations", {}),
    ("GET", "/v1/responses/resp_" + "0" * 32, None),
    ("GET", "/v1/relay/logging", None),
    ("PUT", "/v1/relay/logging", {"retention_days": 3}),
)


def ask_everything(relay: Relay, home: Path) -> int:
    """Send every kind of request; return how many were answered with a fault of the relay's or beyond."""
    faults = 0
    for method, path, body in ROUTES:
        reply = relay.send(method, path, body)
        if reply.status < 400 and path.startswith("/v1/relay"):
            continue  # the status of the relay says where things are; it is no error
        faults += reply.status >= 500
        said = reply.body.decode("utf-8", "replace") + json.dumps(dict(reply.headers))
        # How the program was started is named to clients of this machine, so that hints can be pasted.
        said = said.replace(" ".join(program()), "airelays")
        for secret in (str(home), "/.airelays", "/data/", str(ROOT)):
            assert secret not in said, (method, path, said)
    return faults


def log_of(home: Path) -> str:
    found = (home / ".airelays" / "logs").rglob("*.jsonl")
    return "".join(p.read_text() for p in sorted(found))


def secret_file(path: Path, text: str, mode: int = 0o600) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    path.write_text(text)
    path.chmod(mode)
    return path


UPSTREAMS = {
    "no key file": 'api_key_file = "{home}/none"',
    "an empty key file": 'api_key_file = "{home}/empty"',
    "an open key file": 'api_key_file = "{home}/open"',
    "a key file that is a link": 'api_key_file = "{home}/link"',
    "a key file that is a pipe": 'api_key_file = "{home}/pipe"',
    "a key file that is a folder": 'api_key_file = "{home}"',
    "no certificates": 'ca_file = "{home}/none.pem"',
    "certificates that are none": 'ca_file = "{home}/open"',
    "certificates that are a pipe": 'ca_file = "{home}/pipe"',
}


@pytest.mark.parametrize("what", UPSTREAMS)
def test_files_of_an_upstream_are_not_named(tmp_path: Path, what: str) -> None:
    secret_file(tmp_path / "empty", "")
    secret_file(tmp_path / "open", "key", 0o666)
    (tmp_path / "link").symlink_to(tmp_path / "empty")
    os.mkfifo(tmp_path / "pipe")
    line = UPSTREAMS[what].replace("{home}", str(tmp_path))
    config = tmp_path / "config.toml"
    config.write_text(
        f'[upstream]\nkind = "compatible"\nbase_url = "https://127.0.0.1:9/v1"\n{line}\n'
    )
    with running(tmp_path, "--config", str(config), env=WIDE, demo=False) as relay:
        assert ask_everything(relay, tmp_path) >= 4
        assert relay.stop() == 0
    assert line.split('"')[1] in log_of(tmp_path)


@contextmanager
def no_database(data: Path) -> Iterator[str]:
    secret_file(data / "state.sqlite3", "not a database " * 100)
    yield "damaged"


@contextmanager
def newer_database(data: Path) -> Iterator[str]:
    import sqlite3

    db = sqlite3.connect(data / "state.sqlite3")
    db.execute("PRAGMA user_version = 99")
    db.commit()
    db.close()
    yield "newer AIRelays"


@contextmanager
def piped_database(data: Path) -> Iterator[str]:
    os.mkfifo(data / "state.sqlite3")
    yield "state.sqlite3 is not a regular file"


@contextmanager
def no_uploads(data: Path) -> Iterator[str]:
    (data / "uploads").write_text("in the way")
    yield "cannot be used"


@contextmanager
def shared_uploads(data: Path) -> Iterator[str]:
    (data / "uploads").mkdir()
    (data / "uploads").chmod(0o1777)
    yield "cannot be used"


@pytest.mark.parametrize(
    "breaks", [no_database, newer_database, piped_database, no_uploads, shared_uploads]
)
def test_a_state_that_cannot_be_used_is_not_placed(tmp_path: Path, breaks) -> None:  # type: ignore[no-untyped-def]
    with running(tmp_path, env=WIDE) as relay, breaks(tmp_path / ".airelays") as sentence:
        assert ask_everything(relay, tmp_path) >= 2
        said = relay.get("/v1/files").json()["error"]["message"]
        assert sentence in said


@pytest.mark.parametrize("breaks", ["no JSON", "a pipe", "a link", "open", "no token"])
def test_a_sign_in_that_cannot_be_used_is_not_placed(tmp_path: Path, breaks: str) -> None:
    with FakeBackend() as backend:
        data = tmp_path / ".airelays"
        env = {**WIDE, **backend.sign_in(data)}
        path = data / "auth.json"
        text = {"no JSON": "{half", "no token": '{"tokens": {}}'}.get(breaks, path.read_text())
        path.unlink()
        if breaks == "a pipe":
            os.mkfifo(path)
        elif breaks == "a link":
            path.symlink_to(secret_file(tmp_path / "other", text))
        else:
            secret_file(path, text, 0o666 if breaks == "open" else 0o600)
        with running(tmp_path, env=env, demo=False) as relay:
            assert ask_everything(relay, tmp_path) >= 2
            reply = relay.send(*ROUTES[0])
            assert reply.status == 503
            assert reply.headers["x-airelays-upstream-auth"] in ("error", "incomplete")
            assert relay.stop() == 0
        assert str(path) in log_of(tmp_path)


def test_a_log_policy_that_cannot_be_used_is_not_placed(tmp_path: Path) -> None:
    with running(tmp_path, env=WIDE) as relay:
        policy = tmp_path / ".airelays" / "logs" / ".retention.json"
        policy.parent.mkdir(exist_ok=True, mode=0o700)
        os.mkfifo(policy)
        for method, body in (("GET", None), ("PUT", {"retention_days": 3})):
            reply = relay.send(method, "/v1/relay/logging", body)
            assert reply.status == 503 and str(tmp_path) not in reply.body.decode()
            message = reply.json()["error"]["message"]
            assert message.startswith("the policy of the traffic log cannot be ")
