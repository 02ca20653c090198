"""The base of frozen values: what it takes, what it refuses, how it compares."""

from __future__ import annotations

import pytest

from airelays.settings.record import Record


class Point(Record):
    """A point with a default."""

    x: int
    y: int = 0

    @property
    def length(self) -> int:
        """The sum of both."""
        return self.x + self.y


class Line(Record):
    """Records in a record."""

    ends: tuple[Point, ...]


class Doubled(Record):
    """Derives one value from another."""

    one: int
    two: int = 0

    def _complete(self) -> None:
        self.__dict__["two"] = self.two or 2 * self.one


def test_values_come_by_position_by_name_and_by_default() -> None:
    assert (Point(1).y, Point(1, 2).y, Point(x=1, y=2).length) == (0, 2, 3)


@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), ((), {"y": 1}), ((1, 2, 3), {}), ((1,), {"x": 2}), ((1,), {"z": 2})],
    ids=["nothing", "one missing", "one too many", "twice", "unknown"],
)
def test_wrong_fields_are_refused(values: tuple[int, ...], named: dict[str, int]) -> None:
    with pytest.raises(TypeError, match=r"^Point "):
        Point(*values, **named)


def test_a_record_cannot_be_changed() -> None:
    point = Point(1)
    with pytest.raises(AttributeError, match=r"^Point is frozen; y cannot be set$"):
        point.y = 3  # type: ignore[misc]  # what is tried here
    with pytest.raises(AttributeError, match=r"^Point is frozen; x cannot be deleted$"):
        del point.x
    assert point == Point(1, 0)


def test_records_are_equal_by_class_and_values() -> None:
    assert Point(1) == Point(1, 0)
    assert hash(Point(1)) == hash(Point(1, 0))
    assert Point(1) != Point(2)
    assert Point(1) != Doubled(1, 0)


def test_a_copy_differs_where_it_was_told_to() -> None:
    assert Point(1, 2).replace(y=5) == Point(1, 5)
    with pytest.raises(TypeError):
        Point(1).replace(z=5)


def test_a_record_shows_its_fields_in_order() -> None:
    assert repr(Point(y=2, x=1)) == "Point(x=1, y=2)"
    assert Line((Point(1),)).as_dict() == {"ends": ({"x": 1, "y": 0},)}


class Kept(Record, hidden=("secret",)):
    """Has a field that nobody may read in a log."""

    name: str
    secret: str = ""


def test_hidden_fields_are_not_shown() -> None:
    assert repr(Kept("n", "s3cret")) == "Kept(name='n')"
    assert Kept("n", "s3cret").secret == "s3cret"


class Child(Kept):
    """Adds a field to what it inherits."""

    more: int = 0


def test_a_child_has_and_hides_what_its_parent_does() -> None:
    assert repr(Child("n", "s3cret", 1)) == "Child(name='n', more=1)"
    with pytest.raises(TypeError, match=r"^Child takes name, secret, more, each once; name must"):
        Child(more=1)  # type: ignore[call-arg]  # what is tried here


def test_derived_values_are_there_from_the_start() -> None:
    assert (Doubled(2).two, Doubled(2, 7).two) == (4, 7)
