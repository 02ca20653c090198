"""`doctor --self-test`, `version --digests` and `egress`: what a copy of the program says about itself."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airelays import __version__
from tests.live import program

ROOT = Path(__file__).resolve().parents[2]
DEADLINE_S = 90.0


def run(home: Path, *words: str, code: int = 0, **env: str) -> str:
    done = subprocess.run(
        [*program(), *words],
        env={"HOME": str(home), "PYTHONPATH": str(ROOT), **env},
        cwd=home,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def test_the_self_test_goes_the_whole_way_and_leaves_nothing(tmp_path: Path) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    home = tmp_path / "home"
    home.mkdir()
    said = json.loads(run(home, "doctor", "--self-test", "--json", TMPDIR=str(scratch)))
    assert said["ok"] is True and said["summary"]["failed"] == 0
    names = ["versions", "trust", "documentation", "models", "stream", "no_token", "too_large"]
    assert [c["name"] for c in said["checks"]] == [*names, "storage"]
    assert set(said["checks"][0]["data"]) == {"python", "openssl", "h11", "platform"}
    assert not list(scratch.iterdir())
    assert not (home / ".airelays").exists()


def test_the_self_test_says_when_there_is_no_room(tmp_path: Path) -> None:
    words = [*program(), "doctor", "--self-test"]
    certificates = tmp_path / "no.pem"
    certificates.write_text("nothing")
    env = {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "SSL_CERT_FILE": str(certificates)}
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=DEADLINE_S)
    assert done.returncode == 1
    assert (
        f"FAIL  trust            the certificate file {certificates} (SSL_CERT_FILE)" in done.stdout
    )


def test_digests_are_those_of_the_files(tmp_path: Path) -> None:
    facts = json.loads(run(tmp_path, "version", "--digests", "--json"))
    assert facts["form"] in ("checkout", "one-file", "executable")
    assert all(re.fullmatch(r"[0-9a-f]{64}", digest) for digest in facts["digests"].values())
    if facts["form"] == "executable":
        assert re.fullmatch(r"[0-9a-f]{64}", facts["executable_sha256"])
        return
    carried = (".py", ".md", ".html", ".css", ".js")
    paths = [p for p in (ROOT / "airelays").rglob("*") if p.suffix in carried]
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n"
        for name, path in sorted((p.relative_to(ROOT).as_posix(), p) for p in paths)
    ]
    digest = hashlib.sha256("".join(lines).encode()).hexdigest()
    assert facts["parts"]["airelays"] == {"sha256": digest, "files": len(paths)}
    assert facts["digests"][f"airelays-{__version__}.files"] == digest
    assert {"airelays.cli", "h11._connection", "certifi.core"} <= set(facts["modules"])
    assert facts["ca_bundle"]["count"] > 100
    text = run(tmp_path, "version", "--digests")
    assert all(f"  {digest}  {name}\n" in text for name, digest in facts["digests"].items())


def test_selfcheck_of_earlier_releases_still_works_and_is_not_listed(tmp_path: Path) -> None:
    now = run(tmp_path, "version", "--digests", "--json")
    assert run(tmp_path, "selfcheck", "--json") == now
    assert "selfcheck" not in run(tmp_path, "--help")


def test_the_one_file_edition_has_the_same_digests(tmp_path: Path) -> None:
    one = tmp_path / "airelays.py"
    script = str(ROOT / "build" / "onefile.py")
    subprocess.run([sys.executable, script, "--write", "--file", str(one)], check=True)
    env = {"HOME": str(tmp_path)}
    words = [sys.executable, "-I", str(one), "version", "--digests", "--json"]
    done = subprocess.run(words, env=env, capture_output=True, check=True, timeout=DEADLINE_S)
    theirs = json.loads(done.stdout)
    words = [sys.executable, "-m", "airelays", "version", "--digests", "--json"]
    env["PYTHONPATH"] = str(ROOT)
    done = subprocess.run(words, env=env, capture_output=True, check=True, timeout=DEADLINE_S)
    ours = json.loads(done.stdout)
    assert theirs["form"] == "one-file" and ours["form"] == "checkout"
    for key in ("parts", "modules", "ca_bundle"):
        assert theirs[key] == ours[key]


CONFIG = """\
[upstream]
kind = "chatgpt"
[upstreams.near]
base_url = "http://127.0.0.1:11434/v1"
[upstreams.far]
base_url = "https://models.example.com/v1"
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "config.toml"
    path.write_text(CONFIG)
    return str(path)


def test_egress_lists_every_place_with_its_proxy(tmp_path: Path, config: str) -> None:
    proxy = "http://user:secret@proxy.example:3128"
    said = json.loads(run(tmp_path, "egress", "--json", "--config", config, HTTPS_PROXY=proxy))
    assert "secret" not in json.dumps(said)
    assert [(r["purpose"], r["origin"], r["proxy"]) for r in said["egress"]] == [
        ("upstream chatgpt", "https://chatgpt.com:443", "proxy.example:3128"),
        ("sign-in", "https://auth.openai.com:443", "proxy.example:3128"),
        ("upstream near", "http://127.0.0.1:11434", None),
        ("upstream far", "https://models.example.com:443", "proxy.example:3128"),
    ]


def test_egress_puts_an_ipv6_address_into_brackets(tmp_path: Path) -> None:
    path = tmp_path / "six.toml"
    path.write_text('[upstream]\nkind = "compatible"\nbase_url = "http://[::1]:8/v1"\n')
    text = run(tmp_path, "egress", "--config", str(path))
    assert " http://[::1]:8\n" in text


def test_a_demo_relay_connects_nowhere(tmp_path: Path) -> None:
    path = tmp_path / "demo.toml"
    path.write_text('[upstream]\nkind = "demo"\noffline = true\n')
    text = run(tmp_path, "egress", "--config", str(path))
    assert "  nowhere\n" in text and "Offline:           yes" in text


def test_offline_refuses_chatgpt_before_anything_is_started(tmp_path: Path) -> None:
    said = run(tmp_path, "serve", "--offline", code=1)
    assert "upstream.offline is on and upstream.kind is" in said
    assert os.listdir(tmp_path) in ([], [".cache"])
