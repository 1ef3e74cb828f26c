"""How deep rankings are, and which modalities are masked: those that somebody asked about and has."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from catalog.schema import TEXT_FIELDS
from evaluation.requests import made_up_requests
from pipelines.judging import Shop, masked_rankings, product_vectors


class Models:
    """A tower that counts its passes and answers with the same vector for every product and query."""

    def __init__(self) -> None:
        self.passes: list[str] = []

    def embed_products(self, inputs: Any, description: str) -> np.ndarray:
        self.passes.append(description)
        return np.ones((2, 3), np.float32)

    def inputs(self, requests: Any, with_history: bool = True) -> Any:
        return {"query": requests.queries}

    def embed_queries(self, inputs: Any) -> np.ndarray:
        return np.ones((len(inputs["query"]), 3), np.float32)


def fields(pictured: bool) -> dict[str, np.ndarray]:
    numbers = {name: np.ones(2) for name in ("counters", "rating_count", "rating_average", "price")}
    texts = {name: np.array(["a", "b"], object) for name in TEXT_FIELDS}
    return {**texts, **numbers, "image_present": np.array([pictured, False])}


@pytest.mark.parametrize(
    ("masked", "pictured", "names"),
    [
        (True, True, {"nothing", "text", "picture", "behaviour"}),
        (True, False, {"nothing", "text", "behaviour"}),
        (False, True, {"nothing"}),
    ],
)
def test_one_pass_for_each_modality_that_is_asked_about_and_there(
    masked: bool, pictured: bool, names: set[str]
) -> None:
    models: Any = Models()
    assert set(product_vectors(models, fields(pictured), masked)) == names
    assert len(models.passes) == len(names)


def test_nobody_with_a_history_has_none_masked() -> None:
    models: Any = Models()
    nothing: Any = SimpleNamespace()
    vectors = product_vectors(models, fields(False), True)
    found = masked_rankings(
        models, Shop(nothing, nothing, np.ones(2, bool), 0, 200), made_up_requests(["a"], 0), vectors
    )
    assert list(found) == ["nothing masked", "without text", "without behaviour"]


@pytest.mark.parametrize(("candidates", "depth"), [(20, 100), (100, 100), (500, 500)])
def test_baselines_answer_with_as_many_as_the_release_has_candidates(candidates: int, depth: int) -> None:
    nothing: Any = None
    assert Shop(nothing, nothing, np.ones(4, bool), 0, candidates).depth == depth
