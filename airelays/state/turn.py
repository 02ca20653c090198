"""State around one request: history joined in, files filled in, the turn stored once the answer has succeeded.

A request that names a conversation waits until the turn before it in that conversation has ended. What cannot be
stored is not passed off as stored: the client then gets the error instead of the answer's end. Requests that use no
state never come here. Layer: I/O.
"""

from __future__ import annotations

import asyncio
import copy
import json
import os
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from airelays.dialects.checks import fault
from airelays.dialects.reply import message_texts
from airelays.dialects.responses.items import fill_references, input_items
from airelays.dialects.stream.stop import cut
from airelays.dialects.translated import FileRef, Notes, Translated
from airelays.errors import ClientFault
from airelays.protocol.jsonio import dumps
from airelays.state.owners import row_of
from airelays.state.recent import Answered, Makers, Recent, output_items

if TYPE_CHECKING:
    from airelays.settings.values import Settings
    from airelays.state.conversations import Item
    from airelays.state.database import State
    from airelays.state.thread import Store

Items = list[dict[str, Any]]

# Beyond this, copying and parsing a history is done in a thread.
OFF_LOOP_ITEMS_BYTES = 256 * 1024


class Turns:
    """What the requests of one relay share: the recent answers, one lock a conversation in use."""

    def __init__(self) -> None:
        self.recent = Recent()
        self.makers = Makers()
        self._locks: dict[str, tuple[asyncio.Lock, int]] = {}

    async def acquire(self, conversation: str) -> None:
        """Wait until no other turn of this conversation runs."""
        lock, users = self._locks.get(conversation, (None, 0))
        lock = lock or asyncio.Lock()
        self._locks[conversation] = (lock, users + 1)
        try:
            await lock.acquire()
        except BaseException:
            self._leave(conversation)
            raise

    def release(self, conversation: str) -> None:
        """Let the next turn go."""
        self._locks[conversation][0].release()
        self._leave(conversation)

    def keeper(self, asked: Any, owner: str) -> Callable[[dict[str, Any], int], None]:
        """Return what remembers the answer to the input `asked` of a request of `owner` that uses no state.

        It is given the answer and its size in bytes.
        """

        def keep(response: dict[str, Any], size: int) -> None:
            items = asked if isinstance(asked, list) else input_items(asked, Notes())
            size += sum(map(_weight, items))
            self.recent.keep(Answered(response, items, size, owner=owner))

        return keep

    def _leave(self, conversation: str) -> None:
        lock, users = self._locks[conversation]
        if users == 1:
            del self._locks[conversation]
        else:
            self._locks[conversation] = (lock, users - 1)


class Turn:
    """One stateful request, from `begin` to `close`. `quirks` names what had to be left out."""

    def __init__(
        self,
        store: Store,
        turns: Turns,
        settings: Settings,
        translated: Translated,
        *,
        keep: bool,
        owner: str,
    ) -> None:
        """`owner` is whose the request is: it sees that one's objects, and what is stored is that one's."""
        self.owner = owner
        self.store, self._turns, self._settings = store, turns, settings
        self.translated = translated
        self.conversation = translated.conversation
        self.parent = translated.previous_response_id
        self.quirks: tuple[str, ...] = ()
        self._keep = keep and settings.store_responses
        self._asked: Items = []
        self._history: Items = []
        self._known: set[str] = set()
        self._history_bytes = 0
        self._holds = False

    @property
    def extra(self) -> dict[str, Any]:
        """What the Responses object says of the relay's state, beside what the upstream said."""
        found: dict[str, Any] = {}
        if self.translated.store:
            found["store"] = True
        if self.translated.metadata is not None:
            found["metadata"] = self.translated.metadata
        if self.conversation is not None:
            found["conversation"] = {"id": self.conversation}
        if self.parent is not None:
            found["previous_response_id"] = self.parent
        return found

    async def begin(self) -> None:
        """Join everything into the request's `input`. Raises ClientFault, RelayError."""
        if self.translated.store and not self._settings.store_responses:
            raise fault(
                "store",
                "is true, but this relay does not store answers (storage.store_responses is off); remove it",
                "unsupported_parameter",
            )
        body = self.translated.body
        asked = body.get("input")
        if not isinstance(asked, list):
            return
        refs = list(self.translated.file_refs)
        # What is stored names the files; the bytes go into the request only.
        self._asked = copy.deepcopy(asked) if refs else list(asked)
        if self.conversation is not None:
            await self._join_conversation(self.conversation)
        elif self.parent is not None:
            await self._join_answer(self.parent)
        if self.translated.item_refs:
            asked = await self._resolve(asked)
            self._asked = copy.deepcopy(asked) if refs else list(asked)
        before, earlier = await self._replayed()
        refs += earlier
        body["input"] = before + asked
        if refs:
            await fill_files(self.store, refs, self._settings.max_json_body_bytes, self.owner)

    async def _replayed(self) -> tuple[Items, list[FileRef]]:
        """Return the history as the upstream takes it, and the files that it names."""
        notes = Notes()
        if self._history_bytes > OFF_LOOP_ITEMS_BYTES:
            items = await asyncio.to_thread(input_items, self._history, notes)
        else:
            items = input_items(self._history, notes)
        place = "conversation" if self.conversation is not None else "previous_response_id"
        refs = [FileRef(ref.file_id, ref.kind, place, ref.part) for ref in notes.file_refs]
        return [_bare(item) for item in items], refs

    async def _join_conversation(self, wanted: str) -> None:
        from airelays.state import conversations

        await self._turns.acquire(wanted)
        self._holds = True
        store, settings = self.store, self._settings
        found = await store.run(conversations.find, wanted, self.owner)
        if found is None:
            raise no_conversation(wanted, "conversation")
        if found.item_count + len(self._asked) > settings.max_conversation_items:
            raise _too_large(
                f"{found.item_count + len(self._asked):,} items",
                f"{settings.max_conversation_items:,} (storage.max_conversation_items)",
            )
        size = found.item_bytes + await _size_of(self._asked)
        if size > settings.max_conversation_bytes:
            raise _too_large(
                f"{size:,} bytes",
                f"{settings.max_conversation_bytes:,} (storage.max_conversation_bytes)",
            )
        self._history_bytes = found.item_bytes
        texts = await store.run(conversations.items, wanted)
        self._history = await _parsed(texts, found.item_bytes)
        self._known = {item["id"] for item in self._history if isinstance(item.get("id"), str)}

    async def _join_answer(self, wanted: str) -> None:
        recent = self._turns.recent
        found = recent.find(wanted, self.owner)
        if found is not None:
            _refuse_in_conversation(wanted, found.conversation)
            self._history = recent.history(found)
            self._history_bytes = sum(map(_weight, self._history))
            return
        from airelays.state import conversations

        chain = await self.store.run(conversations.chain, wanted, self.owner)
        if chain is None:
            raise no_response(wanted, "previous_response_id")
        _refuse_in_conversation(wanted, chain[-1].conversation_id)
        texts = [t for one in chain for t in (one.history, one.input, one.body)]
        self._history_bytes = sum(map(len, texts))
        for at, value in enumerate(await _parsed(texts, self._history_bytes)):
            self._history += output_items(value) if at % 3 == 2 else value  # type: ignore[arg-type]  # arrays

    async def _resolve(self, asked: Items) -> Items:
        """Replace item references by what they name; those that name nothing are left out, and that is said."""
        wanted = set(self.translated.item_refs)
        found = self._turns.recent.items(wanted, self.owner)
        found.update({i["id"]: i for i in self._history if i.get("id") in wanted})
        if wanted - found.keys():
            self.quirks = ("item_reference_dropped",)
        # In a conversation the item is there already; anywhere else it has to come along.
        present = {i.get("id") for i in self._history}
        notes = Notes()
        useful = {
            key: made[0]
            for key, item in found.items()
            if key not in present
            and (made := [_bare(i) for i in input_items([copy.deepcopy(item)], notes)])
        }
        return fill_references(asked, useful)

    async def commit(self, response: dict[str, Any], size: int) -> None:
        """Store the turn; `response` is the finished Responses object. Raises RelayError when it cannot be."""
        from airelays.state import conversations

        response.update(self.extra)
        said = _until_stop(output_items(response), self.translated.options.stop)
        store = self.store
        if self.conversation is not None:
            more = with_ids([*self._asked, *said], self._known)
            latest = response.get("id") if isinstance(response.get("id"), str) else None
            there = await store.run(
                conversations.add_items, self.conversation, more, time.time(), latest
            )
            if not there:
                raise no_conversation(self.conversation, "conversation")
        if self.translated.store:
            await self._store(response)
        if self._keep or self.translated.store:
            self._remember(response, size)

    def _remember(self, response: dict[str, Any], size: int) -> None:
        recent = self._turns.recent
        parent = recent.row(self.parent, self.owner) if self.parent else None
        history = [] if parent or self.conversation is not None else self._history
        cost = size + sum(map(_weight, self._asked)) + sum(map(_weight, history))
        asked, conversation = self._asked, self.conversation
        recent.keep(Answered(response, asked, cost, parent, history, conversation, self.owner))

    async def _store(self, response: dict[str, Any]) -> None:
        from airelays.state import conversations

        settings, now = self._settings, int(time.time())

        def keep(state: State) -> None:
            conversations.forget_old(state, now - settings.responses_retention_days * 86_400)
            history, before = self._history, None
            if self.parent is not None:
                before = conversations.find_answer(state, self.parent, self.owner)
            if before is not None:
                history = []
            kept = conversations.Kept(
                row_of(self.owner, str(response.get("id"))),
                now,
                None if before is None else before.id,
                self.conversation,
                dumps(response).decode(),
                dumps(self._asked).decode(),
                dumps([] if self.conversation is not None else history).decode(),
            )
            conversations.keep_answer(state, kept, most=settings.max_responses)

        await self.store.run(keep)

    def close(self) -> None:
        """Let the next turn of the conversation go."""
        if self._holds and self.conversation is not None:
            self._holds = False
            self._turns.release(self.conversation)


def _until_stop(said: Items, stop: tuple[str, ...]) -> Items:
    """Return what the client was given of an answer that met a stop sequence."""
    if not stop:
        return said
    made: Items = []
    for item in said:
        text, hit = cut(message_texts(item)[0] if item.get("type") == "message" else "", stop)
        if hit:
            part = {"type": "output_text", "text": text, "annotations": []}
            return [*made, {**item, "content": [part]}] if text else made
        made.append(item)
    return made


def _refuse_in_conversation(wanted: str, conversation: str | None) -> None:
    if conversation is not None:
        raise fault(
            "previous_response_id",
            f"is {wanted[:80]}, which belongs to conversation {conversation}; send conversation instead",
        )


async def fill_files(store: Store, refs: Iterable[FileRef], max_bytes: int, viewer: str) -> None:
    """Put the files that `refs` name into their parts. Raises ClientFault 400 for one that cannot be used.

    Those that `viewer` may not see are not there for it.
    """
    from airelays.dialects.stream.inlining import check_size, fill
    from airelays.state import files
    from airelays.state.quota import is_file_id

    total = 0
    for ref in refs:
        row = None
        if is_file_id(ref.file_id):
            row = await store.run(files.find, ref.file_id, time.time(), viewer)
        if row is None:
            raise fault(ref.path, f"names a file that does not exist: {ref.file_id[:80]}")
        check_size(ref, row.bytes)
        total += row.bytes
        if total > max_bytes:
            raise ClientFault(
                f"the files of this request have more than {max_bytes:,} bytes "
                "together (server.max_json_body_bytes); name fewer",
                status=413,
                param=ref.path,
                code="request_too_large",
            )
        data = await store.run(files.read, row)
        if data is None:
            raise fault(ref.path, f"names a file whose content is gone: {ref.file_id}")
        made = await asyncio.to_thread(fill, ref, data, row.filename, row.content_type)
        del ref.part["file_id"]
        ref.part.update(made)


def with_ids(items: Items, known: set[str]) -> list[Item]:
    """Return items as they are stored: each with an id of its own among `known`, messages with a status."""
    from airelays.state.conversations import Item

    made, taken = [], set(known)
    for item in items:
        found = item.get("id")
        if not isinstance(found, str) or not 0 < len(found) <= 128 or found in taken:
            found = _id_for(item)
        taken.add(found)
        whole = {"id": found, **{k: v for k, v in item.items() if k != "id"}}
        if whole.get("type") == "message":
            whole.setdefault("status", "completed")
        made.append(Item(found, dumps(whole).decode()))
    return made


_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


def _id_for(item: dict[str, Any]) -> str:
    prefix = _PREFIXES.get(str(item.get("type", "message")), "item")
    return f"{prefix}_{os.urandom(16).hex()}"


def _bare(item: dict[str, Any]) -> dict[str, Any]:
    """Return a replayed item without its id: the upstream stores nothing that it could name."""
    return {key: value for key, value in item.items() if key != "id"}


def _weight(item: dict[str, Any]) -> int:
    """Return about how many bytes an item holds; strings are what counts."""
    total, rest = 64, [*item.values()]
    while rest:
        value = rest.pop()
        if isinstance(value, str):
            total += len(value) + 16
        elif isinstance(value, dict):
            rest += value.values()
        elif isinstance(value, list):
            rest += value
        else:
            total += 8
    return total


async def _size_of(items: Items) -> int:
    if sum(_weight(item) for item in items) > OFF_LOOP_ITEMS_BYTES:
        return len(await asyncio.to_thread(dumps, items))
    return len(dumps(items))


async def _parsed(texts: list[str], size: int) -> Items:
    if size > OFF_LOOP_ITEMS_BYTES:
        return await asyncio.to_thread(lambda: [json.loads(text) for text in texts])
    return [json.loads(text) for text in texts]


def _too_large(have: str, most: str) -> ClientFault:
    return ClientFault(
        f"with this turn the conversation has {have}; at most {most} are accepted; start a new one",
        param="conversation",
        code="conversation_too_large",
    )


def no_conversation(wanted: str, param: str | None = None) -> ClientFault:
    """Return the 404 for an id that names no conversation."""
    return ClientFault(
        f"there is no conversation {wanted[:80]}",
        status=404,
        param=param,
        code="conversation_not_found",
    )


def no_response(wanted: str, param: str | None = None) -> ClientFault:
    """Return the 404 for an id that names no answer that is still kept."""
    return ClientFault(
        f"the answer {wanted[:80]} is not stored here (any more); send the whole history, or send store: "
        "true to keep answers",
        status=404,
        param=param,
        code="previous_response_not_found" if param else "response_not_found",
    )
