import numpy as np
import pyarrow as pa

from evaluation.answers import best_and_worst, make_answer, pick

PRODUCTS = pa.table(
    {
        "product_id": ["a", "b", "c"],
        "title": ["Red dress", "蓝色衬衫", "Cap"],
        "price": [1234.5, float("nan"), 3.0],
        "currency": ["EUR", "", ""],
        "image_row": pa.array([1, -1, 0], pa.int32()),
    }
)
IMAGES = np.stack([np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 200, np.uint8)])


def test_rows_become_titles_prices_and_pictures():
    answer = make_answer(
        "red", {"search": np.array([0, 1, -1], np.int32)}, PRODUCTS, IMAGES, grades={"search": np.array([3, 0, 0])}
    )
    first, second = answer.lists[0].items
    assert (first.product_id, first.title, first.detail, first.grade) == ("a", "Red dress", "1,234.50 EUR", 3)
    assert first.picture.mean() == 200
    assert (second.detail, second.grade, second.picture) == ("", 0, None)


def test_only_the_first_are_shown_and_grades_may_be_unknown():
    answer = make_answer("cap", {"search": np.array([2, 0, 1], np.int32)}, PRODUCTS, IMAGES, count=1)
    assert [item.product_id for item in answer.lists[0].items] == ["c"]
    assert answer.lists[0].items[0].grade is None
    assert answer.lists[0].items[0].detail == "3.00"


def test_best_and_worst_take_each_query_once(make_requests):
    requests = make_requests("search", ["a", "a", "b", "c", "d"], [[]] * 5)
    best, worst = best_and_worst(requests, np.array([0.9, 0.1, 0.5, np.nan, 0.2]), count=1)
    assert best.tolist() == [0]
    assert worst.tolist() == [4]


def test_no_request_is_best_and_worst_at_once(make_requests):
    requests = make_requests("recommendation", [""] * 3, [[]] * 3)
    best, worst = best_and_worst(requests, np.array([0.3, 0.2, 0.1]), count=5)
    assert not set(best.tolist()) & set(worst.tolist())


def test_pick_finds_the_first_request_of_a_text(make_requests):
    requests = make_requests("search", ["a", "b", "a"], [[]] * 3)
    assert pick(requests, ["a", "unknown", "b"]).tolist() == [0, 1]
