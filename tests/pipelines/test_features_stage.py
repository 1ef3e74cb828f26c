"""The features stage says early what would stop a later one."""

from types import SimpleNamespace

import numpy as np
import pytest

from catalog.progress import console
from pipelines.s03_features import warn_of_missing_pages


@pytest.mark.parametrize(("logged", "wanted"), [(True, "page with impressions"), (False, "click, cart or purchase")])
@pytest.mark.parametrize(
    ("days", "learns", "validated"),
    [
        ([], True, True),
        ([0, 9, 17], True, True),
        ([10, 14], False, False),
        ([13, 17], False, True),
        ([16], True, False),
    ],
)
def test_missing_pages_of_the_rerankers_slices_are_named(
    days: list[int], learns: bool, validated: bool, logged: bool, wanted: str
) -> None:
    slices = SimpleNamespace(rerank=(10, 14), validation=(14, 17))
    store = SimpleNamespace(slices=slices, request_day=np.array(days, np.int32), pages_logged=logged)
    with console.capture() as capture:
        warn_of_missing_pages(store)  # type: ignore[arg-type]
    said = " ".join(capture.get().split())
    assert (f"no {wanted} was logged in days 10 to 13, from which the reranker learns" in said) == learns
    assert (
        f"no {wanted} was logged in days 14 to 16, from which the index is tuned and the reranker validated" in said
    ) == validated
