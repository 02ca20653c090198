"""Usage of each request, for the book: a line is written before the answer ends, and lines are folded into the
database.

Owns: when a line is written, the timer of the folding. Refuses to know: files of the book, tables. Layer: app.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Callable
from time import monotonic

from airelays.app.desk import OperatorDesk
from airelays.errors import RelayError
from airelays.journal.book import Book, line_of, numbers_in, program_in, read_new
from airelays.journal.notes import how_ended
from airelays.net.request import Request

FOLD_S = 1.0
# What the book has as the key of requests of `airelays run`; there is one for each run.
LEASED = "run"
COMPLAINT_S = 60.0
# How far back a start after a kill looks for requests that were running.
HOURS_LOOKED_AT = 3


class Accounts:
    """Keeps the book of one relay. Used by the event loop."""

    def __init__(
        self, desk: OperatorDesk, complain: Callable[[str], None], folder: str, *, folds: bool
    ) -> None:
        self._desk = desk
        self._folder = folder
        self._folds = folds
        self._complain = complain
        self._book = Book(self._folder, complain)
        desk.book_lines_lost = lambda: self._book.lost
        self._timer: asyncio.TimerHandle | None = None
        self._folding: asyncio.Task[None] | None = None
        self._counting: asyncio.Task[None] | None = None
        self._complained_s = float("-inf")

    def start(self) -> None:
        """Soon fold the lines that an earlier run has left."""
        if self._folds and numbers_in(self._folder):
            self._fold_soon()

    def count_interrupted(self, since_s: float) -> None:
        """Add to the book the requests that were running when the relay that started at `since_s` was killed."""
        loop = asyncio.get_running_loop()
        self._counting = loop.create_task(self._count_interrupted(since_s), name="interrupted")

    async def _count_interrupted(self, since_s: float) -> None:
        ids = {key.name: key.id for key in self._desk.keys.current().keys}
        settings, until_s = self._desk.settings, self._desk.started_wall_s
        for line in await asyncio.to_thread(
            _interrupted, self._folder, settings.logs_dir, ids, since_s, until_s
        ):
            self._book.write(line)
        if self._timer is None and self._folds:
            self._fold_soon()

    async def close(self) -> None:
        """Fold what is left and close the book."""
        if self._counting is not None:
            await asyncio.wait([self._counting])
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await self._fold()
        if self._folding is not None:
            await self._folding
        self._book.close()

    # ---- requests

    def note(self, request: Request) -> None:
        """Count what a request has used, and write it down, before its last bytes are sent."""
        self._write(request, how_ended(request, ending=True))

    def note_broken(self, request: Request) -> None:
        """The same for a request that ended without last bytes."""
        self._write(request, how_ended(request))

    def _write(self, request: Request, ended: str) -> None:
        self._desk.keys.spend(request)
        outcome, redactor = request.outcome, self._desk.notes.redactor()
        program = redactor.short(program_in(request.head.fields))
        tokens = outcome.usage.total_tokens if outcome.usage is not None else 0
        self._desk.notes.metrics.note_program(program, tokens)
        leased = self._desk.keys.leases.get(request.caller.owner)
        line = line_of(
            outcome,
            request.id,
            request.caller.owner if leased is None else LEASED,
            redactor.short(outcome.model) if outcome.model else "",
            program,
            ended,
            time.time(),
            (monotonic() - request.started_s) * 1000,
        )
        self._book.write(line)
        if leased is not None:
            leased.sums.take(json.loads(line))
        if self._timer is None and self._folds:
            self._fold_soon()

    # ---- folding

    def _fold_soon(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(FOLD_S, self._begin_to_fold)

    def _begin_to_fold(self) -> None:
        self._timer = None
        if self._folding is None or self._folding.done():
            self._folding = asyncio.get_running_loop().create_task(self._fold(), name="book")
        else:
            self._fold_soon()

    async def _fold(self) -> None:
        from airelays.state.usage import fold

        try:
            await self._desk.store.run(fold, self._folder)
        except RelayError as error:
            now_s = monotonic()
            if now_s - self._complained_s >= COMPLAINT_S:
                self._complained_s = now_s
                self._complain(
                    f"the book of usage in {os.path.join(self._folder, 'state.sqlite3')} cannot be updated: "
                    f"{error.local}; new lines stay in book-N.log until they can be added"
                )


def _interrupted(
    folder: str, logs_dir: str, ids: dict[str, str], since_s: float, until_s: float
) -> list[bytes]:
    """Return the lines of requests without an end in the last hours of the log, and none in the book."""
    from airelays.journal.ended import interrupted_in
    from airelays.journal.files import list_files

    files = [one for one in list_files(logs_dir) if one.hour < until_s // 3600 + 1]
    newest = files[-1].hour if files else 0
    files = [one for one in files if one.hour > newest - HOURS_LOOKED_AT]
    try:
        known = {
            entry.get("id")
            for number in numbers_in(folder)
            for entry in read_new(folder, number, 0)[0]
        }
        found = interrupted_in(files, ids, since_s, until_s)
    except OSError:
        return []  # nothing is lost but a count
    return [
        json.dumps(one, separators=(",", ":")).encode() + b"\n"
        for one in found
        if one["id"] not in known
    ]
