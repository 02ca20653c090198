"""`version --verify FILE`: a real ssh-keygen, a throw-away key, and one changed bit."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from airelays.commands.release_keys import ALLOWED_SIGNERS, NAMESPACE, SIGNER
from tests.live import ROOT, plain, program

pytestmark = pytest.mark.skipif(shutil.which("ssh-keygen") is None, reason="there is no ssh-keygen")

DEADLINE_S = 60.0


class Release:
    """A signed release of two files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.home = folder
        self.path = folder / "release"
        self.path.mkdir()
        self.key = make_key(folder / "key")
        self.signers = folder / "signers"
        self.signers.write_text(allowed(self.key))
        for name in ("airelays.py", "airelays-1.0.0-linux-x86_64"):
            (self.path / name).write_bytes(name.encode() * 100)
        self.sign()

    def sign(self) -> None:
        """Write SHA256SUMS and its signature."""
        files = sorted(p for p in self.path.iterdir() if not p.name.startswith("SHA256SUMS"))
        sums = self.path / "SHA256SUMS"
        sums.write_text("".join(f"{digest(p)}  {p.name}\n" for p in files))
        done = run(
            "build/release.py", "--sign", self.key, "--dist", self.path, "--signers", self.signers
        )
        assert done.returncode == 0, done.stderr
        assert re.fullmatch(r"signed by SHA256:\S+\n", done.stdout)

    def verify(self, name: str, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
        """Run `version --verify` on one of the files."""
        return airelays(self.home, "version", "--verify", self.path / name, *words, **env)

    def flip(self, name: str, at: int) -> None:
        """Change one bit of a file."""
        data = bytearray((self.path / name).read_bytes())
        data[at] ^= 1
        (self.path / name).write_bytes(data)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make_key(path: Path) -> Path:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "throw-away", "-f", str(path)]
    subprocess.run(words, check=True, stdin=subprocess.DEVNULL)
    return path


def allowed(key: Path) -> str:
    public = key.with_name(key.name + ".pub").read_text()
    return f'{SIGNER} namespaces="{NAMESPACE}" {public}'


def run(script: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / script), *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S)


def airelays(home: Path, *words: str | Path, **env: str) -> subprocess.CompletedProcess[str]:
    return plain(
        subprocess.run(
            [*program(), *map(str, words)],
            env={"HOME": str(home), "PYTHONPATH": str(ROOT), "PATH": os.environ["PATH"], **env},
            capture_output=True,
            text=True,
            timeout=DEADLINE_S,
        )
    )


@pytest.fixture
def made(tmp_path: Path) -> Release:
    return Release(tmp_path)


def test_a_file_of_a_signed_release_is_accepted(made: Release) -> None:
    done = made.verify("airelays.py", "--signers", made.signers)
    assert (done.returncode, done.stderr) == (0, "")
    assert "airelays.py:" in done.stdout and re.search(r"Key: +SHA256:\S+", done.stdout)
    done = made.verify("airelays.py", "--signers", made.signers, "--json")
    said = json.loads(done.stdout)
    assert said["ok"] is True and said["files"] == ["airelays.py"]


def test_the_sums_themselves_stand_for_all_that_is_beside_them(made: Release) -> None:
    (made.path / "airelays.py").unlink()
    done = made.verify("SHA256SUMS", "--signers", made.signers, "--json")
    assert json.loads(done.stdout)["files"] == ["airelays-1.0.0-linux-x86_64"]
    made.flip("airelays-1.0.0-linux-x86_64", 5)
    assert made.verify("SHA256SUMS", "--signers", made.signers).returncode == 1


def test_ssh_keygen_alone_accepts_it_as_documented(made: Release) -> None:
    words = ["ssh-keygen", "-Y", "verify", "-f", str(made.signers), "-I", SIGNER, "-n", NAMESPACE]
    page = (ROOT / "airelays" / "docs" / "releases.md").read_text(encoding="utf-8")
    assert (
        f"ssh-keygen -Y verify -f allowed_signers -I {SIGNER} -n {NAMESPACE} -s SHA256SUMS.sig"
        in page
    )
    for changed in (False, True):
        if changed:
            made.flip("SHA256SUMS", 0)
        done = subprocess.run(
            [*words, "-s", str(made.path / "SHA256SUMS.sig")],
            input=(made.path / "SHA256SUMS").read_bytes(),
            capture_output=True,
        )
        assert (done.returncode != 0) == changed


@pytest.mark.parametrize(
    "name, at, said",
    [
        ("airelays.py", 0, "airelays.py has the SHA-256 "),
        ("airelays.py", -1, "airelays.py has the SHA-256 "),
        ("SHA256SUMS", 0, "SHA256SUMS.sig is not a signature of this SHA256SUMS by an allowed key"),
        (
            "SHA256SUMS",
            -1,
            "SHA256SUMS.sig is not a signature of this SHA256SUMS by an allowed key",
        ),
        ("SHA256SUMS.sig", 200, "SHA256SUMS.sig is not a signature of this SHA256SUMS"),
    ],
)
def test_one_changed_bit_is_refused(made: Release, name: str, at: int, said: str) -> None:
    made.flip(name, at)
    done = made.verify("airelays.py", "--signers", made.signers)
    assert (done.returncode, done.stdout) == (1, "")
    assert said in done.stderr and done.stderr.count("\n") == 1


def test_a_key_that_is_not_allowed_is_refused(made: Release) -> None:
    other = made.home / "others"
    other.write_text(allowed(make_key(made.home / "other")))
    done = made.verify("airelays.py", "--signers", other)
    assert done.returncode == 1 and "by an allowed key" in done.stderr
    other.write_text(made.signers.read_text().replace(NAMESPACE, "file"))
    assert made.verify("airelays.py", "--signers", other).returncode == 1


def test_a_file_that_is_not_listed_is_refused(made: Release) -> None:
    (made.path / "setup.exe").write_bytes(b"anything")
    done = made.verify("setup.exe", "--signers", made.signers)
    assert done.returncode == 1
    assert "is signed but does not list setup.exe, so it is not part of a release\n" in done.stderr


@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig"])
def test_what_is_missing_is_named(made: Release, name: str) -> None:
    (made.path / name).unlink()
    done = made.verify("airelays.py", "--signers", made.signers)
    assert (done.returncode, done.stderr) == (
        1,
        f"airelays: {made.path / name} is missing; put SHA256SUMS and SHA256SUMS.sig of the release in the "
        f"folder of the file\n",
    )


def test_without_ssh_keygen_the_way_out_is_said(made: Release, tmp_path: Path) -> None:
    done = made.verify("airelays.py", "--signers", made.signers, PATH=str(tmp_path))
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert done.stderr.startswith("airelays: ssh-keygen, which checks the signature, is missing; ")
    assert "apt install openssh-client" in done.stderr and "sha256sum -c" in done.stderr


@pytest.mark.skipif(os.name != "posix", reason="FIFOs are POSIX")
@pytest.mark.parametrize("name", ["SHA256SUMS", "SHA256SUMS.sig", "airelays.py"])
def test_a_fifo_is_refused_at_once(made: Release, name: str) -> None:
    (made.path / name).unlink()
    os.mkfifo(made.path / name)
    done = made.verify("airelays.py", "--signers", made.signers)
    assert done.returncode == 1
    assert done.stderr == (
        f"airelays: {made.path / name} cannot be read: it is a FIFO, not a regular file\n"
    )


@pytest.mark.parametrize("line", [f"{'0' * 64}  ../airelays.py", "no digest", f"{'0' * 63}  a"])
def test_sums_that_are_no_list_are_refused_though_signed(made: Release, line: str) -> None:
    (made.path / "SHA256SUMS").write_text(line + "\n")
    (made.path / "SHA256SUMS.sig").unlink()
    words = ["ssh-keygen", "-q", "-Y", "sign", "-f", str(made.key), "-n", NAMESPACE]
    subprocess.run([*words, str(made.path / "SHA256SUMS")], check=True, capture_output=True)
    done = made.verify("airelays.py", "--signers", made.signers)
    assert done.returncode == 1 and "which is not a digest and a name" in done.stderr


@pytest.mark.parametrize(
    "words, said",
    [
        (
            ("--digests", "--verify", "a"),
            "--digests and --verify cannot be combined; use one of them",
        ),
        (("--signers", "a"), "--signers requires --verify FILE"),
    ],
)
def test_flags_that_do_not_fit_are_refused(
    tmp_path: Path, words: tuple[str, ...], said: str
) -> None:
    done = airelays(tmp_path, "version", *words)
    assert done.returncode == 2 and said in done.stderr


# ---- the keys inside


def copy_with_key(made: Release, text: str) -> list[str]:
    """Return the words that start a checkout whose release_keys.py has `text`."""
    folder = made.home / "checkout"
    clean = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "airelays", folder / "airelays", ignore=clean)
    keys = folder / "airelays" / "commands" / "release_keys.py"
    source = keys.read_text()
    line = f"ALLOWED_SIGNERS = {text!r}"
    keys.write_text(re.sub(r"^ALLOWED_SIGNERS = .*", lambda _: line, source, flags=re.MULTILINE))
    shutil.copy(ROOT / "airelays.py", folder)
    return [sys.executable, str(folder / "airelays.py")]


def test_a_copy_accepts_what_its_own_keys_signed(made: Release) -> None:
    newer = make_key(made.home / "newer")
    words = copy_with_key(made, allowed(made.key) + allowed(newer))
    command = [*words, "version", "--verify", str(made.path / "airelays.py")]
    env = {"HOME": str(made.home), "PATH": os.environ["PATH"], "TMPDIR": str(made.home)}
    before = set(made.home.iterdir())
    for key in (made.key, newer):
        made.signers.write_text(allowed(key))
        made.key = key
        made.sign()
        done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=DEADLINE_S)
        assert (done.returncode, done.stderr) == (0, "")
    assert set(made.home.iterdir()) == before


def test_a_copy_without_a_key_says_how_to_name_one(made: Release) -> None:
    words = copy_with_key(made, "")
    done = subprocess.run(
        [*words, "version", "--verify", str(made.path / "airelays.py")],
        env={"HOME": str(made.home), "PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert (done.returncode, done.stderr) == (
        1,
        "airelays: this copy does not contain a release key; name a file of allowed signers with --signers "
        f"FILE, see `{' '.join(words)} docs releases`\n",
    )


def test_the_keys_inside_are_public_and_for_releases_only() -> None:
    for line in ALLOWED_SIGNERS.splitlines():
        assert line.startswith(f'{SIGNER} namespaces="{NAMESPACE}" '), line
        assert re.search(r" (sk-)?ssh-ed25519(@openssh\.com)? AAAA", line), line


def test_a_key_that_no_user_could_check_signs_nothing(made: Release) -> None:
    stranger = make_key(made.home / "stranger")
    done = run(
        "build/release.py", "--sign", stranger, "--dist", made.path, "--signers", made.signers
    )
    assert done.returncode == 1 and "no user could check this signature" in done.stderr
    assert not (made.path / "SHA256SUMS.sig").exists()


def test_sums_that_do_not_fit_are_not_signed(made: Release) -> None:
    before = (made.path / "SHA256SUMS.sig").read_bytes()
    made.flip("airelays.py", 3)
    done = run(
        "build/release.py", "--sign", made.key, "--dist", made.path, "--signers", made.signers
    )
    assert (done.returncode, done.stderr) == (1, "airelays.py is not what SHA256SUMS says\n")
    assert (made.path / "SHA256SUMS.sig").read_bytes() == before


def test_no_private_key_is_in_the_repository() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True)
    if listed.returncode != 0:
        pytest.skip("this is a copy without a history")
    mark = b"-----BEGIN OPENSSH " + b"PRIVATE KEY-----"
    for name in listed.stdout.decode().split("\0"):
        path = ROOT / name
        assert not path.is_file() or mark not in path.read_bytes(), name
