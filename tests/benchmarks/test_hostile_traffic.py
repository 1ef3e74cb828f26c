"""A server's slips are seen."""

from collections import Counter

from benchmarks.hostile_traffic import Traffic


def test_unexpected_outcomes_are_named_by_kind() -> None:
    traffic = Traffic({"malformed": Counter(INTERNAL=2), "wrong types": Counter(INVALID_ARGUMENT=3, INTERNAL=1)})
    expected = {"malformed": frozenset({"INTERNAL"}), "wrong types": frozenset({"INVALID_ARGUMENT"})}
    assert traffic.unexpected(expected) == {"wrong types": {"INTERNAL": 1}}
