"""upstream.compatible.recall: the reasoning of calls, for an hour and in bounds."""

from __future__ import annotations

from airelays.upstream.compatible.recall import MAX_BYTES, REMEMBERED_S, Recall


def test_it_is_remembered_for_an_hour() -> None:
    recall = Recall()
    recall.keep({"a": "hm", "b": "hm"}, 10.0)
    assert REMEMBERED_S == 3600
    for now_s, text in ((10.0, "hm"), (10 + REMEMBERED_S - 1, "hm"), (10 + REMEMBERED_S, "")):
        assert recall.of("a", now_s) == text
    assert recall.of("x", 10.0) == ""
    recall.keep({"c": "hm"}, 10 + REMEMBERED_S)
    assert recall.size_bytes < 500, "what is too old takes no memory"


def test_it_is_bounded_in_all_and_forgets_the_oldest() -> None:
    recall = Recall()
    for number in range(40):
        recall.keep({f"c{number}": "x" * 1024 * 1024}, float(number))
        assert recall.size_bytes <= MAX_BYTES
    assert recall.of("c0", 40.0) == "" and recall.of("c39", 40.0)
    recall.keep({"large": "\u00e9" * MAX_BYTES}, 41.0)
    assert recall.size_bytes == 0 and recall.of("large", 41.0) == ""


def test_the_same_call_again_replaces() -> None:
    recall = Recall()
    recall.keep({"a": "one"}, 0.0)
    size = recall.size_bytes
    recall.keep({"a": "two"}, 1.0)
    assert (recall.of("a", 2.0), recall.size_bytes) == ("two", size)
