"""Ask a release's SavedModels what evaluation wants to know: rankings, scores and product vectors, in batches."""

from collections.abc import Iterator
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.progress import track
from catalog.schema import KINDS
from evaluation.requests import Requests
from pipelines.publish import Release
from serving.servable import Servable

Arrays = dict[str, npt.NDArray[Any]]

BATCH = 64


class ReleasedModels:
    """The SavedModels of one release, asked in this process.

    Args:
        release: which.
        features: whose rows, users and profile columns the requests speak of.
        product_ids: [N] str, in row order.
        history: H of the release.
    """

    def __init__(self, release: Release, features: FeatureStore, product_ids: list[str], history: int) -> None:
        self._release = release
        self._features = features
        self._ids = np.array([*product_ids, ""], dtype=object)
        self._rows = {product.encode(): row for row, product in enumerate(product_ids)} | {b"": -1}
        self._history = history
        self._models: dict[str, Servable] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for model in self._models.values():
            model.close()

    def model(self, name: str) -> Servable:
        """One model of the release, loaded when it is first asked."""
        if name not in self._models:
            self._models[name] = Servable(self._release.kept(name))
        return self._models[name]

    def inputs(self, requests: Requests, with_history: bool = True) -> Arrays:
        """The tensors of `requests` as the signatures take them; `with_history` False makes everybody a stranger."""
        rows, kinds, timestamps = requests.last_events(self._history)
        if not with_history:
            rows, kinds, timestamps = np.full_like(rows, -1), np.full_like(kinds, -1), np.zeros_like(timestamps)
        names = np.array([*KINDS, ""], dtype=object)
        profile = {
            f"user_{name}": np.where(requests.user >= 0, np.asarray(values, dtype=object)[requests.user], "")
            for name, values in self._features.user_columns.items()
        }
        inputs: Arrays = {
            "query": requests.queries.astype(object),
            "history_product_id": self._ids[rows],
            "history_kind": names[kinds],
            "history_timestamp": timestamps,
            "timestamp": requests.timestamps,
        }
        declared = self.model("query_tower").signatures["serving_default"].inputs
        return inputs | {name: values for name, values in profile.items() if name in declared}

    def embed_queries(self, inputs: Arrays) -> npt.NDArray[np.float32]:
        """Query vectors [R, D]."""
        return self._ask("query_tower", inputs, "query vectors")["query_embedding"]

    def retrieve(self, inputs: Arrays, model: str = "retrieval") -> Arrays:
        """{rows, score [R, C], query_embedding [R, D]}."""
        return self._with_rows(self._ask(model, inputs, model))

    def search(self, inputs: Arrays, model: str = "search") -> Arrays:
        """{rows, score, retrieval_score, and the probabilities} [R, K]."""
        return self._with_rows(self._ask(model, inputs, model))

    def search_by_picture(self, inputs: Arrays, pictures: npt.NDArray[np.uint8]) -> Arrays:
        """`search` with pictures [R, S, S, 3] besides."""
        answer = self._ask("search", inputs | {"query_image": pictures}, "search by picture", "with_image", batch=8)
        return self._with_rows(answer)

    def score(self, inputs: Arrays, candidates: Arrays) -> Arrays:
        """Score and probabilities [R, C] of `candidates` ({rows, score, query_embedding}), in their order."""
        asked = inputs | {
            "query_embedding": candidates["query_embedding"],
            "candidate_product_id": self._ids[candidates["rows"]],
            "candidate_score": candidates["score"].astype(np.float32),
        }
        return self._ask("rerank", asked, "rerank")

    def rerank(self, inputs: Arrays, candidates: Arrays) -> Arrays:
        """{rows, score, probabilities} [R, C]: `candidates` in the reranker's order."""
        answer = self.score(inputs, candidates)
        order = np.argsort(-answer["score"], axis=1, kind="stable")
        ordered = {name: np.take_along_axis(values, order, axis=1) for name, values in answer.items()}
        return ordered | {"rows": np.take_along_axis(candidates["rows"], order, axis=1)}

    def embed_products(self, inputs: Arrays, description: str) -> npt.NDArray[np.float32]:
        """Product vectors [N, D] from raw fields and picture embeddings."""
        return self._ask("product_tower", inputs, description, "with_image_embedding", batch=256)["embedding"]

    def rows(self, ids: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
        """Product rows of answered ids (UTF-8 bytes) of any shape, -1 for none.

        Raises:
            DataError: for an id that the table does not have.
        """
        try:
            flat = [self._rows[product] for product in ids.ravel().tolist()]
        except KeyError as error:
            raise DataError(
                f"the release answered {error.args[0].decode()!r}, which is not in products.parquet; release and "
                "tables must be of one run: release again"
            ) from error
        return np.array(flat, dtype=np.int32).reshape(ids.shape)

    def _with_rows(self, answer: Arrays) -> Arrays:
        return answer | {"rows": self.rows(answer.pop("product_id"))}

    def _ask(
        self, name: str, inputs: Arrays, description: str, signature: str = "serving_default", batch: int = BATCH
    ) -> Arrays:
        model = self.model(name)
        parts = [model.run(signature, part) for part in track(list(_batches(inputs, batch)), description)]
        return {output: np.concatenate([part[output] for part in parts]) for output in parts[0]}


def _batches(inputs: Arrays, size: int) -> Iterator[Arrays]:
    count = len(next(iter(inputs.values())))
    for at in range(0, count, size):
        yield {name: values[at : at + size] for name, values in inputs.items()}
