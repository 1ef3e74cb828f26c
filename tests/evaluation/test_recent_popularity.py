import numpy as np
import pytest

from evaluation.recent_popularity import RecentPopularity

DAY = 86_400


def test_an_event_weighs_half_after_a_week(make_store, make_event, make_requests):
    log = make_store(
        3, 2,
        interactions=[
            make_event(0, 0, 0, "cart"), make_event(0, 1, 7 * DAY, "click"), make_event(0, 2, 14 * DAY, "purchase"),
            make_event(1, 1, 7 * DAY, "click"),
        ],
    )  # fmt: skip
    ranker = RecentPopularity.fit(log, before=14 * DAY, eligible=np.ones(3, bool))
    # A cart of two weeks ago 3/4; two clicks of a week ago 2 x 1/2; the purchase is not before the moment.
    assert ranker.popularity.tolist() == pytest.approx([0.75, 1.0, 0.0])
    assert ranker.rank(make_requests("search", ["x"], [[]]), 2).tolist() == [[1, 0]]
    assert ranker.name == "recent popularity"
