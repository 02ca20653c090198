"""The parameters of the text APIs, in one table, and what an upstream takes of them.

A request map loses nothing: it reads what it maps, and `fit` lets the table and the upstream decide on the rest.
Decided from an allow-list, never a deny-list. A parameter that the upstream does not take is left out and named,
unless the client would then get another answer than it asked for: such a request is refused. Layer: rules.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from airelays.dialects.checks import asks, fault, shown
from airelays.dialects.translated import Notes

# The columns are the client's API, and a server that speaks chat only, to which a Responses request is translated.
#   read   the map makes something of it
#   own    a matter of the relay itself: it is not sent, and needs no word
#   pass   sent to an upstream that takes it, else left out and named
#   help   the same without a word: the relay does it itself
#   name   left out and named: the translated answer has no place for what it asks
#   must   sent to an upstream that takes it, else refused
#   never  refused
#   chat   refused: it belongs to the chat API
# What is not in the table is `pass`. The order is that in which names are told.
_TABLE = """
                       chat   responses completions server
model                  read   read      read        read
messages               read   chat      pass        pass
input                  pass   read      pass        read
prompt                 pass   never     read        pass
instructions           read   read      read        read
tools                  read   read      never       read
tool_choice            read   read      pass        read
functions              read   chat      never       pass
function_call          read   chat      pass        pass
parallel_tool_calls    read   read      pass        read
response_format        read   chat      pass        pass
text                   pass   read      pass        read
verbosity              read   read      pass        pass
reasoning              read   read      read        read
reasoning_effort       read   read      read        pass
include                read   read      pass        own
max_completion_tokens  read   read      read        pass
max_tokens             read   read      read        pass
max_output_tokens      read   read      read        read
service_tier           read   read      read        pass
prompt_cache_key       read   read      read        own
client_metadata        read   read      read        own
conversation           own    own       own         own
previous_response_id   own    own       own         own
store                  own    own       own         own
stream                 own    own       own         own
n                      own    pass      own         pass
best_of                own    pass      own         pass
modalities             own    pass      pass        pass
stop                   help   never     help        pass
temperature            pass   pass      pass        pass
top_p                  pass   pass      pass        pass
presence_penalty       pass   pass      pass        pass
frequency_penalty      pass   pass      pass        pass
user                   pass   pass      pass        pass
safety_identifier      pass   pass      pass        pass
seed                   pass   pass      pass        pass
stream_options         name   name      name        name
logprobs               name   never     never       pass
top_logprobs           name   never     never       pass
logit_bias             must   must      must        pass
background             pass   never     pass        name
audio                  never  never     pass        pass
prediction             never  never     pass        pass
web_search_options     read   pass      pass        pass
moderation             never  pass      pass        pass
echo                   never  pass      never       pass
suffix                 never  pass      never       pass
truncation             pass   pass      pass        name
max_tool_calls         pass   pass      pass        name
"""


def _read_table(text: str) -> tuple[dict[str, dict[str, str]], dict[str, int]]:
    """Return (API -> name -> what happens, name -> its place in the order)."""
    first, *lines = (line.split() for line in text.strip("\n").split("\n"))
    columns: dict[str, dict[str, str]] = {api: {} for api in first}
    for name, *words in lines:
        for api, word in zip(first, words, strict=True):
            columns[api][name] = word
    return columns, {words[0]: at for at, words in enumerate(lines)}


COLUMNS, _ORDER = _read_table(_TABLE)
_LAST = len(_ORDER)
# Nothing is to be done any more about these.
_READ = frozenset({"read", "own", "never", "chat"})
_WHY = {
    "chat": "is a parameter of /v1/chat/completions; use its equivalent in the Responses API",
    "must": "the upstream cannot honor; remove it",
    "never": "cannot be honored on this route; remove it",
}


# SDKs send it empty without asking for anything.
_MAY_BE_EMPTY = ("logit_bias",)


class Takes(NamedTuple):
    """What an upstream takes of a Responses request: one value per upstream, refined per model and by refusals.

    `parameters` are the names that it takes, None for whatever it is sent; `refused` those that it was found to
    refuse. It refuses output limits below `least_output_tokens`. `hosted` are the tools that it runs itself.
    """

    parameters: frozenset[str] | None = None
    refused: frozenset[str] = frozenset()
    least_output_tokens: int = 1
    hosted: frozenset[str] = frozenset()

    def has(self, name: str) -> bool:
        """Whether the parameter `name` can be sent."""
        return name not in self.refused and (self.parameters is None or name in self.parameters)


def refuse_first(body: dict[str, Any], api: str, takes: Takes) -> None:
    """Refuse the first parameter of `body` that asks for what cannot be had. Raises ClientFault."""
    column = COLUMNS[api]
    for name, value in body.items():
        what = column.get(name, "pass")
        if what not in _WHY or (what == "must" and takes.has(name)):
            continue
        # `logprobs: 0` of the completions API asks for the chosen token's own probability.
        counts = name == "logprobs" and value is not None and value is not False
        if counts or asks(value) or (value == {} and name not in _MAY_BE_EMPTY):
            found = "" if what == "chat" else f"is {shown(value)}, which "
            raise fault(name, found + _WHY[what], "unsupported_parameter")


def fit(
    body: dict[str, Any],
    made: dict[str, Any],
    notes: Notes,
    *,
    api: str,
    takes: Takes,
    own: tuple[str, ...] = (),
) -> None:
    """Complete `made`, which a map of `api` made of the client's `body`, by what the upstream takes.

    `own` are further names that the relay deals with itself. What is left out is named first in `notes.ignored`.
    """
    column, left, has = COLUMNS[api], [], takes.has
    for name, value in body.items():
        what = column.get(name, "pass")
        if what in _READ or name in own:
            continue
        if what == "name":
            if asks(value):
                left.append(name)
        elif name not in made and has(name):
            made[name] = value
        elif what == "pass":
            left.append(name)
    taken = takes.parameters
    if taken is not None and (takes.refused or not made.keys() <= taken):
        for name in [name for name in made if name not in _ALWAYS and not has(name)]:
            del made[name]
            left.append(name)
    if left:
        left.sort(key=lambda name: (_ORDER.get(name, _LAST), name))
        notes.ignored[:0] = dict.fromkeys(left)


# Without these there is no request.
_ALWAYS = frozenset({"model", "input", "instructions", "stream", "store"})
