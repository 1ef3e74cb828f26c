import numpy as np
import pyarrow as pa
import pytest

from evaluation.judged_lists import JUDGED, score_judged

IDS = [f"p{row}" for row in range(6)]
# Of "red" products 0, 1 and 2 were judged, the last as wrong; of "blue" nothing that is right.
JUDGMENTS = pa.table(
    {
        "query": ["red", "Red ", "red", "blue"],
        "product_id": ["p0", "p1", "p2", "p0"],
        "grade": np.array([3, 1, 0, 0], np.float32),
    }
)


def scored(make_requests, rows, queries=("red",)):
    ranked = np.tile(np.array(rows, np.int32), (len(queries), 1))
    requests = make_requests("search", queries, [[]] * len(queries))
    return score_judged({"ours": ranked}, requests, JUDGMENTS, IDS, np.ones(6, bool))


def test_what_nobody_judged_does_not_change_a_score(make_requests):
    plain = scored(make_requests, [1, 0, 2, -1, -1, -1])
    among_others = scored(make_requests, [5, 1, 3, 0, 4, 2])
    # Gains 2^1 - 1 and 2^3 - 1 at places 1 and 2; the best order has them the other way round.
    ndcg = (1 + 7 / np.log2(3)) / (7 + 1 / np.log2(3))
    for scores in (plain, among_others):
        assert scores.metric("ours", "ndcg@10")[0] == pytest.approx(ndcg)
        assert scores.metric("ours", "recall@100")[0] == 1
        assert scores.metric("ours", JUDGED)[0] == pytest.approx(0.3)


def test_a_product_judged_as_wrong_stays_and_costs_its_place(make_requests):
    scores = scored(make_requests, [2, 0, 4, 1, 3, 5])
    ndcg = (7 / np.log2(3) + 1 / np.log2(4)) / (7 + 1 / np.log2(3))
    assert scores.metric("ours", "ndcg@10")[0] == pytest.approx(ndcg)


def test_queries_without_a_right_answer_have_no_value(make_requests):
    scores = scored(make_requests, [0, 1, 2, 3, 4, 5], ("red", "blue", "green"))
    for metric in ("ndcg@10", JUDGED):
        assert np.isfinite(scores.metric("ours", metric)).tolist() == [True, False, False]
    assert scores.coverage == {}  # of condensed lists it would say nothing
    assert scored(make_requests, [0, 1, 2, 3, 4, 5], ("blue", "green")) is None
