"""The comparison's tables, by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from benchmarks import rerankers
from evaluation.scores import Scores


class FakeSetting:
    """Two searches and two recommendations of different users, each with two candidates; the second is right."""

    def __init__(self) -> None:
        requests = SimpleNamespace(clusters=(np.arange(2),))
        grade = tf.constant([[0.0, 1.0]] * 4)
        stored = SimpleNamespace(grade=grade)
        self.validation = self.test = SimpleNamespace(
            whole=SimpleNamespace(stored=stored), requests={"search": requests, "recommendation": requests}
        )

    def scores(self, judged: Any, scores: dict[str, np.ndarray]) -> dict[str, Scores]:
        def values(score: np.ndarray) -> dict[str, np.ndarray]:
            right = (score[:, 1] > score[:, 0]).astype(float)
            return dict.fromkeys(("ndcg@10", "appeal_ndcg@10", "click_ndcg@10"), right[:2])

        found = {name: values(score) for name, score in scores.items()}
        return {task: Scores(found, (), {}) for task in ("search", "recommendation")}


def test_a_rivals_grades_get_the_weight_that_serves_it_best() -> None:
    setting: Any = FakeSetting()
    # The wrong one is ahead by 1.5: of the weights that are tried only 2 and 4 turn it, and the first of them is taken.
    assert rerankers.best_weight(setting, np.array([[1.5, 0.0]] * 4, np.float32)) == 2.0


def test_systems_beside_ours() -> None:
    setting: Any = FakeSetting()
    right, wrong = np.array([[0.0, 1.0]] * 4, np.float32), np.array([[1.0, 0.0]] * 4, np.float32)
    rows = rerankers.compared(setting, {"ours": right, "rival": wrong}, "ours")["search"]
    assert [row["system"] for row in rows] == ["ours", "rival"]
    assert (rows[0]["ndcg@10"], rows[1]["ndcg@10"]) == (1.0, 0.0)
    assert rows[1]["ahead_ndcg@10"] == {"estimate": 1.0, "low": 1.0, "high": 1.0, "units": 2}
    assert "ahead_ndcg@10" not in rows[0]


def test_examination_beside_the_truth() -> None:
    rows = rerankers.examination_rows(np.array([1.0, 0.55, 0.4], np.float32), np.array([1.0, 0.5], np.float32))
    assert [row["position"] for row in rows] == [1, 2]
    assert rows[1]["ratio"] == pytest.approx(1.1)


def test_calibration_of_what_the_pages_showed(monkeypatch: pytest.MonkeyPatch) -> None:
    # Two searches about a recommendation; two products shown at places 1 and 2, of which the second is seen by half.
    shown = np.ones((3, 2), bool)
    lists = SimpleNamespace(
        position=np.array([[1, 2]] * 3), shown=shown, click=np.array([[True, False], [True, True], [False, True]]),
        row=np.array([[0, 1], [1, 0], [0, 1]]),
    )  # fmt: skip
    judged = SimpleNamespace(
        lists=lists, requests={"search": [False, True], "recommendation": [True]},
        place={"search": np.array([0, 2]), "recommendation": np.array([1])},
    )  # fmt: skip
    setting: Any = SimpleNamespace(test=judged, features=None, products=None)
    run: Any = SimpleNamespace(probabilities=np.full((3, 3, 2), 0.8), examination=np.array([1.0, 0.5]))
    monkeypatch.setattr(rerankers, "request_slices", lambda requests: {"new users": np.array(requests)})
    slices = {"first": np.array([True, False]), "with picture": np.array([True, True])}
    monkeypatch.setattr(rerankers, "product_slices", lambda *_: slices)
    rows = {row.part: row for row in rerankers.calibration(setting, run)}
    assert (rows["all"].predicted, rows["all"].observed) == (pytest.approx(3.6), 4)
    assert (rows["search"].predicted, rows["search"].observed) == (pytest.approx(2.4), 2)
    assert (rows["search, new users"].predicted, rows["search, new users"].observed) == (pytest.approx(1.2), 1)
    # The first product stood at place 1 of the searches and at place 2 of the recommendation.
    assert rows["first"].predicted == pytest.approx(0.8 + 0.4 + 0.8)
    assert rows["positions 2 to 3"].ratio == pytest.approx(1.2 / 2)
    # What would only be the whole once more is told once.
    assert not {"recommendation, new users", "with picture"} & set(rows)
