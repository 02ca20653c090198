"""`migrate --clean`: keys of an earlier AIRelays are taken out of the config file, and nothing else is."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from airelays.commands.migrate.clean import without
from airelays.errors import ConfigError
from tests.commands.test_migrate import run

# As the release 0.22.0 writes it.
TEXT = """\
# mine
[server]
port = 8181  # here

[providers.openai]
enabled = true
retry_attempts = 2
balance = "balanced"

[providers.claude]
enabled = true
models = [
  "claude:sonnet",  # = one
  "claude:opus",
]
bin = "claude"
"""
CLEAN = """\
# mine
[server]
port = 8181  # here

[providers.openai]
retry_attempts = 2

"""
UNUSED = (
    *("providers.openai.enabled", "providers.openai.balance", "providers.claude.enabled"),
    *("providers.claude.models", "providers.claude.bin"),
)


def test_only_the_keys_without_effect_go() -> None:
    assert without(TEXT, UNUSED, "c") == CLEAN
    assert without(CLEAN, (), "c") == CLEAN


def test_lines_of_windows_and_a_mark_at_the_start_stay() -> None:
    text = "\ufeff" + TEXT.replace("\n", "\r\n")
    assert without(text, UNUSED, "c") == "\ufeff" + CLEAN.replace("\n", "\r\n")


def test_dotted_keys_are_found() -> None:
    assert without(
        'providers.claude.bin = "x"\nserver.port = 1\n', ["providers.claude.bin"], "c"
    ) == ("server.port = 1\n")


def test_a_table_inside_a_line_is_for_the_user() -> None:
    text = "[providers]\nopenai = {enabled = true, retry_attempts = 2}\n"
    with pytest.raises(ConfigError) as caught:
        without(text, ["providers.openai.enabled"], "c")
    assert str(caught.value) == (
        "c has providers.openai.enabled in a form that cannot be changed automatically; remove them by hand"
    )


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / ".config" / "airelays" / "config.toml"
    path.parent.mkdir(parents=True)
    path.write_text(TEXT)
    return path


def test_the_previous_file_is_kept_and_the_second_run_changes_nothing(
    tmp_path: Path, config: Path
) -> None:
    assert run(tmp_path, "--clean", "--dry-run").startswith(f"{config} would lose providers.")
    assert config.read_text() == TEXT
    backup = Path(f"{config}.bak")
    assert run(tmp_path, "--clean") == (
        f"{config}: 5 keys removed; the previous file is {backup}\n"
    )
    assert (config.read_text(), backup.read_text()) == (CLEAN, TEXT)
    assert backup.stat().st_mode & 0o777 == 0o600
    again = run(tmp_path, "--clean")
    assert again == f"{config} has only keys that have an effect; nothing was changed\n"
    assert backup.read_text() == TEXT and tomllib.loads(CLEAN)


def test_without_a_terminal_migrate_names_the_command(tmp_path: Path, config: Path) -> None:
    assert "airelays migrate --clean" in run(tmp_path)
    assert config.read_text() == TEXT
