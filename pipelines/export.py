"""Write the seven SavedModels of a release into a staging folder, with their warm-up requests."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import numpy.typing as npt
import tensorflow as tf

from catalog.feature_store import FeatureStore
from catalog.files import read_json
from catalog.progress import console
from catalog.schema import KINDS, ShopData
from catalog.titles import title_groups
from pipelines.composition import Catalogue, Composition, request_specs, rerank_specs
from pipelines.product_fields import raw_fields
from pipelines.questions import stranger_questions
from pipelines.snapshot import snapshot_time
from pipelines.workspace import Workspace
from rerank.export import Reranker
from rerank.word_index import WordCandidates, WordIndex
from serving.warmup import write_warmup
from towers.export import ProductEncoder, QueryEncoder
from towers.image import load_backbone
from towers.index import ExactIndex, ScannIndex
from towers.index_config import IndexParameters
from towers.known_answers import KnownAnswers
from towers.tables import read_embeddings
from towers.trained import load, pictures_dir, profile_table

_OPTIONS = tf.saved_model.SaveOptions(
    namespace_whitelist=["Scann", "TFText"],
    experimental_custom_gradients=False,  # nobody trains a release, and they are half of its functions
)
_WARM_BATCHES = (1, 8, 32)
_SAMPLES = 200
CONSTANT_BYTES = 1 << 18
"""Weights of layers up to this size are constants of the signatures."""

Inputs = dict[str, npt.NDArray[Any]]


class Exporter:
    """Everything that the models of one release are made of.

    Args:
        workspace: of the run.
        shop, features: its tables and features.
        day: the snapshot.
        rows: products of the index.
        staging: the folder to write the models to.
        written: is told of each model once it is there.
    """

    def __init__(
        self,
        workspace: Workspace,
        shop: ShopData,
        features: FeatureStore,
        day: int,
        rows: npt.NDArray[np.int32],
        staging: Path,
        written: Callable[[Path], None],
    ) -> None:
        self._workspace, self._shop, self._features = workspace, shop, features
        self._config = workspace.config
        self._day, self._rows = day, rows
        self._staging, self._written = staging, written
        self._towers = load(workspace / "towers", shop, features, workspace / "images")
        self._embeddings = self._towers.refresh(day)
        self._pictures = pictures_dir(workspace / "towers", workspace / "images", self._config.towers)
        self._backbone = load_backbone(self._pictures) if len(shop.images) else None
        self._columns = self._config.towers.profile_columns
        self._ids: list[str] = shop.products.column("product_id").to_pylist()

    def export(self) -> list[dict[str, Any]]:
        """Write every model.

        Returns:
            Logged requests as inputs of `search`, lists of strings and numbers, for warm-up and load tests.
        """
        samples = self._samples()
        catalogue = Catalogue(self._ids, self._staging / "product_ids.txt", snapshot_time(self._features, self._day))
        query = QueryEncoder(self._towers, self._backbone, CONSTANT_BYTES)
        reranker = Reranker(
            self._workspace / "rerank",
            self._shop,
            self._features,
            self._workspace / "towers" / "tokenizer.model",
            read_embeddings(self._pictures, self._shop),
            self._embeddings,
            self._day,
            CONSTANT_BYTES,
        )
        self._words = self._word_candidates(reranker)
        vectors = self._embeddings[self._rows]
        exact = ExactIndex(vectors, self._rows)
        chosen = IndexParameters.model_validate(read_json(self._workspace / "index" / "tuning.json")["chosen"])
        scann = self._exact_for_strangers(
            ScannIndex(vectors, self._rows, chosen, self._config.release.candidates), exact
        )
        pictures = [] if self._backbone is None else self._backbone.variables
        self._constants = small_weights_as_constants([*self._towers.model.variables, *pictures, *reranker.weights])
        for name, index in (
            ("retrieval_exact", exact),
            ("retrieval", scann),
            ("search_exact", exact),
            ("search", scann),
        ):
            uses_rerank = name.startswith("search")
            model = self._compose(catalogue, query, index, reranker if uses_rerank else None)
            self._save_requests(name, model, model.search if uses_rerank else model.retrieval, samples)
        model = self._compose(catalogue, query, None, None)
        self._save_requests("query_tower", model, model.query_tower, samples)
        self._save_rerank(self._compose(catalogue, None, None, reranker), exact, query, samples)
        self._save_product_tower()
        return samples

    def _word_candidates(self, reranker: Reranker) -> WordCandidates | None:
        limit = self._config.release.word_candidates
        if limit == 0:
            return None
        index = WordIndex.build(self._shop, self._rows, reranker.config.lexical, limit)
        return WordCandidates(index, reranker.extractor.embeddings)

    def _exact_for_strangers(self, index: ScannIndex, exact: ExactIndex) -> KnownAnswers:
        """What new visitors are shown is looked at most, and is one vector, or one a profile."""
        config = self._towers.config
        questions = stranger_questions(self._features, profile_table(self._features, config), config.history.length)
        return KnownAnswers(index, exact, self._towers.query_embeddings(questions), self._config.release.candidates)

    def _compose(self, catalogue: Catalogue, query: Any, index: Any, reranker: Any) -> Composition:
        release = self._config.release
        groups = title_groups(self._shop.products.column("title").to_pylist()) if release.collapse_duplicates else None
        words = None if index is None else self._words
        return Composition(
            catalogue, query, index, reranker, self._columns, release.candidates, release.results, groups, words
        )

    def _save_requests(self, name: str, model: Composition, function: Any, samples: list[dict[str, Any]]) -> None:
        """A model whose input is a request: `serving_default`, and `with_image` where the shop has pictures."""
        length = self._config.towers.history.length
        specs = {"serving_default": request_specs(length, self._columns)}
        if self._backbone is not None:
            specs["with_image"] = request_specs(length, self._columns, self._config.images.size)
        warm = [("serving_default", _batch(samples, size)) for size in _WARM_BATCHES]
        if self._backbone is not None:
            size = self._config.images.size
            warm.append(("with_image", _batch(samples, 1) | {"query_image": np.zeros((1, size, size, 3), np.uint8)}))
        self._save(name, model, dict.fromkeys(specs, function), specs, warm)

    def _save_rerank(self, model: Composition, index: ExactIndex, query: Any, samples: list[dict[str, Any]]) -> None:
        config = self._config
        specs = rerank_specs(config.towers.history.length, self._columns, config.towers.dim, config.release.candidates)
        retrieval = self._compose(model.catalogue, query, index, None)
        warm = []
        for size in _WARM_BATCHES:
            inputs = _batch(samples, size)
            found = retrieval.retrieval({key: tf.constant(values) for key, values in inputs.items()})
            candidates = {
                "query_embedding": found["query_embedding"].numpy(),
                "candidate_product_id": found["product_id"].numpy(),
                "candidate_score": found["score"].numpy(),
            }
            warm.append(("serving_default", inputs | candidates))
        functions = {"serving_default": model.rerank, "explain": model.explain}
        if self._backbone is not None:
            functions["found_with_image"] = model.rerank_found_with_image
        warm += [(name, warm[0][1]) for name in functions if name != "serving_default"]
        self._save("rerank", model, functions, dict.fromkeys(functions, specs), warm)

    def _save_product_tower(self) -> None:
        encoder = ProductEncoder(self._towers, self._backbone, snapshot_time(self._features, self._day), CONSTANT_BYTES)
        fields = raw_fields(self._shop, self._features, self._day, self._pictures)
        first = {name: values[:8] for name, values in fields.items()}
        specs = {"with_image_embedding": _specs_of(first)}
        warm = [("with_image_embedding", first)]
        if self._backbone is not None:
            size = self._config.images.size
            pixels = {name: values for name, values in first.items() if name != "image_embedding"}
            pixels["image"] = np.zeros((len(first["price"]), size, size, 3), np.uint8)
            specs["serving_default"] = _specs_of(pixels)
            warm.append(("serving_default", pixels))
        self._save("product_tower", encoder, dict.fromkeys(specs, encoder.encode), specs, warm)

    def _save(
        self,
        name: str,
        model: tf.Module,
        functions: dict[str, Any],
        specs: dict[str, dict[str, tf.TensorSpec]],
        warm: list[tuple[str, Inputs]],
    ) -> None:
        signatures = {
            signature: tf.function(functions[signature], input_signature=[spec], autograph=False)
            for signature, spec in specs.items()
        }
        with self._constants:
            concrete = {signature: function.get_concrete_function() for signature, function in signatures.items()}
        folder = self._staging / name
        tf.saved_model.save(model, str(folder), concrete, _OPTIONS)
        write_warmup(folder, name, warm)
        self._written(folder)
        console.print(f"exported {name}: {', '.join(sorted(signatures))}")

    def _samples(self) -> list[dict[str, Any]]:
        """Logged requests of the slice before the snapshot, as one list of values an input."""
        features = self._features
        length = self._config.towers.history.length
        before = np.flatnonzero(features.request_day < self._day)[-_SAMPLES:]
        names = ["", *KINDS]
        ids = [*self._ids, ""]
        users = features.request_user[before]
        rows, kinds, timestamps = features.history(users, features.request_history_end[before], length)
        samples = []
        for place, request in enumerate(before.tolist()):
            query = int(features.request_query[request])
            sample = {
                "query": str(features.queries[query]) if query >= 0 else "",
                "history_product_id": [ids[row] for row in rows[place].tolist()],
                "history_kind": [names[kind] for kind in kinds[place].tolist()],
                "history_timestamp": timestamps[place].tolist(),
                "timestamp": int(features.request_timestamp[request]),
            }
            sample |= {f"user_{name}": str(features.user_columns[name][users[place]]) for name in self._columns}
            samples.append(sample)
        return samples or [self._stranger(length)]

    def _stranger(self, length: int) -> dict[str, Any]:
        sample = {
            "query": "",
            "history_product_id": [""] * length,
            "history_kind": [""] * length,
            "history_timestamp": [0] * length,
            "timestamp": 0,
        }
        return sample | {f"user_{name}": "" for name in self._columns}


def small_weights_as_constants(weights: list[keras.Variable]) -> keras.StatelessScope:
    """Layers that are traced inside read constants: two ops less for each, and what hangs on weights alone is folded.

    Larger ones than CONSTANT_BYTES stay variables, since each session copies its constants.
    """
    values = [(variable, variable.numpy()) for variable in weights]
    small = [(variable, tf.constant(value)) for variable, value in values if value.nbytes <= CONSTANT_BYTES]
    return keras.StatelessScope(state_mapping=small)


def _batch(samples: list[dict[str, Any]], size: int) -> Inputs:
    """The first `size` samples, repeated if there are fewer, as arrays."""
    chosen = [samples[place % len(samples)] for place in range(size)]
    whole = {"history_timestamp", "timestamp"}
    return {
        name: np.array([sample[name] for sample in chosen], dtype=np.int64 if name in whole else object)
        for name in samples[0]
    }


def _specs_of(inputs: Inputs) -> dict[str, tf.TensorSpec]:
    """Specs of arrays with a free batch dimension."""
    return {
        name: tf.TensorSpec(
            [None, *values.shape[1:]], tf.string if values.dtype == object else tf.as_dtype(values.dtype), name
        )
        for name, values in inputs.items()
    }
