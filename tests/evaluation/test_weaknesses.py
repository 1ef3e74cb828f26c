import math
from dataclasses import replace

import pytest

from evaluation.boards import Board, Comparison, SliceRow, SliceTable, SystemRow
from evaluation.significance import Interval
from evaluation.weaknesses import find_weaknesses

NOTHING = Interval(math.nan, math.nan, math.nan)


def comparison(metric, estimate, half_width=0.01, users=20):
    difference = Interval(estimate, estimate - half_width, estimate + half_width, users)
    return Comparison(metric, "ours", "BM25", difference, NOTHING)


def slices(users=20, **differences):
    rows = [
        SliceRow(name, 100, {"ours": 0.5 + difference, "BM25": 0.5}, comparison("recall@100", difference, users=users))
        for name, difference in differences.items()
    ]
    return SliceTable("slices", "", "", "recall@100", "ours", ("ours", "BM25"), tuple(rows))


def board(key, **differences):
    means = {name: 0.1 + difference for name, difference in differences.items()}
    rows = (SystemRow("ours", "ours", means), SystemRow("BM25", "baseline", dict.fromkeys(means, 0.1)))
    found = tuple(comparison(metric, difference) for metric, difference in differences.items())
    return Board(key, f"Search, {key}", "", 300, tuple(differences), rows, found)


def test_behind_comes_before_undecided_before_the_least_lead():
    table = slices(new=0.005, tail=-0.1, head=-0.2, known=0.1, **{"all": -0.4})
    found = find_weaknesses([("Search", table)])
    assert [(item.where, item.verdict) for item in found] == [
        ("Search, head", "behind"), ("Search, tail", "behind"), ("Search, new", "level"), ("Search, known", "ahead"),
    ]  # fmt: skip
    assert (found[0].ours, found[0].theirs, found[0].requests) == (pytest.approx(0.3), 0.5, 100)


def test_a_board_counts_by_its_worst_metric_against_baselines():
    among_ours = board("masks", ndcg=-0.09)
    among_ours = replace(among_ours, rows=(among_ours.rows[0], replace(among_ours.rows[1], role="ours")))
    blocks = [("Search", board("truth", ndcg=0.05, ctr=-0.02)), ("Search", among_ours)]
    (only,) = find_weaknesses(blocks)
    assert (only.where, only.comparison.metric, only.ours) == ("Search, truth", "ctr", pytest.approx(0.08))


def test_a_board_says_on_how_many_requests_its_metric_rests():
    counted = replace(board("truth", ndcg=-0.02, ctr=0.05), counted={"ndcg": 40, "ctr": 300})
    assert [item.requests for item in find_weaknesses([("Search", counted)])] == [40]


def test_differences_are_weighed_by_what_the_baseline_reaches():
    # 0.02 of 0.1 is a fifth; 0.05 of 0.5 a tenth.
    found = find_weaknesses([("A", slices(new=-0.05)), ("B", board("truth", ndcg=-0.02))], shown=1)
    assert [item.where for item in found] == ["Search, truth"]


def test_few_users_and_ratios_say_nothing():
    assert find_weaknesses([("Search", slices(users=19, new=-0.3))]) == ()
    blocks = [("Search", board("truth", **{"cvr@10": -0.05, "ctr@10": 0.02}))]
    assert [item.comparison.metric for item in find_weaknesses(blocks)] == ["ctr@10"]


def test_what_cannot_be_compared_is_no_weakness():
    row = SliceRow("new", 0, {"ours": math.nan}, None)
    table = SliceTable("slices", "", "", "recall@100", "ours", ("ours",), (row,))
    assert find_weaknesses([("Search", table)]) == ()
