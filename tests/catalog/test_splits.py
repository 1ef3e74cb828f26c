import pytest
from hypothesis import given
from hypothesis import strategies as st

from catalog.errors import ConfigError
from catalog.splits import Slices, SplitsConfig, judgments_for_training, slice_days

CONFIG = SplitsConfig(rerank_days=7, validation_days=3, test_days=2)


def test_the_last_days_are_held_out_in_order() -> None:
    # 20 days: the test has the last 2 (18, 19), validation 15..17, the reranker 8..14, the towers 0..7.
    assert slice_days(20, CONFIG) == Slices(towers=(0, 8), rerank=(8, 15), validation=(15, 18), test=(18, 20))


def test_codes_of_days() -> None:
    slices = slice_days(20, CONFIG)
    assert slices.codes([0, 7, 8, 14, 15, 17, 18, 19]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert slices.days == 20


@pytest.mark.parametrize("days", [0, 1, 12])
def test_a_log_that_is_too_short_says_what_is_needed(days: int) -> None:
    with pytest.raises(ConfigError, match=rf"has {days} day\(s\).*at least 13.*rerank_days.*lower these settings"):
        slice_days(days, CONFIG)


def test_the_shortest_log_leaves_the_towers_one_day() -> None:
    assert slice_days(13, CONFIG).towers == (0, 1)


def test_slices_must_follow_each_other() -> None:
    with pytest.raises(ValueError, match="follow each other"):
        Slices(towers=(0, 3), rerank=(4, 5), validation=(5, 6), test=(6, 7))
    with pytest.raises(ValueError, match="hold a day each"):
        Slices(towers=(0, 3), rerank=(3, 3), validation=(3, 6), test=(6, 7))


@given(st.integers(1, 30), st.integers(1, 30), st.integers(1, 30), st.integers(1, 300))
def test_every_day_lies_in_the_slice_whose_range_holds_it(rerank: int, validation: int, test: int, towers: int) -> None:
    config = SplitsConfig(rerank_days=rerank, validation_days=validation, test_days=test)
    slices = slice_days(rerank + validation + test + towers, config)
    codes = slices.codes(range(slices.days))
    for code, (start, end) in enumerate(slices.ranges):
        assert codes[start:end].tolist() == [code] * (end - start)
    assert [end - start for start, end in slices.ranges] == [towers, rerank, validation, test]


def test_seven_of_ten_judged_queries_are_for_training() -> None:
    queries = [f"query {number}" for number in range(2000)]
    mine = judgments_for_training(queries)
    assert 0.67 < mine.mean() < 0.73
    assert judgments_for_training(queries[::-1]).tolist() == mine[::-1].tolist()


def test_a_query_stays_on_its_side_however_it_is_typed() -> None:
    queries = [f"red dress {number}" for number in range(50)]
    shouted = [f" {query.upper()} " for query in queries]
    assert judgments_for_training(queries).tolist() == judgments_for_training(shouted).tolist()
