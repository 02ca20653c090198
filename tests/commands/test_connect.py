"""`airelays connect` and `quirks`."""

from __future__ import annotations

import json
import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from airelays.commands.connect.snippets import CLIENTS
from airelays.dialects.parameters import QUIRKS
from tests.live import ROOT, plain, program


def airelays(home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    env = {"HOME": str(home), "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)}
    return plain(
        subprocess.run(
            [*program(), *words], env=env, capture_output=True, text=True, timeout=30, check=False
        )
    )


@pytest.mark.parametrize("name", CLIENTS)
def test_every_client_is_shown_without_the_token(tmp_path: Path, name: str) -> None:
    airelays(tmp_path, "init")
    token = (tmp_path / ".airelays" / "relay-token").read_text().strip()
    done = airelays(tmp_path, "connect", name)
    assert done.returncode == 0
    assert "http://127.0.0.1:8080" in done.stdout
    assert token not in done.stdout + done.stderr
    assert "{" + "base}" not in done.stdout


@pytest.mark.parametrize("name", [name for name, client in CLIENTS.items() if client.path])
def test_what_is_written_can_be_taken_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / CLIENTS[name].path
    assert airelays(tmp_path, "connect", name, "--write").returncode == 0
    assert "http://127.0.0.1:8080" in path.read_text()
    assert airelays(tmp_path, "connect", name, "--write").returncode == 0
    assert path.read_text().count("http://127.0.0.1:8080") == 1
    assert airelays(tmp_path, "connect", name, "--undo").returncode == 0
    assert not path.exists()


@pytest.mark.parametrize("old", ["# mine\n", 'model = "x"\n\n[profiles.a]\nb = 1\n', "a = 1"])
def test_settings_of_the_users_own_stay_to_the_byte(tmp_path: Path, old: str) -> None:
    path = tmp_path / ".codex" / "config.toml"
    path.parent.mkdir()
    path.write_text(old)
    path.chmod(0o640)
    assert airelays(tmp_path, "connect", "codex", "--write").returncode == 0
    written = tomllib.loads(path.read_text())
    assert written["model_providers"]["airelays"]["wire_api"] == "responses"
    assert path.read_text().startswith(old)
    assert (tmp_path / ".codex" / "config.toml.airelays.bak").read_text() == old
    assert path.stat().st_mode & 0o777 == 0o640
    assert airelays(tmp_path, "connect", "codex", "--undo").returncode == 0
    assert path.read_text().rstrip("\n") == old.rstrip("\n")


def test_a_file_that_cannot_take_the_block_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / ".continue" / "config.yaml"
    path.parent.mkdir()
    path.write_text("models: []\n")
    done = airelays(tmp_path, "connect", "continue", "--write")
    assert done.returncode == 1 and "without --write" in done.stderr
    assert path.read_text() == "models: []\n"


PASTE = "run the command without --write and paste what is missing"


@pytest.mark.parametrize(
    ("name", "old", "sentence"),
    [
        (
            "codex",
            "[model_providers.airelays]\nbase_url = 'http://old.example'\n",
            f"has [model_providers.airelays] already, with other values; remove that table, or {PASTE}",
        ),
        (
            "codex",
            "model_providers = {}\n",
            f"has [model_providers.airelays] already, with other values; remove that table, or {PASTE}",
        ),
        (
            "codex",
            "x = [",
            "is not valid TOML: Invalid value (at end of document); correct that line",
        ),
        (
            "aider",
            "dark-mode: true\nopenai-api-base: x # mine\n",
            f"has openai-api-base already; remove that line, or {PASTE}",
        ),
        ("aider", "'model': x\n", f"has 'model' already; remove that line, or {PASTE}"),
        (
            "aider",
            "{dark-mode: true}\n",
            f"is not a plain YAML table at '{{dark-mode: true}}', so nothing was added to it; {PASTE}",
        ),
        (
            "aider",
            "read: [a,\n",
            f"is not a plain YAML table at 'read: [a,', so nothing was added to it; {PASTE}",
        ),
        (
            "aider",
            "- a\n",
            f"is not a plain YAML table at '- a', so nothing was added to it; {PASTE}",
        ),
        (
            "llm",
            "- model_id: airelays\n",
            f"has an entry model_id: airelays already; remove it, or {PASTE}",
        ),
        ("llm", "a: 1\n", f"is not a plain YAML list, so nothing was added to it; {PASTE}"),
    ],
)
def test_a_file_that_the_block_would_break_is_left_alone(
    tmp_path: Path, name: str, old: str, sentence: str
) -> None:
    path = tmp_path / CLIENTS[name].path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(old)
    done = airelays(tmp_path, "connect", name, "--write")
    assert (done.returncode, done.stderr) == (1, f"airelays: {path} {sentence}\n")
    assert path.read_text() == old
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(
    ("name", "old"),
    [
        ("aider", '---\n# mine\n"dark-mode": true\nread:\n- a\n- b\nlint:\n  model: x\nx: [a]\n'),
        ("llm", "- model_id: other\n  model_name: x\n"),
    ],
)
def test_a_plain_yaml_file_is_added_to(tmp_path: Path, name: str, old: str) -> None:
    path = tmp_path / CLIENTS[name].path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(old)
    done = airelays(tmp_path, "connect", name, "--write")
    assert done.returncode == 0, done.stderr
    assert path.read_text().startswith(old) and "http://127.0.0.1:8080/v1" in path.read_text()
    assert airelays(tmp_path, "connect", name, "--undo").returncode == 0
    assert path.read_text() == old


def test_what_was_pasted_by_hand_is_not_written_again(tmp_path: Path) -> None:
    path = tmp_path / ".codex" / "config.toml"
    path.parent.mkdir()
    shown = airelays(tmp_path, "connect", "codex").stdout
    old = 'model = "x"\n' + shown[shown.index("[model_providers") : shown.index("\n\nThen")] + "\n"
    path.write_text(old)
    done = airelays(tmp_path, "connect", "codex", "--write")
    assert done.returncode == 0
    assert done.stdout.startswith(f"{path} already has these settings; nothing was written\n")
    assert path.read_text() == old


@pytest.mark.parametrize(
    ("words", "text", "code"),
    [
        (("connect", "nothing"), "expected one of", 2),
        (("connect", "cline", "--write"), "paste what it prints", 1),
        (("connect", "--write"), "--write needs a client: airelays connect CLIENT --write", 2),
        (("connect", "--undo"), "--undo needs a client: airelays connect CLIENT --undo", 2),
        (("connect", "codex", "--write", "--undo"), "cannot be combined; use one of them", 2),
    ],
)
def test_what_cannot_be_done_is_one_sentence(
    tmp_path: Path, words: tuple[str, ...], text: str, code: int
) -> None:
    done = airelays(tmp_path, *words)
    assert done.returncode == code and list(tmp_path.iterdir()) == []
    assert text in done.stderr and "Traceback" not in done.stderr


def test_quirks_are_listed(tmp_path: Path) -> None:
    assert json.loads(airelays(tmp_path, "quirks", "--json").stdout) == QUIRKS
    shown = airelays(tmp_path, "quirks").stdout
    assert all(name in shown for name in QUIRKS)


def test_a_folder_that_cannot_be_made_is_named_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / ".codex").symlink_to(tmp_path / "gone")
    done = airelays(tmp_path, "connect", "codex", "--write")
    assert done.returncode == 1
    assert f"{tmp_path}/.codex/config.toml cannot be written: No such file" in done.stderr
    assert f"look at {tmp_path}/gone, or edit the file by hand" in done.stderr


OURS = {
    "ANTHROPIC_BASE_URL": "http://127.0.0.1:8080",
    "CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY": "1",
}


def test_members_of_a_json_file_are_put_beside_the_users_own(tmp_path: Path) -> None:
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    own = {"model": "opus", "env": {"FOO": "ä"}, "permissions": {"allow": ["Bash"]}}
    path.write_text(json.dumps(own, indent=2, ensure_ascii=False) + "\n")
    before = path.read_text()
    assert airelays(tmp_path, "connect", "claude-code", "--write").returncode == 0
    written = json.loads(path.read_text())
    assert written.pop("apiKeyHelper").endswith("airelays token show")
    assert written == {**own, "env": {"FOO": "ä", **OURS}}
    done = airelays(tmp_path, "connect", "claude-code", "--write")
    assert "nothing was written" in done.stdout
    moved = path.read_text().replace("8080", "9090")
    path.write_text(moved)  # as written at another port
    assert airelays(tmp_path, "connect", "claude-code", "--write").returncode == 0
    assert "8080" in path.read_text()
    assert airelays(tmp_path, "connect", "claude-code", "--undo").returncode == 0
    assert path.read_text() == before
    done = airelays(tmp_path, "connect", "claude-code", "--undo")
    assert "does not contain any settings of airelays" in done.stdout and path.read_text() == before


@pytest.mark.parametrize(
    "old",
    [
        '{"apiKeyHelper": "mine"}',
        '{"env": {"ANTHROPIC_API_KEY": "sk-x"}}',
        '{"env": {"ANTHROPIC_BASE_URL": "https://gateway"}}',
        '{"env": []}',
        "[]",
        "{not json",
    ],
)
def test_a_json_file_with_other_settings_is_left_alone(tmp_path: Path, old: str) -> None:
    path = tmp_path / ".claude" / "settings.json"
    path.parent.mkdir()
    path.write_text(old)
    done = airelays(tmp_path, "connect", "claude-code", "--write")
    assert done.returncode == 1 and str(path) in done.stderr and "Traceback" not in done.stderr
    assert path.read_text() == old and not path.with_name("settings.json.airelays.bak").exists()


def test_aliases_are_proposed_until_there_are_some(tmp_path: Path) -> None:
    assert '"claude-*" = "gpt-5.5"' in airelays(tmp_path, "connect", "claude-code").stdout
    config = tmp_path / "config.toml"
    config.write_text('[aliases]\n"claude-opus-*" = "gpt-5.5"\n')
    shown = airelays(tmp_path, "connect", "claude-code", "--config", str(config)).stdout
    assert "[aliases]" not in shown
