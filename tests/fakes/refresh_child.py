"""A process that refreshes a sign-in and can be told to die by SIGKILL at the n-th step of it.

The steps are the audit events of this interpreter inside the data folder (open, rename, remove, ...), so
the code under test runs untouched. `python -m tests.fakes.refresh_child DIR ISSUER` reads lines: "N"
forks a child that dies before its N-th step (0: never) and answers with the child's exit status and steps.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any

from airelays.net.client import Client
from airelays.upstream.chatgpt.oauth import Issuer
from airelays.upstream.chatgpt.store import SignInStore
from airelays.upstream.chatgpt.tokens import Tokens
from tests.fakes.issuer import CLIENT_ID

STEPS = ("open", "os.rename", "os.remove", "os.link", "os.chmod", "os.utime", "socket.connect")


def make_tokens(folder: str, issuer_url: str) -> Tokens:
    """Return Tokens over real files and a real connection."""

    async def ask(refresh_token: str, reason: str) -> dict[str, Any]:
        client = Client([issuer_url])
        try:
            return await Issuer(client, issuer_url, CLIENT_ID, "airelays/test").refresh(
                refresh_token, reason
            )
        finally:
            await client.close()

    return Tokens(SignInStore(folder), ask)


def refresh(folder: str, issuer_url: str) -> str:
    """Refresh as after a 401; return the access token."""

    async def run() -> str:
        tokens = make_tokens(folder, issuer_url)
        used = await tokens.current()
        return (await tokens.after_rejection(used)).access_token

    return asyncio.run(run())


def refresh_on_signal(folder: str, issuer_url: str) -> None:
    """Take the stored sign-in, say so, and refresh once a line comes in: for several processes at once."""

    async def run() -> str:
        tokens = make_tokens(folder, issuer_url)
        used = await tokens.current()
        print("ready", flush=True)
        await asyncio.to_thread(sys.stdin.readline)
        return (await tokens.after_rejection(used)).access_token

    print(asyncio.run(run()), flush=True)


def _child(folder: str, issuer_url: str, die_at: int) -> None:
    count = 0

    def hook(event: str, args: tuple[Any, ...]) -> None:
        nonlocal count
        if event not in STEPS or (event == "open" and not str(args[0]).startswith(folder)):
            return
        count += 1
        if count == die_at:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)
    refresh(folder, issuer_url)
    os.write(2, b"%d" % count)


def main() -> None:
    """Serve the lines of standard input."""
    folder, issuer_url = sys.argv[1:3]
    print("ready", flush=True)
    for line in sys.stdin:
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.dup2(writer, 2)
            status = 1
            try:
                _child(folder, issuer_url, int(line))
                status = 0
            except BaseException as error:
                os.write(2, repr(error).encode())
            finally:
                os._exit(status)
        os.close(writer)
        said = os.read(reader, 4096).decode()
        os.close(reader)
        _, status = os.waitpid(pid, 0)
        print(status, said.replace("\n", " "), flush=True)


if __name__ == "__main__":
    main()
