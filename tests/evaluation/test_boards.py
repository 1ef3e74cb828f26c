import numpy as np
import pytest

from catalog.errors import DataError
from evaluation.boards import (
    best_baseline,
    compare,
    make_board,
    make_slice_table,
    recall_curve,
    sliced_curve,
    strongest_baselines,
)
from evaluation.scores import CURVE_KS, Scores

ROLES = {"search": "ours", "retrieval": "ours", "BM25": "baseline", "popularity": "baseline", "oracle": "oracle"}
MEANS = {"search": 0.6, "retrieval": 0.5, "BM25": 0.4, "popularity": 0.1, "oracle": 1.0}


@pytest.fixture
def scores():
    noise = np.random.default_rng(0).normal(0, 0.05, 100)
    values = {name: {"ndcg@10": mean + noise, "empty": np.full(100, np.nan)} for name, mean in MEANS.items()}
    curves = {name: np.tile(np.linspace(0, mean, len(CURVE_KS)), (100, 1)) for name, mean in MEANS.items()}
    part = {name: np.where(np.arange(100) < 30, mean, np.nan) for name, mean in MEANS.items()}
    return Scores(values, CURVE_KS, curves, {"new products": part}, {"search": 0.9})


def board(scores, **options):
    return make_board(scores, ROLES, ["ndcg@10", "empty"], key="b", title="Search", **options)


def test_ours_are_compared_with_the_best_baseline(scores):
    made = board(scores)
    assert best_baseline(scores, ROLES, "ndcg@10") == "BM25"
    assert [(item.system, item.against) for item in made.comparisons] == [("search", "BM25"), ("retrieval", "BM25")]
    item = made.comparison("ndcg@10", "search")
    assert item.difference.estimate == pytest.approx(0.2)
    assert item.difference.above_zero
    assert item.ratio.estimate == pytest.approx(0.6 / 0.4, rel=0.05)
    assert made.comparison("ndcg@10", "BM25") is None


def test_the_best_of_a_column_is_never_the_oracle(scores):
    made = board(scores)
    assert made.best("ndcg@10") == "search"
    assert made.best("empty") is None
    assert made.metrics == ("ndcg@10", "empty", "coverage@10")
    assert made.row("search").means["coverage@10"] == 0.9
    with pytest.raises(KeyError, match="no system 'tower'"):
        made.row("tower")


def test_everything_may_be_compared_with_one_system(scores):
    made = board(scores, against="search")
    assert [item.system for item in made.comparisons if item.metric == "ndcg@10"] == [
        "retrieval", "BM25", "popularity", "oracle",
    ]  # fmt: skip
    assert made.comparison("ndcg@10", "retrieval").difference.estimate == pytest.approx(-0.1)


def test_baselines_may_stand_by_for_scale(scores):
    made = board(scores, against="retrieval", ours_only=True)
    assert [item.system for item in made.comparisons if item.metric == "ndcg@10"] == ["search"]
    assert made.row("BM25").means["ndcg@10"] == pytest.approx(0.4, abs=0.02)


def test_a_column_rests_on_the_requests_where_every_system_has_a_value():
    nan = np.nan
    values = {
        "search": {"cvr@10": [0.4, 0.2, 0.9, nan], "recall@100": [1, 1, 1, nan]},
        "BM25": {"cvr@10": [0.1, 0.3, nan, nan], "recall@100": [0, 1, 0, nan]},
        "silent": {"cvr@10": [nan] * 4, "recall@100": [0, 0, 0, nan]},
    }
    arrays = {name: {metric: np.array(column) for metric, column in part.items()} for name, part in values.items()}
    roles = {"search": "ours", "BM25": "baseline", "silent": "baseline"}
    made = make_board(Scores(arrays, (), {}), roles, ["cvr@10", "recall@100"], key="b", title="")
    # The third request has no conversion of BM25, so ours there counts neither in the mean nor in the difference.
    assert made.row("search").means["cvr@10"] == pytest.approx(0.3)
    assert made.row("BM25").means["cvr@10"] == pytest.approx(0.2)
    assert made.comparison("cvr@10", "search").difference.estimate == pytest.approx(0.1)
    assert np.isnan(made.row("silent").means["cvr@10"])
    assert made.counted == {"cvr@10": 2, "recall@100": 3}
    assert made.requests == 3  # the last has nothing to find


def test_what_is_not_compared_stands_beside_the_rest(scores):
    for name, mean in MEANS.items():
        scores.values[name]["judged@10"] = np.full(100, mean / 2)
    made = board(scores, uncompared=["judged@10"])
    assert made.metrics == ("ndcg@10", "empty", "judged@10", "coverage@10")
    assert made.row("BM25").means["judged@10"] == pytest.approx(0.2)
    assert {item.metric for item in made.comparisons} == {"ndcg@10"}


def test_the_strongest_baselines_keep_the_order_of_the_table(scores):
    roles = {"popularity": "baseline", "search": "ours", "BM25": "baseline", "oracle": "oracle"}
    assert strongest_baselines(scores, roles, "ndcg@10", 1) == ["BM25"]
    assert strongest_baselines(scores, roles, "ndcg@10", 5) == ["popularity", "BM25"]
    assert strongest_baselines(scores, roles, "empty", 5) == ["popularity", "BM25"]


def test_clusters_reach_the_bootstrap(scores):
    scores.values["search"]["ndcg@10"] = scores.metric("search", "ndcg@10") + np.repeat(np.arange(10) / 20, 10)
    naive = compare(scores, "ndcg@10", "search", "BM25").difference
    clustered = compare(scores, "ndcg@10", "search", "BM25", clusters=np.repeat(np.arange(10), 10)).difference
    assert clustered.high - clustered.low > 2 * (naive.high - naive.low)


def test_slices_of_requests_and_products(scores):
    mask = np.arange(100) < 40
    table = make_slice_table(scores, ROLES, "ndcg@10", {"new users": mask}, ours="search", key="s", title="Slices")
    assert [(row.slice, row.requests) for row in table.rows] == [("all", 100), ("new users", 40), ("new products", 30)]
    assert table.rows[1].means["search"] == pytest.approx(scores.metric("search", "ndcg@10")[:40].mean())
    assert table.rows[2].comparison.difference.estimate == pytest.approx(0.2)
    assert table.rows[2].comparison.metric == "recall@100"


def test_slices_without_a_value_are_left_out(scores):
    table = make_slice_table(
        scores, ROLES, "empty", {"new users": np.ones(100, bool)}, ours="search", key="s", title="", product_slices=()
    )
    assert table.rows == ()


def test_curves(scores):
    curve = recall_curve(scores, ["search"], key="c", title="Recall")
    assert curve.x == tuple(map(float, CURVE_KS))
    assert curve.series["search"][-1] == pytest.approx(0.6)
    classes = {0: np.arange(100) < 50, 5: np.arange(100) >= 50}
    curve = sliced_curve(scores, ["BM25"], "ndcg@10", classes, key="h", title="", x_label="events")
    assert curve.x == (0, 5)
    assert curve.series["BM25"][0] == pytest.approx(scores.metric("BM25", "ndcg@10")[:50].mean())
    with pytest.raises(DataError, match="at least one class"):
        sliced_curve(scores, ["BM25"], "ndcg@10", {}, key="h", title="", x_label="events")
