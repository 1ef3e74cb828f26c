import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.requests import candidates_only
from evaluation.truth_scores import ORACLE, grades_of, score_against_truth


class SmallTruth:
    """Four products; every shopper clicks on 0 most, then 1, 2, 3; the query's grades are 0, 3, 2, 1."""

    product_ids = np.array(["p0", "p1", "p2", "p3"], object)
    examination = np.array([1.0, 0.5, 0.25], np.float32)

    def relevance(self, queries):
        return np.tile(np.array([0, 3, 2, 1], np.uint8), (len(queries), 1))

    def appeal(self, user_ids, session_ids, queries):
        return np.tile(np.array([0.8, 0.4, 0.2, 0.1], np.float32), (len(queries), 1))

    def conversion(self, user_ids):
        return np.tile(np.array([0.5, 0.5, 1.0, 0.0], np.float32), (len(user_ids), 1))


EVERYTHING = np.ones(4, bool)


def test_search_by_hand(make_requests):
    rows = {"ours": np.array([[2, 1, -1]], np.int32)}
    scored = score_against_truth(SmallTruth(), make_requests("search", ["q"], [[]]), rows, EVERYTHING, depth=4)
    values = {name: column[0] for name, column in scored.scores.values["ours"].items()}
    second, third = 1 / np.log2(3), 1 / 2
    assert values["ndcg@10"] == pytest.approx((3 + 7 * second) / (7 + 3 * second + 1 * third))
    best = 0.8 + 0.4 * second + 0.2 * third + 0.1 / np.log2(5)
    assert values["appeal_ndcg@10"] == pytest.approx((0.2 + 0.4 * second) / best)
    assert values["recall@100"] == pytest.approx(2 / 3)  # wanted: the three with a grade
    assert values["grade3_recall@100"] == 1
    clicks, purchases = 0.2 + 0.5 * 0.4, 0.2 * 1.0 + 0.5 * 0.4 * 0.5
    assert values["ctr@10"] == pytest.approx(clicks / 10)
    assert values["purchases@10"] == pytest.approx(purchases / 10)
    assert values["cvr@10"] == pytest.approx(purchases / clicks)
    # Product 0 appeals most, but the query does not mean it.
    assert scored.oracle.tolist() == [[1, 2, 3, 0]]
    assert scored.wanted[0, :5].tolist() == [1, 2, 3, -1, -1]
    assert scored.wanted_grades[0, :5].tolist() == [3, 2, 1, 0, 0]
    assert scored.scores.metric(ORACLE, "recall@100")[0] == 1


def test_a_recommendation_leaves_out_what_the_user_has_seen(make_requests):
    requests = make_requests("recommendation", [""], [[0]])
    rows = {"ours": np.array([[1, 2, 3]], np.int32)}
    scored = score_against_truth(SmallTruth(), requests, rows, EVERYTHING, depth=4)
    assert scored.oracle.tolist() == [[1, 2, 3, -1]]
    assert "ndcg@10" not in scored.scores.values["ours"]
    for metric, column in scored.scores.values["ours"].items():
        assert column[0] == pytest.approx(scored.scores.metric(ORACLE, metric)[0])


def test_what_is_not_in_the_index_is_neither_wanted_nor_found(make_requests):
    eligible = np.array([True, False, True, True])
    requests = make_requests("search", ["q"], [[]])
    rows = {"ours": candidates_only(np.array([[1, 2, 3]], np.int32), requests, eligible)}
    scored = score_against_truth(SmallTruth(), requests, rows, eligible, depth=4)
    assert scored.oracle.tolist() == [[2, 3, 0, -1]]
    assert scored.scores.metric("ours", "recall@100")[0] == 1
    assert scored.scores.metric("ours", "ndcg@10")[0] == pytest.approx(1)
    assert np.isnan(scored.scores.metric("ours", "grade3_recall@100")[0])


def test_an_empty_answer_earns_nothing(make_requests):
    rows = {"silent": np.full((1, 5), -1, np.int32)}
    scored = score_against_truth(SmallTruth(), make_requests("search", ["q"], [[]]), rows, EVERYTHING)
    found = {name: column[0] for name, column in scored.scores.values["silent"].items()}
    assert np.isnan(found.pop("cvr@10"))  # nobody can click
    assert set(found.values()) == {0}


def test_recall_of_slices_of_the_catalogue(make_requests):
    rows = {"ours": np.array([[2, 1, -1]], np.int32)}
    slices = {"first two": np.array([True, True, False, False]), "last": np.array([False, False, False, True])}
    requests = make_requests("search", ["q"], [[]])
    scored = score_against_truth(SmallTruth(), requests, rows, EVERYTHING, product_slices=slices)
    assert scored.scores.product_slices["first two"]["ours"][0] == 1  # of products 1, the only wanted one
    assert scored.scores.product_slices["last"]["ours"][0] == 0


@pytest.fixture
def random_case(make_truth, make_requests):
    random = np.random.default_rng(0)
    truth = make_truth(np.arange(300).astype(str), 1 / np.arange(1, 21, dtype=np.float32))
    histories = [random.integers(0, 300, random.integers(0, 9)).tolist() for _ in range(23)]
    eligible = random.random(300) > 0.2

    def case(task):
        queries = [f"q{i % 5}" if task == "search" else "" for i in range(23)]
        requests = make_requests(task, queries, histories)
        rows = np.argsort(random.random((23, 300)), axis=1).astype(np.int32)
        return truth, requests, {"random": candidates_only(rows, requests, eligible)[:, :150]}, eligible

    return case


@pytest.mark.parametrize(
    ("task", "metrics"), [("search", ["recall@100"]), ("recommendation", ["appeal_ndcg@10", "ctr@10", "recall@100"])]
)
def test_nobody_beats_the_oracle_at_what_it_ranks_by(random_case, task, metrics):
    scores = score_against_truth(*random_case(task)).scores
    for metric in metrics:
        assert scores.metric(ORACLE, metric) == pytest.approx(1) or metric == "ctr@10"
        assert (scores.metric(ORACLE, metric) >= scores.metric("random", metric)).all()


@pytest.mark.parametrize("task", ["search", "recommendation"])
def test_chunks_change_nothing(random_case, task):
    case = random_case(task)
    whole, chunked = score_against_truth(*case, chunk=100), score_against_truth(*case, chunk=4)
    np.testing.assert_array_equal(whole.oracle, chunked.oracle)
    for metric, column in whole.scores.values["random"].items():
        np.testing.assert_allclose(column, chunked.scores.metric("random", metric))


def test_a_truth_of_another_shop_is_refused(make_requests):
    with pytest.raises(DataError, match="truth of 4 products for 5"):
        score_against_truth(SmallTruth(), make_requests("search", ["q"], [[]]), {}, np.ones(5, bool))


def test_grades_of_ranked_products():
    rows = np.array([[2, -1], [0, 1]], np.int32)
    assert grades_of(SmallTruth(), np.array(["b", "a"], object), rows).tolist() == [[2, 0], [0, 3]]
