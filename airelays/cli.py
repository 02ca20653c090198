"""The command line: find the command, check its flags, run it, turn errors into one line. Layer: cli.

`main` is public. Everything but `sys` is imported when it is needed: `--version` answers before the rest of
the program is loaded, and a Python that is too old gets a sentence, not a traceback.
"""

from __future__ import annotations

import sys

from airelays import __version__

TYPE_CHECKING = False  # typing itself would cost `--version` a third of its time
if TYPE_CHECKING:
    from airelays.terminal.arguments import Arguments, Command
    from airelays.terminal.console import Console

TOO_OLD = (
    "AIRelays requires Python 3.11 or newer, and this is Python %d.%d. Run it with a newer version."
)


def main(argv: list[str] | None = None) -> int:
    """Run the program and return its exit code: 0, 1 refused, 2 usage, 75 in use, 130 interrupted."""
    words = sys.argv[1:] if argv is None else argv
    if sys.version_info < (3, 11):  # noqa: UP036  `python3.9 -m airelays` comes here too
        sys.stderr.write(TOO_OLD % sys.version_info[:2] + "\n")
        return 1
    if sys.stdout is None or sys.stderr is None:
        _open_missing_streams()
    try:
        if words in (["--version"], ["-V"]):
            sys.stdout.write(f"airelays {__version__}\n")
            code = 0
        else:
            code = _run(words)
        sys.stdout.flush()
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        _drop_output()
        return 141
    except OSError as error:
        _drop_output()
        what = "output cannot be written" if error.filename is None else f"{error.filename!r}"
        if error.filename is None and "temporary directory" in str(error.strerror):
            what = "name a folder that can be written in TMPDIR"  # of module tempfile
        sys.stderr.write(f"airelays: {what}: {error.strerror}\n")
        return 1
    except ModuleNotFoundError as error:
        return _lacks(error)
    return code


def _run(words: list[str]) -> int:
    import os

    if words[:1] == ["serve"]:
        _let_sigint_end_the_start()

    from airelays.errors import ConfigError, FlagError
    from airelays.terminal.console import Console
    from airelays.terminal.layout import text_columns
    from airelays.terminal.line import UsageError, help_for

    for stream in (sys.stdout, sys.stderr):
        # A terminal in the C locale must not turn a path with an umlaut into a traceback.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # files always can
    console = Console(env=os.environ)
    try:
        command, args = _parse(words, console)
        _know_start(args)
        if args.has("--version"):
            console.line(f"airelays {__version__}")
            return 0
        if command is None or args.has("--help"):
            from airelays.terminal.pager import show

            text = help_for(args.command, text_columns(console.columns))
            show(text, console, pager=not args.has("--no-pager"))
            return 0
        return _carry_out(command, args, console)
    except UsageError as error:
        console.note(str(error))
        console.err.write(error.usage(text_columns(console.columns)))
        return 2
    except ConfigError as error:
        if "--json" in words:
            console.json({"error": {"message": str(error)}})
        console.out.flush()
        console.note(str(error))
        return 2 if isinstance(error, FlagError) else 1


def _carry_out(command: Command, args: Arguments, console: Console) -> int:
    if args.has("--system"):
        from airelays.commands.acting import act

        return act(command, args, console)
    return command.load()(args, console)


def _know_start(args: Arguments) -> None:
    """Have hints name the program as it was started, with the flags that say which relay is meant."""
    import os

    from airelays.hints import know_start, know_system, quoted
    from airelays.terminal.start import started_as

    named = [f for f in ("--config", "--data-dir") if f in args.flags]
    flags = " ".join(f"{name} {quoted(args.flags[name])}" for name in named)
    know_start(started_as(sys.argv, sys.orig_argv, os.environ), flags)
    if args.has("--system"):
        from airelays.commands.table import ACT_FOR_SYSTEM

        know_system(ACT_FOR_SYSTEM)


def _parse(words: list[str], console: Console) -> tuple[Command | None, Arguments]:
    from airelays.terminal.line import UsageError, parse

    try:
        return parse(words)
    except UsageError:
        from airelays.commands.migrate.retired import retire

        left = retire(words, console.note)
        if left == words:
            raise
    return parse(left)


def _lacks(error: ModuleNotFoundError) -> int:
    """Report a missing part of Python's library: Debian's python3-minimal and some appliances leave out parts."""
    root = (error.name or "").partition(".")[0]
    if root not in sys.stdlib_module_names:
        raise error
    sys.stderr.write(
        f"airelays: this Python does not include {error.name}, which is part of its standard library; "
        f"install the complete library "
        "(Debian: apt-get install python3), or use the executable\n"
    )
    return 1


def _let_sigint_end_the_start() -> None:
    """Until the relay handles SIGINT itself it ends the process, as SIGTERM does.

    Python's KeyboardInterrupt is lost when it falls into a callback of the import system, and breaks an event
    loop that is being made: 1 start in 300 that was interrupted went on as if nothing had been said.
    """
    import signal

    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except ValueError:  # not the main thread: whoever runs us there handles signals
        return


def _open_missing_streams() -> None:
    """Give closed descriptors 0 to 2 to /dev/null, so that no file of ours can become stdout or stderr."""
    import os

    fd = 0
    while fd < 3:
        fd = os.open(os.devnull, os.O_RDWR)
    os.close(fd)
    sys.stdout = sys.stdout or open(1, "w", closefd=False)  # noqa: SIM115  lives as long as the process
    sys.stderr = sys.stderr or open(2, "w", closefd=False)  # noqa: SIM115  lives as long as the process


def _drop_output() -> None:
    """Let the interpreter's last flush of stdout go nowhere: its reader has left."""
    import os

    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


if __name__ == "__main__":
    sys.exit(main())
