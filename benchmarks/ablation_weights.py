"""The weight of each modality in the fused vectors, as the exported encoders give them out."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from benchmarks.ablation_scores import Judge
from pipelines.product_fields import raw_fields
from pipelines.questions import request_questions
from pipelines.snapshot import snapshot_time
from towers.export import ProductEncoder, QueryEncoder
from towers.product_tower import PRODUCT_MODALITIES
from towers.query_tower import QUERY_MODALITIES
from towers.trained import Towers

_OPTIONS = tf.saved_model.SaveOptions(namespace_whitelist=["TFText"])
_BATCH = 512

Inputs = dict[str, npt.NDArray[Any]]


def saved_weights(towers: Towers, judge: Judge, images_dir: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Save both encoders as SavedModels in `folder`, load them, and ask them at the test days' products and requests.

    Returns:
        "products", and "search" and "recommendation" for the queries -> modality -> mean weight.
    """
    day = judge.features.slices.test[0]
    products = ProductEncoder(towers, None, snapshot_time(judge.features, day))
    parts = [part for part in judge.parts if part.slice == "test"]
    fields = raw_fields(judge.shop, judge.features, day, images_dir)
    offered = {name: values[parts[0].eligible] for name, values in fields.items()}
    served = _served(products, products.encode, offered, folder / "product_tower")
    found = {"products": _asked(served, offered)}
    queries = QueryEncoder(towers)
    columns = towers.config.profile_columns

    def encode(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        given = {name: value for name, value in inputs.items() if not name.startswith("user_")}
        return queries.encode(**given, user_columns={name: inputs[f"user_{name}"] for name in columns})

    served = None
    for part in parts:
        asked = request_questions(judge.features, part.requests.request, towers.config.history.length)
        inputs = {
            "query": asked.texts,
            "history_row": asked.rows,
            "history_kind": asked.kinds,
            "history_timestamp": asked.timestamps,
            "timestamp": asked.timestamp,
        }
        inputs |= {f"user_{name}": np.asarray(judge.features.user_columns[name])[asked.users] for name in columns}
        served = served or _served(queries, encode, inputs, folder / "query_tower")
        found[part.task] = _asked(served, inputs)
    names = {"products": PRODUCT_MODALITIES, "search": QUERY_MODALITIES, "recommendation": QUERY_MODALITIES}
    return {
        what: dict(zip(names[what], weights.mean(axis=0).round(4).tolist(), strict=True))
        for what, weights in found.items()
    }


def _served(module: tf.Module, encode: Any, inputs: Inputs, folder: Path) -> Any:
    """The signature of the module's SavedModel, saved and loaded, that takes such inputs."""
    specs = {
        name: tf.TensorSpec(
            [None, *values.shape[1:]], tf.string if values.dtype == object else tf.as_dtype(values.dtype), name
        )
        for name, values in inputs.items()
    }
    signature = tf.function(encode, input_signature=[specs], autograph=False)
    module.signature_of_weights = signature
    tf.saved_model.save(module, str(folder), {"serving_default": signature.get_concrete_function()}, _OPTIONS)
    return tf.saved_model.load(str(folder)).signatures["serving_default"]


def _asked(served: Any, inputs: Inputs) -> npt.NDArray[np.float32]:
    """[rows, modalities] weights that the SavedModel answers with."""
    answers = []
    for start in range(0, len(next(iter(inputs.values()))), _BATCH):
        batch = {name: tf.constant(values[start : start + _BATCH]) for name, values in inputs.items()}
        answers.append(served(**batch)["modality_weights"].numpy())
    return np.concatenate(answers)
