"""What no machine of ours can run: the Dockerfile, the Homebrew formula, the workflows. Read by simple rules."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "packaging" / "docker" / "Dockerfile"
FORMULA = ROOT / "packaging" / "homebrew" / "airelays.rb"
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
RELEASE = ROOT / ".github" / "workflows" / "release.yml"
# Of November 2026; the first that is announced to end is macos-15-intel, in August 2027 (actions/runner-images).
RUNNERS = {
    "ubuntu-24.04",
    "ubuntu-24.04-arm",
    "macos-15",
    "macos-15-intel",
    "windows-2025",
}
# The first major version that runs on Node 24; Node 20 is out of support.
NODE_24 = {
    "actions/attest": 4,
    "actions/checkout": 5,
    "actions/download-artifact": 7,
    "actions/setup-python": 6,
    "actions/upload-artifact": 6,
}


def instructions() -> list[tuple[str, str]]:
    text = re.sub(r"\\\n\s*", " ", DOCKERFILE.read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(" ", 1)[0], line.split(" ", 1)[1]) for line in lines]


def value(name: str) -> str:
    found = [rest for word, rest in instructions() if word == name]
    assert found, f"the Dockerfile has no {name}"
    return found[-1]


def test_the_base_is_named_by_version_and_small() -> None:
    assert re.fullmatch(r"python:3\.1[1-9]-slim-[a-z]+", value("FROM"))


def test_the_container_runs_as_nobody_in_particular() -> None:
    user = value("USER")
    assert re.fullmatch(r"[1-9]\d{3,}:[1-9]\d{3,}", user)
    names = [word for word, _ in instructions()]
    assert names.index("USER") > names.index("RUN")


def test_nothing_is_fetched_or_left_behind_in_the_image() -> None:
    for word, rest in instructions():
        assert word != "ADD"
        assert not re.search(r"\b(curl|wget|pip|apt-get)\b", rest), rest


def test_the_program_cannot_be_changed_by_its_user_and_data_is_a_volume() -> None:
    copied = shlex.split(value("COPY"))
    assert copied == ["--chmod=0555", "dist/airelays.py", "/usr/local/bin/airelays"]
    assert value("VOLUME") == '["/data"]' and "--read-only" in DOCKERFILE.read_text()


def test_health_is_checked_and_words_need_no_shell() -> None:
    # The relay that runs is found by its data folder, so the port may be any.
    assert value("HEALTHCHECK").endswith('"/usr/local/bin/airelays", "status", "--json"]')
    assert "8080" not in value("HEALTHCHECK")
    for name in ("ENTRYPOINT", "CMD"):
        assert value(name).startswith("["), f"{name} would run in a shell"
    assert value("STOPSIGNAL") == "SIGTERM"


def test_no_secret_is_in_the_image() -> None:
    names = {
        name
        for word, rest in instructions()
        if word == "ENV"
        for name in re.findall(r"(\w+)=", rest)
    }
    assert not names & {"AIRELAYS_BEARER_TOKEN", "AIRELAYS_API_KEY"}
    assert "ARG" not in [word for word, _ in instructions()]


def test_variables_of_the_image_are_options() -> None:
    from airelays.settings.load import OTHER_ENV
    from airelays.settings.table import OPTIONS, env_names

    known = {n for o in OPTIONS for n in env_names(o)} | {f"AIRELAYS_{n}" for n in OTHER_ENV}
    for name in re.findall(r"AIRELAYS_\w+(?==)", value("ENV")):
        assert name in known


def test_the_formula_tests_what_it_installs() -> None:
    text = FORMULA.read_text()
    assert text.count("\n  def ") == 1 and text.rstrip().endswith("end")
    for part in ('sha256 "@SHA256@"', "doctor", "--self-test", 'license "MIT"', "service do"):
        assert part in text
    ruby = shutil.which("ruby")
    if ruby is not None:
        assert subprocess.run([ruby, "-c", str(FORMULA)], capture_output=True).returncode == 0


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_a_workflow_has_no_rights_but_those_it_names(path: Path) -> None:
    assert re.search(r"^permissions: \{\}$", path.read_text(), re.MULTILINE)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_actions_are_pinned_to_commits(path: Path) -> None:
    used = re.findall(r"uses: (\S+)(.*)", path.read_text())
    assert used
    for action, comment in used:
        assert action.split("@")[0] in NODE_24, action
        assert re.fullmatch(r"actions/[a-z-]+@[0-9a-f]{40}", action), action
        release = re.fullmatch(r" # v(\d+)\.\d+\.\d+", comment)
        assert release, f"{action} does not say its version"
        assert int(release[1]) >= NODE_24[action.split("@")[0]], f"{action} runs on an old Node"


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_no_text_from_outside_gets_into_a_shell(path: Path) -> None:
    for line in path.read_text().splitlines():
        if line.lstrip().startswith("- run:"):
            assert "${{" not in line, line


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_each_step_is_a_script_that_is_here(path: Path) -> None:
    for command in re.findall(r"- run: (.+)", path.read_text()):
        words = shlex.split(command)
        if words[0] in ("gh", "apk", "./dist/airelays"):
            continue
        assert words[0] in ("python", "python3"), command
        script = next(w for w in words[1:] if not w.startswith("-"))
        assert script == "dist/airelays.py" or (ROOT / script).is_file(), command


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_checkouts_keep_no_credentials(path: Path) -> None:
    text = path.read_text()
    assert text.count("actions/checkout@") == text.count("persist-credentials: false")


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda p: p.name)
def test_runners_are_not_retired(path: Path) -> None:
    found = re.findall(r"(?:os: |runs-on: )([a-z]+-[\w.-]+)", path.read_text())
    assert found and set(found) <= RUNNERS


def test_images_are_official_and_pinned_by_digest() -> None:
    text = RELEASE.read_text()
    images = re.findall(r'image: "([^"]+)"', text)
    assert [i for i in images if i] and ":latest" not in text
    for image in filter(None, images):
        assert re.fullmatch(r"docker\.io/library/python:3\.\d+-\w+@sha256:[0-9a-f]{64}", image), (
            image
        )


def test_every_build_of_a_release_is_dated_by_it() -> None:
    for job in re.split(
        r"^  (?=\w+:$)", RELEASE.read_text().partition("\njobs:\n")[2], flags=re.MULTILINE
    ):
        if "--write" in job:
            assert "SOURCE_DATE_EPOCH: ${{ needs.date.outputs.epoch }}" in job, job.partition(":")[
                0
            ]


def test_the_newest_python_is_tried_and_named() -> None:
    named = set(re.findall(r"Python :: (3\.\d+)", (ROOT / "pyproject.toml").read_text()))
    tried = set(re.findall(r'python: "(3\.\d+)"', (WORKFLOWS[0].parent / "test.yml").read_text()))
    assert "3.14" in named and named == tried


def test_zizmor_finds_nothing() -> None:
    zizmor = Path(sys.executable).with_name("zizmor")
    words = [str(zizmor), "--offline", "--quiet", "--no-progress", "--persona=pedantic"]
    done = subprocess.run([*words, str(RELEASE.parent)], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
