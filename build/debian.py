"""Try package and services in a real systemd: `python3 build/debian.py --root FOLDER`.

FOLDER gets a fresh Debian (debootstrap) when it is not there. It is booted with systemd-nspawn, without a network,
and changed only in memory; inside, the package is installed, signed in, started, upgraded, removed and purged, and the
one file is installed as a service, again with other flags, and so that it fails (`debian_service.py`). Prints each step
and what it printed. Needs root and Debian's packages debootstrap and systemd-container. Not part of the test command.
The exit code is 0 only when every step went as expected.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from debian_service import FLOOD, HERE, SERVICE_STEPS, Step, ask

ROOT = Path(__file__).resolve().parent.parent
SUITE = "bookworm"
PACKAGES = (
    "systemd,systemd-sysv,dbus,dbus-user-session,libpam-systemd,init-system-helpers,passwd,python3"
)
LIMIT_S = 600
WAIT_S = 120


SYSTEM, USER = "systemctl", "systemctl --user --machine someone@"
GONE = "! getent passwd airelays && find / -xdev -name '*airelays*' -not -path '/home/*'"
OUTSIDE_DPKG = "grep -v '^/var/lib/dpkg\\|^/proc\\|^/var/cache' || true"


def restarted(systemctl: str, package: str) -> str:
    """Return the command that upgrades to `package` and fails unless that gave the relay another pid."""
    pid = f"{systemctl} show --property=MainPID --value airelays"
    return f"one=$({pid}) && dpkg -i {HERE}/{package}.deb && two=$({pid}) && echo $one $two && test $one != $two"


STEPS = (
    Step(f"dpkg -i {HERE}/one.deb"),
    Step("getent passwd airelays", 0, "/var/lib/airelays"),
    Step(f"{SYSTEM} is-active airelays", 3, "inactive"),
    Step(f"{SYSTEM} enable --now airelays"),
    Step(ask(8080), 0, "200"),
    Step("airelays status --system", 0, "Running: +yes"),
    Step("airelays token show --system", 0, "^[A-Za-z0-9_-]{20,}$"),
    Step(
        "stat -c '%U %a' /var/lib/airelays /var/lib/airelays/relay-token",
        0,
        "airelays 700\nairelays 600",
    ),
    Step(restarted(SYSTEM, "two")),
    Step(f"{SYSTEM} is-active airelays && {ask(8080)}", 0, "active\n200"),
    Step(f"{SYSTEM} stop airelays && dpkg -i {HERE}/three.deb"),
    Step(f"{SYSTEM} is-active airelays", 3, "inactive"),
    Step(f"{SYSTEM} start airelays && {ask(8080)}", 0, "200"),
    # systemd opens the address, and the first client starts the relay.
    Step(
        f"{SYSTEM} stop airelays && {SYSTEM} enable --now airelays.socket && {SYSTEM} is-active airelays",
        3,
    ),
    Step(ask(8080), 0, "200"),
    Step(f"{SYSTEM} is-active airelays airelays.socket", 0, "active\nactive"),
    Step(restarted(SYSTEM, "two").replace("dpkg -i", "dpkg -i --force-downgrade")),
    Step(ask(8080), 0, "200"),
    Step("dpkg -r airelays"),
    Step(ask(8080), 0, "refused"),
    Step("ls -d /var/lib/airelays", 0),
    Step(f"dpkg -i {HERE}/one.deb && {SYSTEM} is-enabled airelays", 0, "enabled"),
    Step(f"{SYSTEM} start airelays && {ask(8080)}", 0, "200"),
    Step("dpkg -P airelays"),
    Step(ask(8080), 0, "refused"),
    Step(f"{GONE} | {OUTSIDE_DPKG}", 0, "!airelays"),
    Step(f"{SYSTEM} list-units --all --plain --no-legend 'airelays*'", 0, "!airelays"),
    # The relay of one person.
    Step("useradd --create-home someone && loginctl enable-linger someone"),
    Step(f"dpkg -i {HERE}/one.deb && runuser -u someone -- airelays init"),
    Step(f"{USER} daemon-reload && {USER} enable --now airelays"),
    Step(ask(8080), 0, "200"),
    Step(restarted(USER, "two")),
    Step(f"{USER} stop airelays && dpkg -i {HERE}/three.deb"),
    Step(f"{USER} is-active airelays", 3, "inactive"),
    Step(f"{USER} start airelays && {ask(8080)}", 0, "200"),
    Step("dpkg -P airelays"),
    Step(ask(8080), 0, "refused"),
    Step("ls -d /home/someone/.airelays", 0),
    Step(f"{GONE} | {OUTSIDE_DPKG}", 0, "!airelays"),
)
UNIT = f"""\
[Unit]
After=multi-user.target systemd-user-sessions.service
[Service]
Type=oneshot
ExecStart=/usr/bin/python3 {HERE}/debian.py --inside
ExecStopPost=/usr/bin/systemctl --no-block poweroff
StandardOutput=append:{HERE}/transcript
StandardError=append:{HERE}/transcript
TimeoutStartSec={LIMIT_S}
"""


def inside() -> int:
    """Take the steps; the last line of what is printed says how it went."""
    wrong = 0
    steps = (*STEPS, *SERVICE_STEPS)
    for step in steps:
        done = subprocess.run(
            ["sh", "-c", step.command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, timeout=WAIT_S,
        )  # fmt: skip
        absent, pattern = step.seen.startswith("!"), step.seen.removeprefix("!")
        good = done.returncode == step.code and bool(re.search(pattern, done.stdout)) != absent
        wrong += not good
        print(f"# {step.command}\n{done.stdout}[{done.returncode}]", flush=True)
        if not good:
            print(f"WRONG: expected exit {step.code} and {step.seen!r}", flush=True)
    print(f"{len(steps)} steps, {wrong} wrong", flush=True)
    return wrong


def make_root(folder: Path) -> None:
    """Install a small Debian into `folder`."""
    words = ["debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, str(folder)]
    subprocess.run(words, check=True)


def make_packages(folder: Path) -> None:
    """Write three releases of the package, the second and third of a later version."""
    import deb
    import onefile

    sources = onefile.collect()
    files = deb.contents(sources, 0)
    for name, release in (("one", ""), ("two", "99.0"), ("three", "99.1")):
        (folder / f"{name}.deb").write_bytes(deb.make_deb(files, 0, release))
    (folder / "airelays.py").write_bytes(files[deb.PROGRAM][1])
    (folder / "flood.py").write_text(FLOOD)
    # The fake upstream, with what it is made of.
    for name in ("fakes", "samples"):
        shutil.copytree(ROOT / "tests" / name, folder / "tests" / name)
    for name, text in sources.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def boot(root: Path, shared: Path) -> str:
    """Boot the container, which ends by itself; return what the steps printed."""
    for name in ("debian.py", "debian_service.py"):
        shutil.copy(Path(__file__).parent / name, shared / name)
    (shared / "relay-test.service").write_text(UNIT)
    words = [
        "systemd-nspawn", "--quiet", "--boot", "--register=no", "--keep-unit", "--private-network",
        "--link-journal=no", "--machine=relay-test", f"--directory={root}", "--volatile=overlay",
        f"--bind={shared}:{HERE}",
        f"--bind-ro={shared}/relay-test.service:/etc/systemd/system/relay-test.service",
        "systemd.wants=relay-test.service",
    ]  # fmt: skip
    with open(shared / "console", "wb") as console:
        subprocess.run(
            words, stdin=subprocess.DEVNULL, stdout=console, stderr=console, timeout=2 * LIMIT_S
        )
    transcript = shared / "transcript"
    return transcript.read_text() if transcript.exists() else (shared / "console").read_text()


def main(arguments: list[str]) -> int:
    """Try it; return the exit code."""
    parser = argparse.ArgumentParser(prog="build/debian.py")
    parser.add_argument("--root", metavar="FOLDER", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    if given.inside:
        return inside()
    import onefile
    from private import run_privately

    missing = [name for name in ("debootstrap", "systemd-nspawn") if shutil.which(name) is None]
    if given.root is None or missing or os.geteuid() != 0:
        why = "name --root FOLDER" if given.root is None else "this needs root"
        if missing:
            why = f"this needs {' and '.join(missing)}"
        sys.stderr.write(f"build/debian.py: {why}\n")
        return 1
    if not (given.root / "etc").is_dir():
        make_root(given.root)
    with tempfile.TemporaryDirectory(prefix="airelays-debian-") as name:
        try:
            make_packages(Path(name))
        except onefile.MissingError as error:
            return run_privately(
                str(error), __file__, arguments, name=".venv", lock="run.txt", wheels=None
            )
        said = boot(given.root.resolve(), Path(name))
    print(said, end="")
    return 0 if said.endswith(" steps, 0 wrong\n") else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
