"""The features stage says early what would stop a later one."""

from types import SimpleNamespace

import numpy as np
import pytest

from catalog.progress import console
from pipelines.s03_features import warn_of_missing_pages


@pytest.mark.parametrize(("days", "warned"), [([], True), ([0, 9], True), ([0, 10], False), ([13, 14], False)])
def test_missing_pages_of_the_rerank_slice_are_named(days: list[int], warned: bool) -> None:
    store = SimpleNamespace(slices=SimpleNamespace(rerank=(10, 14)), request_day=np.array(days, np.int32))
    with console.capture() as capture:
        warn_of_missing_pages(store)  # type: ignore[arg-type]
    assert ("no page with impressions was logged in days 10 to 13" in capture.get().replace("\n", " ")) == warned
