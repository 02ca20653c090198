"""Start AIRelays from a checkout: `python3 airelays.py serve --demo`.

Runs the package `airelays/` beside this file. When h11 or certifi is missing, a private `.venv` is made beside
it from the hash-locked list `build/requirements/run.txt`, and the program runs in that. This is not the one-file
edition, which carries everything inside; `build/onefile.py` makes that. Without a network: `--wheels FOLDER` ahead of
the command, with the two packages in it.

Any Python since 2.7 can parse this file, so that one that is too old gets a sentence and no traceback.
"""

import os
import sys

NEEDED = (3, 11)
# Below this h11 does not check the two bytes after a chunk (CVE-2025-43859).
H11_FLOOR = (0, 16)
MARKER = "made-by-airelays.txt"


def main():
    """Run the program; return its exit code."""
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        open_missing_streams()
    if sys.version_info < NEEDED:
        return refuse(
            "AIRelays requires Python 3.11 or newer, and this is Python %d.%d. Run it with a newer version."
            % sys.version_info[:2]
        )
    here = os.path.dirname(os.path.realpath(globals().get("__file__") or "?"))
    if not os.path.isfile(os.path.join(here, "airelays", "cli.py")):
        return refuse(
            "this airelays.py only starts the folder airelays/ next to it, which is missing; to get one file "
            "that runs alone, run in a checkout: python3 build/onefile.py --write"
        )
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        pip_flags = take_wheels()
        if sys.argv[1:] not in (["--version"], ["-V"]) and not has_needs():
            return run_privately(here, pip_flags)
    except Failed as failure:
        return refuse(str(failure))
    from airelays.cli import main as run

    return run()


class Failed(Exception):
    """Something that the launcher needs cannot be had; the text is for the user."""


def open_missing_streams():
    """Give closed descriptors 0 to 2 to /dev/null, here and in the programs that are started from here."""
    fd = 0
    while fd < 3:
        fd = os.open(os.devnull, os.O_RDWR)
        if fd < 3:
            os.set_inheritable(fd, True)
    os.close(fd)
    # They live as long as the process.
    sys.stdin = sys.stdin or open(0, "r", closefd=False)  # noqa: SIM115
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115


def refuse(sentence):
    """Say why nothing was started; return the exit code."""
    sys.stderr.write("airelays: " + sentence + "\n")
    return 1


def take_wheels():
    """Take `--wheels FOLDER` off the front of the command line; return what it means for pip."""
    word, equals, folder = (sys.argv[1] if len(sys.argv) > 1 else "").partition("=")
    if word != "--wheels":
        return []
    count = 1 if equals else 2
    if not equals:
        folder = sys.argv[2] if len(sys.argv) > 2 else ""
    if not os.path.isdir(folder):
        raise Failed(
            "--wheels is %r, which is not a folder; create one on a machine with a network: python3 -m pip download "
            "--only-binary :all: --require-hashes -r build/requirements/run.txt -d FOLDER" % folder
        )
    at = len(sys.orig_argv) - len(sys.argv) + 1
    # It is no part of what the program tells people to type.
    del sys.argv[1 : 1 + count], sys.orig_argv[at : at + count]
    return ["--no-index", "--find-links", os.path.abspath(folder)]


def has_needs():
    """Whether this Python has both dependencies, new enough."""
    from importlib.util import find_spec

    if find_spec("certifi") is None or find_spec("h11") is None:
        return False
    import h11

    return tuple(int(part) for part in h11.__version__.split(".")[:2]) >= H11_FLOOR


def run_privately(here, pip_flags):
    """Go on in the private environment; make it first when it is missing or outdated."""
    requirements = os.path.join(here, "build", "requirements", "run.txt")
    folder = own_folder(here, ".venv")
    if not is_current(folder, requirements):
        sys.stderr.write(
            "airelays: h11 and certifi are not installed; creating a private %s from %s\n"
            % (folder, os.path.relpath(requirements, here))
        )
        make_venv(folder, requirements, ["--only-binary", ":all:"] + pip_flags)
    if os.path.realpath(sys.prefix) == os.path.realpath(folder):
        raise Failed("%s is damaged; remove it, then try again" % folder)
    command = [python_of(folder), os.path.join(here, "airelays.py")] + sys.argv[1:]
    sys.stderr.flush()
    # What the program tells people to type is what they have typed, not this detour.
    typed = len(sys.orig_argv) - len(sys.argv) + 1
    os.environ["AIRELAYS_STARTED_AS"] = "\n".join(sys.orig_argv[:typed])
    if os.name == "nt":
        # There execv would end this process while the new one still runs on the same console.
        import subprocess

        return subprocess.call(command)
    try:
        os.execv(command[0], command)
    except OSError as error:
        raise Failed("%s cannot be started: %s; remove %s" % (command[0], error.strerror, folder))


def own_folder(here, name):
    """Return where the private environment goes: never into one that somebody else made."""
    folder = os.path.join(here, name)
    taken = os.path.isdir(folder) and not os.path.isfile(os.path.join(folder, MARKER))
    return os.path.join(here, name + "-airelays") if taken else folder


def python_of(folder):
    """Return the interpreter of an environment."""
    if os.name == "nt":
        return os.path.join(folder, "Scripts", "python.exe")
    return os.path.join(folder, "bin", "python")


def is_current(folder, requirements):
    """Whether `folder` was made by this Python from this list."""
    try:
        with open(os.path.join(folder, MARKER)) as file:
            return file.read() == mark(requirements)
    except OSError:
        return False


def mark(requirements):
    """Return what identifies an environment: the Python and the digest of the locked list."""
    import hashlib

    with open(requirements, "rb") as file:
        digest = hashlib.sha256(file.read()).hexdigest()
    return "Python %d.%d\n%s\n" % (sys.version_info[0], sys.version_info[1], digest)


def make_venv(folder, requirements, pip_flags):
    """Make an environment with exactly the packages of a hash-locked list, whole or not at all."""
    import shutil

    staged = "%s-%d.part" % (folder, os.getpid())
    try:
        run([sys.executable, "-m", "venv", "--without-pip", staged], "cannot create an environment")
        install(staged, requirements, pip_flags)
        with open(os.path.join(staged, MARKER), "w") as file:
            file.write(mark(requirements))
        if os.path.isdir(folder) and not is_current(folder, requirements):
            shutil.rmtree(folder)
        if not os.path.isdir(folder):
            os.rename(staged, folder)
    except OSError as error:
        if not is_current(folder, requirements):
            raise Failed(
                "%s cannot be created: %s; move the checkout to a folder where you can write"
                % (folder, error)
            )
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def install(folder, requirements, pip_flags):
    """Install a locked list into an environment with the pip of this Python, or with Python's own copy."""
    from importlib.util import find_spec

    target = python_of(folder)
    if find_spec("pip") is not None:
        pip = [sys.executable, "-m", "pip", "--python", target]
    elif find_spec("ensurepip") is not None:
        run([target, "-m", "ensurepip"], "cannot set up pip")
        pip = [target, "-m", "pip"]
    else:
        raise Failed(
            "this Python has no pip; install it (Debian: apt-get install python3-pip), "
            "or use the one-file edition, which does not need it"
        )
    flags = ["--quiet", "--no-input", "--disable-pip-version-check", "--retries", "2"]
    run(
        pip + ["install"] + flags + ["--require-hashes"] + pip_flags + ["-r", requirements],
        "cannot install packages; without a network, pass a folder of wheels with "
        "--wheels FOLDER, or use the one-file edition",
    )


def run(command, trouble):
    """Run a command quietly. Raises Failed with the last thing that it said."""
    import subprocess

    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    except OSError as error:
        raise Failed("%s: %s" % (trouble, error))
    if done.returncode != 0:
        said = (done.stderr or done.stdout).decode("utf-8", "replace").strip().splitlines()
        raise Failed("%s (%s)" % (trouble, said[-1].strip() if said else "no reason given"))


if __name__ == "__main__":
    sys.exit(main())
