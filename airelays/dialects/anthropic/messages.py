"""The messages of Anthropic's API as Responses instructions and input items.

System messages in the middle stay in their place as developer items; tool results become outputs of their calls, with
their images inside; thinking comes back as the reasoning item that it was, if the upstream at hand made it.
Layer: rules.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from airelays.dialects.anthropic.blocks import document_parts, image_part, text_of_block
from airelays.dialects.anthropic.signature import (
    MAX_SIGNATURE_CHARS,
    Sealer,
    is_ours,
)
from airelays.dialects.anthropic.tools import Names
from airelays.dialects.checks import (
    fault,
    missing,
    shown,
    want_bool,
    want_list,
    want_object,
    want_text,
    wrong_type,
)
from airelays.dialects.translated import Notes

MAX_MESSAGES = 8192
MAX_BLOCKS = 4096
BILLING = "x-anthropic-billing-header:"
_ROLES = "user, assistant or system"
_USER_BLOCKS = frozenset(("text", "image", "document", "tool_result", "search_result"))
_ASSISTANT_BLOCKS = frozenset(("text", "thinking", "redacted_thinking", "tool_use"))
# What the original's own server did in an answer: there is nothing like it to replay at another upstream.
_SERVER_BLOCKS = frozenset(("fallback", "compaction", "container_upload"))
_SERVER_ENDS = ("_tool_use", "_tool_result")


class Rules(NamedTuple):
    """What a walk goes by: `strict` are the rules of the API version of October 2026.

    With `open_history` a tool result may answer a call that the request does not hold.
    """

    sealer: Sealer
    strict: bool = False
    open_history: bool = False


class MessageMap:
    """The state of one walk over `messages`. `referred` names tools that were called or referred to."""

    def __init__(self, notes: Notes, names: Names, rules: Rules) -> None:
        self.input: list[dict[str, Any]] = []
        self.referred: set[str] = set()
        self.output_config: dict[str, Any] = {}
        self._notes = notes
        self._names = names
        self._rules = rules
        self._calls: set[str] = set()

    def add_all(self, messages: Any) -> None:
        """Translate the whole `messages` array."""
        listed = want_list(messages, "messages", most=MAX_MESSAGES)
        if not listed:
            raise fault("messages", "is empty; expected at least one message")
        for at, message in enumerate(listed):
            path = f"messages[{at}]"
            self._add(want_object(message, path), path)
        if not self.input:
            raise fault("messages", "contains no text, image or file; expected at least one")

    def _add(self, message: dict[str, Any], path: str) -> None:
        role = message.get("role")
        if role is None:
            raise missing(f"{path}.role", _ROLES)
        if not isinstance(role, str):
            raise wrong_type(f"{path}.role", role, _ROLES)
        config = message.get("output_config")
        if config is not None:
            self.output_config.update(want_object(config, f"{path}.output_config"))
        where = f"{path}.content"
        blocks = blocks_of(message.get("content"), where)
        if role == "user":
            self._user(blocks, where)
        elif role == "assistant":
            self._assistant(blocks, where)
        elif role == "system":
            texts = [text_of_block(block, at) for block, at in _numbered(blocks, where)]
            self._put("developer", [_text("input_text", text) for text in texts if text])
        else:
            raise fault(f"{path}.role", f"is {shown(role)}; expected {_ROLES}")

    def _put(self, role: str, parts: list[dict[str, Any]]) -> None:
        if parts:
            self.input.append({"type": "message", "role": role, "content": parts})

    # ---- what a user says

    def _user(self, blocks: list[Any], where: str) -> None:
        parts: list[dict[str, Any]] = []
        for block, path in _numbered(blocks, where):
            kind = _kind(block, path)
            if kind == "tool_result":
                self._put("user", parts)
                parts = []
                self._result(block, path)
            elif kind in _USER_BLOCKS:
                parts += self._parts(block, kind, path)
            elif not self._drops(kind):
                raise _not_here(kind, path, "user", _USER_BLOCKS | _ASSISTANT_BLOCKS, _USER_BLOCKS)
        self._put("user", parts)

    def _parts(self, block: dict[str, Any], kind: str, path: str) -> list[dict[str, Any]]:
        if kind == "text":
            if self._rules.strict and block.get("citations"):
                raise fault(f"{path}.citations", "is not accepted in a user message; remove it")
            text = text_of_block(block, path)
            return [_text("input_text", text)] if text else []
        if kind == "image":
            return [image_part(block, path, self._notes)]
        if kind == "document":
            return document_parts(block, path, self._notes)
        return [_text("input_text", _search_result(block, path))]

    def _result(self, block: dict[str, Any], path: str) -> None:
        call_id = want_text(block.get("tool_use_id"), f"{path}.tool_use_id", "the id of a tool_use")
        if call_id not in self._calls and not self._rules.open_history:
            raise fault(
                f"{path}.tool_use_id",
                f"is {shown(call_id)}, which no earlier tool_use block has; "
                "send the assistant message with the tool_use before its tool_result",
            )
        failed = block.get("is_error")
        failed = failed is not None and want_bool(failed, f"{path}.is_error")
        parts: list[dict[str, Any]] = []
        content = block.get("content")
        inner = [] if content is None else blocks_of(content, f"{path}.content")
        for one, where in _numbered(inner, f"{path}.content"):
            kind = _kind(one, where)
            if kind == "tool_reference":
                name = want_text(one.get("tool_name"), f"{where}.tool_name")
                self.referred.add(name)
                parts.append(_text("input_text", f"The tool {self._names.short(name)} is there."))
            elif kind in _USER_BLOCKS and kind != "tool_result":
                parts += self._parts(one, kind, where)
            elif not self._drops(kind):
                raise fault(
                    f"{where}.type",
                    f"is {shown(kind)}; accepted are text, image, document, search_result, tool_reference",
                    "unsupported_value",
                )
        self.input.append(_output(call_id, parts, failed))

    # ---- what the model said

    def _assistant(self, blocks: list[Any], where: str) -> None:
        parts: list[dict[str, Any]] = []
        for block, path in _numbered(blocks, where):
            kind = _kind(block, path)
            if kind == "text":
                text = text_of_block(block, path)
                parts += [_text("output_text", text)] if text else []
                continue
            if kind == "document" and not self._rules.strict:
                self._notes.quirk("server_blocks_dropped")
                continue
            if kind not in _ASSISTANT_BLOCKS:
                if not self._drops(kind):
                    known = _USER_BLOCKS | _ASSISTANT_BLOCKS
                    raise _not_here(kind, path, "assistant", known, _ASSISTANT_BLOCKS)
                continue
            self._put("assistant", parts)
            parts = []
            if kind == "tool_use":
                self._call(block, path)
            else:
                self._thought(block, kind, path)
        self._put("assistant", parts)

    def _call(self, block: dict[str, Any], path: str) -> None:
        call_id = want_text(block.get("id"), f"{path}.id")
        name = want_text(block.get("name"), f"{path}.name")
        given = want_object(block.get("input"), f"{path}.input")
        self._calls.add(call_id)
        self.referred.add(name)
        self.input.append(
            {
                "type": "function_call",
                "call_id": call_id,
                "name": self._names.short(name),
                "arguments": json.dumps(given, ensure_ascii=False, separators=(",", ":")),
            }
        )

    def _thought(self, block: dict[str, Any], kind: str, path: str) -> None:
        text: Any = ""
        signature = block.get("data")
        if kind == "thinking":
            text, signature = block.get("thinking"), block.get("signature")
            if not isinstance(text, str):
                raise wrong_type(f"{path}.thinking", text, "a string")
        if signature is None:
            signature = ""
        if not isinstance(signature, str):
            name = "signature" if kind == "thinking" else "data"
            raise wrong_type(f"{path}.{name}", signature, "a string")
        item = self._rules.sealer.open(signature, text)
        if item is not None:
            self.input.append(item)
        elif is_ours(signature) and len(signature) > MAX_SIGNATURE_CHARS:
            self._notes.quirk("signature_too_long")
        else:
            self._notes.quirk("thinking_parts_dropped")

    def _drops(self, kind: str) -> bool:
        """Whether a block is of the original's server, and left out."""
        if kind in _SERVER_BLOCKS or kind.endswith(_SERVER_ENDS):
            self._notes.quirk("server_blocks_dropped")
            return True
        return False


def read_system(value: Any) -> str:
    """Return the text of `system`, without the billing line that differs from session to session."""
    blocks = [] if value is None else blocks_of(value, "system")
    texts = [text_of_block(block, path) for block, path in _numbered(blocks, "system")]
    if texts and texts[0].startswith(BILLING):
        del texts[0]
    return "\n\n".join(text for text in texts if text.strip())


def blocks_of(content: Any, path: str) -> list[Any]:
    """Return a `content`, a string or an array of blocks, as an array."""
    if isinstance(content, str):
        return [{"type": "text", "text": content}]
    if content is None:
        raise missing(path, "a string or an array of content blocks")
    if not isinstance(content, list):
        raise wrong_type(path, content, "a string or an array of content blocks")
    return want_list(content, path, most=MAX_BLOCKS)


def _numbered(blocks: list[Any], path: str) -> list[tuple[dict[str, Any], str]]:
    return [
        (want_object(block, where), where)
        for at, block in enumerate(blocks)
        for where in (f"{path}[{at}]",)
    ]


def _kind(block: dict[str, Any], path: str) -> str:
    return want_text(block.get("type"), f"{path}.type", 'a block type, for example "text"')


def _not_here(
    kind: str, path: str, role: str, known: frozenset[str], accepted: frozenset[str]
) -> Exception:
    listed = ", ".join(sorted(accepted))
    found = f"is {shown(kind)}"
    if kind in known:
        found += f", which the {role} does not send"
    return fault(f"{path}.type", f"{found}; accepted are {listed}", "unsupported_value")


def _output(call_id: str, parts: list[dict[str, Any]], failed: bool) -> dict[str, Any]:
    # The Responses API has no word for a tool that failed.
    if failed:
        parts = [_text("input_text", "[the tool failed]"), *parts]
    output: Any = parts
    if all(part["type"] == "input_text" and "text" in part for part in parts):
        output = "\n".join(part["text"] for part in parts)
    return {"type": "function_call_output", "call_id": call_id, "output": output}


def _search_result(block: dict[str, Any], path: str) -> str:
    inner = blocks_of(block.get("content"), f"{path}.content")
    texts = [text_of_block(one, where) for one, where in _numbered(inner, f"{path}.content")]
    heads = [block[name] for name in ("title", "source") if isinstance(block.get(name), str)]
    return "\n".join([*heads, *texts])


def _text(kind: str, text: str) -> dict[str, Any]:
    return {"type": kind, "text": text}
