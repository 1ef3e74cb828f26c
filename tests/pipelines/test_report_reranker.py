"""The report's tables about the reranker, from pages by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from evaluation.shown import ShownLists
from pipelines import report_reranker
from pipelines.report_reranker import Pages, calibration_table, judge_heads, read_pages, told_by_position


class FakeRequests:
    """One request of a task by a user with or without a history."""

    def __init__(self, task: str, history: int) -> None:
        self.task, self.history_lengths = task, np.array([history])
        self.queries = np.array(["red" if task == "search" else ""], dtype=object)
        self.user_ids = self.session_ids = np.array([""], dtype=object)

    def __len__(self) -> int:
        return 1

    def select(self, chosen: np.ndarray) -> "FakeRequests":
        assert chosen.tolist() == [0]
        return self


def pages() -> list[Any]:
    """A search of a stranger that showed two products, and a recommendation to somebody known that showed one."""
    search = ShownLists(np.array([[0, 1]]), np.array([[1, 2]]), labels([[True, False]]))
    home = ShownLists(np.array([[1, -1]]), np.array([[1, 0]]), labels([[True, False]]))
    none = np.zeros((1, 2), np.float32)
    return [
        Pages(FakeRequests(task, history), shown, shown.rows, none, none, {"click": np.array([predicted], np.float32)})  # type: ignore[arg-type]
        for task, history, shown, predicted in (
            ("search", 0, search, [0.75, 0.5]),
            ("recommendation", 9, home, [0.25, 0.0]),
        )
    ]


def labels(click: list[list[bool]]) -> dict[str, np.ndarray]:
    none = np.zeros((1, 2), bool)
    return {"click": np.array(click), "cart": none, "purchase": none}


class FakeModels:
    """A release whose reranker says 1 / (1 + candidates that retrieval prefers)."""

    def inputs(self, requests: Any) -> dict[str, Any]:
        return {"query": requests.queries}

    def retrieve(self, inputs: dict[str, Any]) -> dict[str, Any]:
        rows, score = np.array([[2, 3, 0, -1]], np.int32), np.array([[0.9, 0.8, 0.5, 0]], np.float32)
        return {"rows": rows, "score": score, "query_embedding": np.array([[1.0, 0.0]], np.float32)}

    def score(self, inputs: dict[str, Any], candidates: dict[str, Any]) -> dict[str, Any]:
        score = np.where(candidates["rows"] >= 0, candidates["score"], -np.inf)
        told = 1 / (1 + (score[:, None, :] > score[:, :, None]).sum(2))
        return {f"{head}_probability": told for head in ("click", "cart", "purchase")}


def test_a_page_is_judged_among_the_candidates_of_its_request(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, position = np.array([[0, 1, -1, -1]], np.int32), np.array([[1, 2, 0, 0]], np.int32)
    nothing = np.zeros((1, 4), bool)
    shown = ShownLists(rows, position, {"click": nothing, "cart": nothing, "purchase": nothing})
    monkeypatch.setattr(report_reranker, "shown_lists", lambda *_: shown)
    requests: Any = FakeRequests("search", 0)
    requests.request, requests.select = np.zeros(1, np.int32), lambda _: requests
    vectors = np.array([[0.5, 0], [0.1, 0], [0.9, 0], [0.8, 0]], np.float32)
    models, shop = FakeModels(), SimpleNamespace(features=None)
    found: Any = read_pages(models, shop, requests, vectors, np.array([1.0, 0.5], np.float32), 4)  # type: ignore[arg-type]
    assert found.rows.tolist() == [[0, 1, 2, 3]]
    # Two that were not shown are preferred to product 0, and it besides to product 1, which half of the people see.
    np.testing.assert_allclose(found.probabilities["click"], [[1 / 3, 0.5 / 4, 0, 0]])


class ManyRequests(FakeRequests):
    """Requests told apart by their user, whose page showed the product of the same number."""

    def __init__(self, users: np.ndarray) -> None:
        super().__init__("search", 0)
        self.user, self.request, self.queries = users, users, users

    def __len__(self) -> int:
        return len(self.user)

    def select(self, chosen: np.ndarray) -> "ManyRequests":
        return ManyRequests(self.user[chosen])


class ManyModels(FakeModels):
    """Retrieves nothing but knows how much is asked at once; says (product + 1) / 10."""

    def __init__(self) -> None:
        self.asked: list[int] = []

    def retrieve(self, inputs: dict[str, Any]) -> dict[str, Any]:
        count = len(inputs["query"])
        self.asked.append(count)
        none = np.full((count, 1), -1, np.int32)
        return {"rows": none, "score": np.zeros((count, 1), np.float32), "query_embedding": np.ones((count, 1))}

    def score(self, inputs: dict[str, Any], candidates: dict[str, Any]) -> dict[str, Any]:
        return {f"{head}_probability": (candidates["rows"] + 1) / 10 for head in ("click", "cart", "purchase")}


def test_many_pages_are_asked_about_in_parts_and_stay_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    def shown(_: Any, requests: Any, length: int) -> ShownLists:
        rows = requests.user[:, None]
        return ShownLists(rows, np.ones_like(rows), dict.fromkeys(("click", "cart", "purchase"), rows == 3))

    monkeypatch.setattr(report_reranker, "shown_lists", shown)
    monkeypatch.setattr(report_reranker, "_AT_ONCE", 2)
    models, requests = ManyModels(), ManyRequests(np.arange(5))
    shop: Any = SimpleNamespace(features=None)
    found: Any = read_pages(models, shop, requests, np.ones((5, 1)), np.ones(1, np.float32), 1)  # type: ignore[arg-type]
    assert models.asked == [2, 2, 1]
    assert found.requests.user.tolist() == found.rows[:, 0].tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(found.probabilities["click"][:, 0], [0.1, 0.2, 0.3, 0.4, 0.5])
    assert found.shown.labels["click"][:, 0].tolist() == [False, False, False, True, False]


def test_calibration_by_task_person_and_product(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_reranker, "product_slices", lambda *_: {"head products": np.array([False, True])})
    shop: Any = SimpleNamespace(features=None, data=SimpleNamespace(products=None))
    table = calibration_table(shop, pages(), None)
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert (rows["all"]["shown"], rows["all"]["clicks"], rows["all"]["predicted"]) == (3, 2, 1.5)
    assert rows["all"]["predicted / observed"] == 0.75
    assert rows["search"]["predicted / observed"] == 1.25
    assert rows["recommendation"]["predicted"] == pytest.approx(0.2)  # 0.25, to one place
    # The second product: 0.5 in the search, not clicked, and 0.25 on the home page, clicked.
    assert (rows["head products"]["shown"], rows["head products"]["clicks"]) == (2, 1)
    assert rows["head products"]["predicted / observed"] == 0.75


def test_what_would_be_a_whole_task_or_all_products_once_more_is_told_once(monkeypatch: pytest.MonkeyPatch) -> None:
    slices = {"strangers": np.array([True, False]), "everybody": np.array([True, True])}
    monkeypatch.setattr(report_reranker, "request_slices", lambda requests: slices)
    masks = {"head products": np.array([False, True]), "with picture": np.array([True, True])}
    monkeypatch.setattr(report_reranker, "product_slices", lambda *_: masks)
    rows, clicks = np.array([[0], [1]]), np.array([[True], [False]])
    shown = ShownLists(rows, np.ones_like(rows), dict.fromkeys(("click", "cart", "purchase"), clicks))
    none, told = np.zeros((2, 1), np.float32), {"click": np.array([[0.5], [0.25]], np.float32)}
    part = Pages(ManyRequests(np.arange(2)), shown, rows, none, none, told)  # type: ignore[arg-type]
    table = calibration_table(SimpleNamespace(features=None, data=SimpleNamespace(products=None)), [part], None)  # type: ignore[arg-type]
    found = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    assert (found["search, strangers"]["shown"], found["search, strangers"]["predicted / observed"]) == (1, 0.5)
    assert (found["head products"]["shown"], found["head products"]["clicks"]) == (1, 0)
    assert not {"search, everybody", "with picture"} & set(found)


class FakeTruth:
    """Everybody clicks on product 0 with 0.5 and on product 1 with 0.25, if they see it; half see position 2."""

    examination = np.array([1.0, 0.5], np.float32)

    def appeal(self, users: list[str], sessions: list[str], queries: list[str]) -> np.ndarray:
        return np.tile(np.array([0.5, 0.25], np.float32), (len(users), 1))


def test_predicted_clicks_beside_those_that_the_truth_expects(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(report_reranker, "product_slices", lambda *_: {"nothing": np.array([False, False])})
    shop: Any = SimpleNamespace(features=None, data=SimpleNamespace(products=None))
    truth: Any = FakeTruth()
    table = calibration_table(shop, pages(), truth)
    rows = {row[0]: dict(zip(table.columns, row, strict=True)) for row in table.rows}
    # The search: 0.5 at position 1 and 0.25 x 0.5 at position 2, to one place; the recommendation: 0.25 at position 1.
    assert rows["search"]["expected by the truth"] == pytest.approx(0.6)
    assert rows["search"]["predicted / expected"] == 2.0  # (0.75 + 0.5) / 0.625
    assert rows["recommendation"]["predicted / expected"] == 1.0
    assert rows["all"]["expected by the truth"] == pytest.approx(0.9)  # 0.875
    assert "nothing" not in rows


def test_heads_are_judged_on_the_pages_of_all_tasks() -> None:
    features: Any = SimpleNamespace(
        request_query=np.array([0, -1]),
        request_slice=np.zeros(2, np.int8),
        impression_start=np.array([0, 2, 3]),
        impression_position=np.array([1, 2, 1], np.int32),
        **dict.fromkeys(("impression_click", "impression_cart", "impression_purchase"), np.array([True, False, False])),
    )
    shown = pages()
    block = judge_heads(shown, told_by_position(features, shown))
    assert block is not None
    (head,) = block.heads
    # Before, the first place of a search was clicked, (1 + 20 / 2) / 21, the second was not, 10 / 21, nor was the home
    # page's, (0 + 20 / 3) / 21. Now the search's first place is clicked and the home page's.
    rates = [11 / 21, 1 - 10 / 21, (20 / 3) / 21]
    assert block.by_position == {"click": pytest.approx(-np.log(rates).mean())}
    assert (head.name, head.examples) == ("click", 3)
    assert head.base_rate == pytest.approx(2 / 3)
    # Pairs: 0.75 against 0.5 is in order, 0.25 against 0.5 is not.
    assert head.auc == 0.5
    assert judge_heads([], told_by_position(features, [])) is None
