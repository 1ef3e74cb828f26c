"""What the signatures of a release look like, and in what a served model's differ."""

from collections.abc import Iterator, Mapping

from serving.messages import DataType, SignatureDef, TensorInfo
from serving.requests import FOUND_WITH_IMAGE
from serving.tensors import data_type_name

Signatures = Mapping[str, SignatureDef]

_STRING, _INT64, _FLOAT = DataType.DT_STRING, DataType.DT_INT64, DataType.DT_FLOAT

# name -> (type, dimensions). The first one is the batch.
_REQUEST = {
    "query": (_STRING, 1),
    "history_product_id": (_STRING, 2),
    "history_kind": (_STRING, 2),
    "history_timestamp": (_INT64, 2),
    "timestamp": (_INT64, 1),
}
_CANDIDATES = {"query_embedding": (_FLOAT, 2), "candidate_product_id": (_STRING, 2), "candidate_score": (_FLOAT, 2)}
_PICTURE = {"query_image": (DataType.DT_UINT8, 4)}
_PRODUCT = {
    **dict.fromkeys(
        ("product_id", "title", "description", "category", "brand", "attributes", "review_text"), (_STRING, 1)
    ),
    **dict.fromkeys(("price", "rating_average"), (_FLOAT, 1)),
    **dict.fromkeys(("rating_count", "created_at", "timestamp"), (_INT64, 1)),
    "counters": (_FLOAT, 2),
    "image_present": (DataType.DT_BOOL, 1),
    "image_embedding": (_FLOAT, 2),
}
_PROBABILITIES = {f"{name}_probability": _FLOAT for name in ("click", "cart", "purchase")}

_SEARCH_OUTPUTS = {"product_id": _STRING, "score": _FLOAT, "retrieval_score": _FLOAT, **_PROBABILITIES}
_RETRIEVAL_OUTPUTS = {"product_id": _STRING, "score": _FLOAT, "query_embedding": _FLOAT}

# model -> (signature, inputs, outputs)
_EXPECTED = {
    "search": ("serving_default", _REQUEST, _SEARCH_OUTPUTS),
    "search_exact": ("serving_default", _REQUEST, _SEARCH_OUTPUTS),
    "retrieval": ("serving_default", _REQUEST, _RETRIEVAL_OUTPUTS),
    "retrieval_exact": ("serving_default", _REQUEST, _RETRIEVAL_OUTPUTS),
    "rerank": ("serving_default", _REQUEST | _CANDIDATES, {"score": _FLOAT, **_PROBABILITIES}),
    "query_tower": ("serving_default", _REQUEST, {"query_embedding": _FLOAT}),
    "product_tower": ("with_image_embedding", _PRODUCT, {"embedding": _FLOAT}),
}

MODELS = tuple(_EXPECTED)
"""The models of a release."""

REQUEST_MODELS = ("search", "search_exact", "retrieval", "retrieval_exact", "query_tower")
"""Those that answer a request by itself."""


def signature_faults(model: str, signatures: Signatures) -> list[str]:
    """In what a model's signatures differ from a release's; nothing if they do not."""
    name, inputs, outputs = _EXPECTED[model]
    faults = [f"{name}: {fault}" for fault in _faults(signatures.get(name), inputs, outputs)]
    if model in REQUEST_MODELS and "with_image" in signatures:
        pictured = _faults(signatures["with_image"], inputs | _PICTURE, outputs)
        faults += [f"with_image: {fault}" for fault in pictured]
    if model == "rerank" and FOUND_WITH_IMAGE in signatures:
        faults += [f"{FOUND_WITH_IMAGE}: {fault}" for fault in _faults(signatures[FOUND_WITH_IMAGE], inputs, outputs)]
    return faults


def history_length(signatures: Signatures) -> int | None:
    """H of a model that takes a history; None for another."""
    return _side(signatures, "history_product_id")


def embedding_size(model: str, signatures: Signatures) -> int | None:
    """D where a signature says it."""
    if model == "rerank":
        return _side(signatures, "query_embedding")
    default = signatures.get("serving_default")
    if default is None or "query_embedding" not in default.outputs:
        return None
    dims = default.outputs["query_embedding"].tensor_shape.dim
    return int(dims[1].size) if len(dims) == 2 and dims[1].size > 0 else None


def user_columns(signatures: Signatures) -> tuple[str, ...]:
    """Names of the profile inputs, `user_` among them."""
    return tuple(sorted(name for name in signatures["serving_default"].inputs if name.startswith("user_")))


def _side(signatures: Signatures, name: str) -> int | None:
    default = signatures.get("serving_default")
    if default is None or name not in default.inputs:
        return None
    dims = default.inputs[name].tensor_shape.dim
    return int(dims[1].size) if len(dims) == 2 else None


def _faults(
    signature: SignatureDef | None, inputs: Mapping[str, tuple[int, int]], outputs: Mapping[str, int]
) -> Iterator[str]:
    if signature is None:
        yield "is not there"
        return
    for name, (kind, rank) in inputs.items():
        if name not in signature.inputs:
            yield f"lacks the input {name}"
        else:
            yield from _input_faults(name, signature.inputs[name], kind, rank)
    for name in sorted(set(signature.inputs) - set(inputs)):
        if name.startswith("user_"):
            yield from _input_faults(name, signature.inputs[name], _STRING, 1)
        else:
            yield f"asks for an input that clients do not send: {name}"
    for name, kind in outputs.items():
        if name not in signature.outputs:
            yield f"lacks the output {name}"
        elif signature.outputs[name].dtype != kind:
            yield f"answers {name} as {data_type_name(signature.outputs[name].dtype)}, not {data_type_name(kind)}"


def _input_faults(name: str, info: TensorInfo, kind: int, rank: int) -> Iterator[str]:
    if info.dtype != kind:
        yield f"takes {name} as {data_type_name(info.dtype)}, not {data_type_name(kind)}"
    dims = [dim.size for dim in info.tensor_shape.dim]
    if len(dims) != rank:
        yield f"takes {name} with {len(dims)} dimensions, not {rank}"
    elif dims[0] != -1 or any(side < 1 for side in dims[1:]):
        yield f"takes {name} as {dims}: all but the batch must be fixed, or requests do not merge"
