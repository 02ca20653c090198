"""`ask`: the one command to a first answer."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from tests.fakes.openai_server import openai_server
from tests.live import ROOT, TOKEN, plain, program, running


def ask(
    home: Path, *words: str, given: bytes = b"", **env: str
) -> subprocess.CompletedProcess[str]:
    found = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), **env}
    done = subprocess.run(
        [*program(), "ask", *words], env=found, input=given, capture_output=True, timeout=60
    )
    out, err = done.stdout.decode(), done.stderr.decode()
    assert "Traceback" not in err
    return plain(subprocess.CompletedProcess(done.args, done.returncode, out, err))


def test_the_running_relay_answers_with_its_token(tmp_path: Path) -> None:
    with running(tmp_path) as relay:
        done = ask(tmp_path, "What", "is", "this?", AIRELAYS_BEARER_TOKEN=TOKEN)
        assert (done.returncode, done.stdout, done.stderr) == (0, "You said: What is this?\n", "")
        assert relay.get("/v1/relay/status").json()["requests_total"] >= 1
        lost = ask(tmp_path, "hi")
        assert lost.returncode == 1 and "the relay requires its token" in lost.stderr
        wrong = ask(tmp_path, "hi", AIRELAYS_BEARER_TOKEN="another-token-0123456789-abcdefgh")
        assert wrong.returncode == 1 and "the relay token is missing or wrong" in wrong.stderr


def test_without_a_relay_the_next_steps_are_named(tmp_path: Path) -> None:
    done = ask(tmp_path, "hi")
    assert done.returncode == 1 and done.stdout == ""
    assert "airelays serve" in done.stderr and "airelays ask --demo" in done.stderr


def test_the_demo_answers_in_this_process_and_leaves_nothing(tmp_path: Path) -> None:
    done = ask(tmp_path, "hi", "--demo", given=b"and this")
    assert (done.returncode, done.stdout) == (0, "You said: hi\n\nand this\n")
    assert list(tmp_path.iterdir()) == []


def test_a_chat_only_server_answers_without_a_relay_beside_a_running_one(tmp_path: Path) -> None:
    with openai_server("/chat/completions", "/models") as server, running(tmp_path):
        done = ask(tmp_path, "hi", "--upstream", server.url, "-m", "gpt-x")
        assert done.returncode == 0 and done.stdout.strip()
        assert server.last("/chat/completions").json()["model"] == "gpt-x"


@pytest.mark.parametrize(
    ("words", "given", "code", "said"),
    [
        ((), b"", 2, "the question is missing"),
        (("--demo",), b"\xff\xfe", 1, "is not UTF-8"),
        (("--demo", "one two demo:fail"), b"", 1, "airelays: "),
        (("--demo", "one two demo:cut"), b"", 1, "airelays: "),
        (("--demo", "demo:quota"), b"", 1, "usage limit"),
        (("--demo", "a b c demo:length"), b"", 1, "max_output_tokens"),
        (("--demo", "--upstream", "http://127.0.0.1:9/v1", "x"), b"", 2, "cannot be combined"),
        (("--upstream", "http://127.0.0.1:9/v1", "x"), b"", 1, "127.0.0.1:9"),
        (("--url", "nonsense", "x"), b"", 2, "the value of --url is not a URL that can be used"),
    ],
)
def test_what_cannot_be_asked_is_one_sentence(
    tmp_path: Path, words: tuple[str, ...], given: bytes, code: int, said: str
) -> None:
    done = ask(tmp_path, *words, given=given)
    assert done.returncode == code
    assert said in done.stderr and done.stderr.count("\n") == 1
