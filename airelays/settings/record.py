"""`Record`: the base of frozen values with many fields, without generated code. Layer: words.

`dataclasses` writes and compiles source text for each class: 12 ms for the settings alone, at every start of the
program. A record's defaults are plain class attributes and its values the instance's own dict, so creating its class
costs nothing. Type checkers read it as the frozen dataclass that it looks like.
"""

from __future__ import annotations

from typing import Any, ClassVar, Self, dataclass_transform


@dataclass_transform(frozen_default=True)
class Record:
    """A value: fields by annotation, in order, with or without a default; equal when class and values are.

    Making one raises TypeError for a field that is unknown, given twice or missing; changing one raises
    AttributeError. Mutable defaults are shared by all instances, so there must be none. Fields that are named
    as `hidden` do not appear in `repr`.
    """

    fields: ClassVar[dict[str, str]] = {}
    _required: ClassVar[frozenset[str]] = frozenset()
    _hidden: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, hidden: tuple[str, ...] = ()) -> None:
        # What a parent has and hides its children have and hide.
        cls._hidden += hidden
        cls.fields = {**cls.fields, **cls.__annotations__}
        cls._required = frozenset(name for name in cls.fields if not hasattr(cls, name))

    def __init__(self, *values: Any, **named: Any) -> None:
        mine = self.__dict__
        if values:
            mine.update(zip(self.fields, values, strict=False))
        mine.update(named)
        known = self._required <= mine.keys() <= self.fields.keys()
        if not known or len(mine) != len(values) + len(named):
            raise TypeError(
                f"{type(self).__name__} takes {', '.join(self.fields)}, each once; "
                f"{', '.join(sorted(self._required)) or 'none'} must be given"
            )
        self._complete()

    def _complete(self) -> None:
        """Derive values from others, into `self.__dict__`; there are none here."""

    def replace(self, **changes: Any) -> Self:
        """Return a copy with `changes`."""
        return type(self)(**{**self.__dict__, **changes})

    def as_dict(self) -> dict[str, Any]:
        """Return all values by name; records among them become dicts too."""
        return {name: _plain(getattr(self, name)) for name in self.fields}

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; {name} cannot be set")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__} is frozen; {name} cannot be deleted")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash(self._values())

    def __repr__(self) -> str:
        shown = ", ".join(
            f"{name}={getattr(self, name)!r}" for name in self.fields if name not in self._hidden
        )
        return f"{type(self).__name__}({shown})"

    def _values(self) -> tuple[object, ...]:
        return tuple(getattr(self, name) for name in self.fields)


def _plain(value: object) -> object:
    if isinstance(value, Record):
        return value.as_dict()
    return tuple(map(_plain, value)) if isinstance(value, tuple) else value
