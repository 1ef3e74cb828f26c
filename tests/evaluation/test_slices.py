import numpy as np
import pyarrow as pa
import pytest

from evaluation.slices import (
    HAN,
    LATIN,
    OTHER,
    SEVERAL,
    history_length_slices,
    product_slices,
    query_scripts,
    request_slices,
)

DAY = 86_400


def test_products_are_new_if_the_towers_cannot_have_met_them(make_store, make_event):
    # The towers' slice is days 0 and 1. Product 0 was clicked, 1 only shown in it; 2 is clicked later, 3 never.
    log = make_store(
        4, 1, interactions=[make_event(0, 0, DAY), make_event(0, 2, 2 * DAY)],
        requests=[{"user": 0, "session": "s", "query": -1, "timestamp": DAY}],
        impressions=[[{"product": 1, "position": 1}]],
    )  # fmt: skip
    slices = product_slices(log, pa.table({"image_row": pa.array([0, -1, 1, 2], pa.int32())}))
    assert slices["new products"].tolist() == [False, False, True, True]
    assert slices["known products"].tolist() == [True, True, False, False]
    assert slices["without picture"].tolist() == [False, True, False, False]


def test_the_head_took_half_of_what_happened_before_the_test(make_store, make_event):
    # Weights: product 0: 5, 1: 3, 2: 1, 3: 1; half of 10 is reached with product 0. The test days do not count.
    events = [make_event(0, 0, 1, "purchase"), make_event(0, 1, 2, "cart"), make_event(0, 2, 3), make_event(0, 3, 4)]
    events += [make_event(0, 3, 4 * DAY, "purchase") for _ in range(9)]
    slices = product_slices(make_store(4, 1, interactions=events), pa.table({"image_row": pa.array([-1] * 4)}))
    assert slices["head products"].tolist() == [True, False, False, False]
    assert slices["tail products"].tolist() == [False, True, True, True]


@pytest.mark.parametrize(
    ("script", "queries"),
    [
        (LATIN, ["red dress", "robe évasée", "váy đỏ 2", "ＲＥＤ"]),
        (HAN, ["红色连衣裙", "佐々木", "5 号"]),
        (SEVERAL, ["红色 dress", "赤いドレス", "футболка nike"]),
        (OTHER, ["красное платье", "فستان", "ドレス", "2024 !", ""]),
    ],
)
def test_scripts_are_told_by_letters_alone(script, queries):
    assert query_scripts(np.array(queries, object)).tolist() == [script] * len(queries)


def test_request_slices_with_and_without_facts(make_requests):
    requests = make_requests("search", ["red", "红", "rde"], [[], [1], [1, 2]])
    slices = request_slices(requests)
    assert slices["new users"].tolist() == [True, False, False]
    assert slices[f"query in {HAN}"].tolist() == [False, True, False]
    assert f"query in {SEVERAL}" not in slices
    facts = pa.table(
        {"misspelt": [False, False, True], "shows_only_in_picture": [False, False, False], "specificity": [1, 2, 1]}
    )
    slices = request_slices(requests, facts)
    assert slices["misspelt query"].tolist() == [False, False, True]
    assert "asked for what only pictures show" not in slices
    assert slices["1 attributes asked for"].tolist() == [True, False, True]


def test_recommendations_have_no_language(make_requests):
    assert set(request_slices(make_requests("recommendation", [""], [[1]]))) == {"known users", "1 event before"}


def test_recommendations_are_cut_by_the_length_of_the_history(make_requests):
    requests = make_requests("recommendation", [""] * 5, [[], [1], [1] * 3, [1] * 7, [1] * 16])
    slices = {name: np.flatnonzero(mask).tolist() for name, mask in request_slices(requests).items()}
    assert slices == {
        "new users": [0], "known users": [1, 2, 3, 4], "1 event before": [1], "2–3 events before": [2],
        "4–7 events before": [3], "16 or more events before": [4],
    }  # fmt: skip


def test_history_length_classes(make_requests):
    requests = make_requests("search", ["a", "b", "c"], [[], [1] * 4, [1] * 60])
    classes = history_length_slices(requests)
    assert {least: mask.tolist() for least, mask in classes.items()} == {
        0: [True, False, False],
        4: [False, True, False],
        16: [False, False, True],
    }
