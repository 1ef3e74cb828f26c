from typing import Any

import numpy as np
import pytest

from pipelines.judging import Shop


@pytest.mark.parametrize(("candidates", "depth"), [(20, 100), (100, 100), (500, 500)])
def test_baselines_answer_with_as_many_as_the_release_has_candidates(candidates: int, depth: int) -> None:
    nothing: Any = None
    assert Shop(nothing, nothing, np.ones(4, bool), 0, candidates).depth == depth
