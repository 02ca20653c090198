"""`GET /v1/models`: one body that OpenAI clients, JetBrains and the Codex CLI all read, made once for each catalogue.

OpenAI clients read `data`, JetBrains requires it, the Codex CLI reads `models` as the upstream wrote it. A catalogue
can be of any size; the list is bounded: what is left out is counted, and can still be used by its id.

Owns: what is listed, and the bounds. Refuses to know: where catalogues come from. Layer: rules.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from airelays.dialects.models import Entry, Index, drawing, record, unknown
from airelays.errors import ClientFault
from airelays.protocol.jsonio import dumps

# OpenRouter lists some 400 models; 5,000 make a body of 4 MB, which a client still reads.
MAX_LISTED = 5000
MAX_ID_CHARS = 256


class Source(NamedTuple):
    """The catalogue of one upstream. Its ids are shown with `prefix` in front."""

    upstream: str
    catalogue: Sequence[Entry]
    prefix: str = ""


class _Line(NamedTuple):
    """One model as it is listed; `found` is how: from a catalogue, or from the settings."""

    model: str
    entry: Entry | None
    found: str
    resolved: str
    upstream: str

    @property
    def is_catalogued(self) -> bool:
        """Whether an upstream lists it, not only the settings."""
        return self.found == "upstream_catalog"

    def record(self) -> dict[str, Any]:
        owner = f"airelays-{self.upstream}"
        if self.found == "images_api":
            return drawing(self.model, upstream=self.upstream, owned_by=owner)
        return record(
            self.model,
            self.entry,
            source=self.found,
            resolved=self.resolved,
            upstream=self.upstream,
            owned_by=owner,
        )


_NOTHING = _Line("", None, "", "", "")


class Listing:
    """The models of `sources`, the main upstream's first, then those of the settings, then the others'.

    `body` is the answer to GET /v1/models. `left_out` is how many models it does not have: beyond MAX_LISTED, with
    an id of more than MAX_ID_CHARS, or with an entry that JSON cannot carry. Entries without a slug do not count, nor
    does a repeated id. The settings' `extra` ids, `images` (which only draw) and `aliases` (alias -> id) have their
    place before any catalogue.
    """

    __slots__ = ("_lines", "body", "left_out")

    def __init__(
        self,
        sources: Sequence[Source],
        *,
        aliases: Mapping[str, str] | None = None,
        extra: Iterable[str] = (),
        images: Iterable[str] = (),
    ) -> None:
        main, *others = sources
        known = Index(main.catalogue)
        self._lines: dict[str, _Line] = {}
        for line in (
            *_catalogued(main, known),
            *_configured(main.upstream, known, extra, images, aliases or {}),
            *(line for other in others for line in _catalogued(other, Index(other.catalogue))),
        ):
            self._lines.setdefault(line.model.casefold(), line)
        data: list[bytes] = []
        entries: list[bytes] = []
        for line in self._listed():
            try:
                shown, entry = dumps(line.record()), dumps(line.entry)
            except ClientFault:
                continue
            data.append(shown)
            if line.entry is not None and line.upstream == main.upstream and line.is_catalogued:
                entries.append(entry)
        self.left_out = len(self._lines) - len(data)
        more = b',"airelays":{"models_left_out":%d}' % self.left_out if self.left_out else b""
        self.body = b'{"object":"list","data":[%s],"models":[%s]%s}' % (
            b",".join(data),
            b",".join(entries),
            more,
        )

    def model(self, model: str) -> dict[str, Any]:
        """Return one model as it is listed, or would be. Raises ClientFault 404 that names the nearest ids."""
        line = self._lines.get(model.casefold())
        if line is None:
            raise unknown(model, (one.model for one in self._lines.values()))
        return line.record()

    def first(self) -> str:
        """Return the id that comes first, "" when there is none."""
        return next(self._listed(), _NOTHING).model

    def has(self, model: str) -> bool:
        """Whether a model is listed under just this name."""
        return model.casefold() in self._lines

    def records(self) -> list[dict[str, Any]]:
        """Return what is listed, one record a model."""
        return [line.record() for line in self._listed()]

    def _listed(self) -> Iterator[_Line]:
        short = [line for line in self._lines.values() if len(line.model) <= MAX_ID_CHARS]
        room = MAX_LISTED - sum(not line.is_catalogued for line in short)
        for line in islice(
            (line for line in short if room > 0 or not line.is_catalogued), MAX_LISTED
        ):
            room -= line.is_catalogued
            yield line


def _catalogued(source: Source, known: Index) -> Iterator[_Line]:
    for slug, entry in known.values():
        shown = source.prefix + slug
        yield _Line(shown, entry, "upstream_catalog", shown, source.upstream)


def _configured(
    upstream: str,
    known: Index,
    extra: Iterable[str],
    images: Iterable[str],
    aliases: Mapping[str, str],
) -> Iterator[_Line]:
    for model in extra:
        yield _Line(model, None, "configured", model, upstream)
    for model in images:
        yield _Line(model, None, "images_api", model, upstream)
    for alias, target in aliases.items():
        slug, entry = known.get(target.casefold(), (target, None))
        yield _Line(alias, entry, "alias", slug, upstream)
