"""The page `architecture` fits the tree: every path that it names is there, every room is on it, in its layer."""

from __future__ import annotations

import re
from pathlib import Path

from airelays.app.pages import page_text
from airelays.commands.table import COMMANDS
from tests.architecture.test_layers import APP, CLI, IO, LAYER_OF, RULES, VALUES
from tests.architecture.test_layers import COMMANDS as COMMANDS_LAYER

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "airelays"
TEXT = page_text("architecture")
LAYERS = {
    "values": VALUES,
    "rules": RULES,
    "I/O": IO,
    "app": APP,
    "commands": COMMANDS_LAYER,
    "cli": CLI,
}


def paths(text: str) -> set[str]:
    """Return every word in code quotes that is the path of a file or folder."""
    words = {word for quoted in re.findall(r"`([^`\n]+)`", text) for word in quoted.split()}
    ended = re.compile(r"[\w.-]+(/[\w.-]+)*(/|\.(py|md|yml|txt|spec))|(tests|build)/[\w/]+")
    return {word for word in words if ended.fullmatch(word)}


def section(title: str) -> str:
    return TEXT.partition(f"\n## {title}")[2].partition("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    found = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    return [row for row in found if not row[0].startswith("---")]


def test_every_path_that_is_named_exists() -> None:
    found = paths(TEXT)
    assert len(found) > 100
    missing = [p for p in found if not (PACKAGE / p).exists() and not (ROOT / p).exists()]
    assert missing == []


def test_a_path_that_does_not_exist_is_noticed() -> None:
    assert paths("see `app/nowhere.py`, `build/nothing.py --write` and `gone/`") == {
        "app/nowhere.py",
        "build/nothing.py",
        "gone/",
    }


def test_every_room_is_on_the_map_in_its_layer() -> None:
    layers = {name: paths(room) for name, room, _ in rows(section("Rooms and layers"))[1:7]}
    assert set(layers) == set(LAYERS)
    on_map = {
        path.rstrip("/").removesuffix(".py"): LAYERS[layer]
        for layer, named in layers.items()
        for path in named
    }
    assert on_map == LAYER_OF
    subjects = {path for row in rows(section("Rooms and layers"))[7:] for path in paths(row[0])}
    rooms = {f"{p.name}/" for p in PACKAGE.iterdir() if p.is_dir() and p.name != "__pycache__"}
    assert subjects == rooms


def test_newcomers_questions_have_answers() -> None:
    where = rows(section("Where is ..."))[1:]
    add = rows(section("Where do I add ..."))[1:]
    assert len(where) + len(add) >= 25 and len(add) >= 10
    for question, answer in [*where, *add]:
        assert paths(answer), question


def test_the_tools_are_named() -> None:
    run = section("Run, test, fuzz, measure, release")
    for tool in ("test", "defences", "fuzz", "bench", "soak", "release", "onefile", "freeze"):
        assert f"build/{tool}.py" in run
    words = {command.name for command in COMMANDS}
    assert "serve" in words and "airelays.py serve" in run
