"""The tensors of an answer -> products with their scores, typed. No connection here."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from serving.errors import ServingError
from serving.protos import PredictResponse
from serving.tensors import Array, TensorError, to_array, type_name_of

_NUMBERS = ("score", "retrieval_score", "click_probability", "cart_probability", "purchase_probability")
"""The numbers of a `Hit`, the outputs [B, K] that they come in."""

_NUMERIC = "fiV"
"""Kinds of numpy's dtypes that an order can be made of; V is bfloat16."""


@dataclass(frozen=True)
class Hit:
    """One product of an answer; what a model does not tell is None.

    Attributes:
        product_id: as in the catalogue.
        score: what the answer is ordered by.
        retrieval_score: cosine of query and product.
        click_probability, cart_probability, purchase_probability: calibrated, if shown first; of a release whose log
            had no impressions, among as many candidates as a training list holds.
    """

    product_id: str
    score: float
    retrieval_score: float | None = None
    click_probability: float | None = None
    cart_probability: float | None = None
    purchase_probability: float | None = None


@dataclass(frozen=True)
class Answer:
    """Products, best first.

    Attributes:
        hits: the products.
        model, version: what answered.
        reranked: False when the reranker was not there or failed, and the order is retrieval's.
        degraded: why the answer is less than it could be, a few fixed words for each cause; None when it is not.
    """

    hits: tuple[Hit, ...]
    model: str
    version: int
    reranked: bool
    degraded: str | None = field(default=None, kw_only=True)

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class Retrieval(Answer):
    """Candidates, best first.

    Attributes:
        query_embedding: [D] what they were found by.
        with_image: whether a picture was asked with.
    """

    query_embedding: npt.NDArray[np.float32]
    with_image: bool = False


@dataclass(frozen=True)
class Outputs:
    """What a model answered a batch of B requests with.

    Attributes:
        model, version: what answered.
        tensors: by name, what the client reads: `product_id` as str and the numbers of a `Hit`, each [B, K] of one K;
            `query_embedding` [B, D].
    """

    model: str
    version: int
    tensors: Mapping[str, Array]


def read_outputs(
    response: PredictResponse, model: str, batch: int, required: Sequence[str], width: int | None = None
) -> Outputs:
    """The tensors of a response.

    Args:
        width: K, where the request sets it; None for the width of `score`.

    Raises:
        ServingError: if one of `required` is missing, or one has another shape or dtype than it should; for an id that
            is not UTF-8; for a score that is not finite, in a place that holds a product.
    """
    used = [name for name in (*_NUMBERS, "product_id", "query_embedding") if name in response.outputs]
    try:
        tensors = {name: to_array(response.outputs[name]) for name in used}
    except TensorError as error:
        raise ServingError(f"{model} answered with an unreadable tensor: {error}") from error
    missing = sorted(set(required) - set(tensors))
    if missing:
        raise ServingError(f"{model} answered without {', '.join(missing)}; is it one of this project's models?")
    places = tensors["score"].shape[1:] if width is None else (width,)
    for name, values in tensors.items():
        side = values.shape[1:] if name == "query_embedding" else places
        if values.ndim != 2 or values.shape != (batch, *side):
            expected = ", ".join(map(str, [batch, *(side if len(side) == 1 else "K")]))
            raise ServingError(f"{model} answered with {name} of shape {values.shape}; expected [{expected}]")
        if values.dtype.kind not in ("O" if name == "product_id" else _NUMERIC):
            raise ServingError(f"{model} answered with {name} as {type_name_of(values)}; is it one of this project's?")
    if "product_id" in tensors:
        tensors["product_id"] = _decoded(tensors["product_id"], model)
        _check_finite(tensors["score"][tensors["product_id"] != ""], model)
    return Outputs(model, response.model_spec.version.value, tensors)


def read_hits(
    tensors: Mapping[str, Array], k: int | None, excluded: Sequence[Collection[str]]
) -> list[tuple[Hit, ...]]:
    """The first k products of each request; places that the index could not fill have no id and are left out.

    Args:
        tensors: `product_id` (str) and `score` [B, K], and what else a `Hit` holds.
        k: None for all.
        excluded: of each request the ids that are left out.
    """
    names = [name for name in _NUMBERS if name in tensors]
    columns = [tensors[name].tolist() for name in names]
    answers = []
    for row, products in enumerate(tensors["product_id"].tolist()):
        hits: list[Hit] = []
        dropped = {"", *excluded[row]}
        for product_id, *values in zip(products, *(column[row] for column in columns), strict=True):
            if product_id not in dropped and (k is None or len(hits) < k):
                hits.append(Hit(product_id, **dict(zip(names, values, strict=True))))
        answers.append(tuple(hits))
    return answers


def read_answers(outputs: Outputs, k: int, excluded: Sequence[Collection[str]]) -> list[Answer]:
    """What a `search` model found for each request, without what is excluded."""
    hits = read_hits(outputs.tensors, k, excluded)
    return [Answer(each, outputs.model, outputs.version, reranked=True) for each in hits]


def read_retrievals(outputs: Outputs, with_image: bool) -> list[Retrieval]:
    """What a `retrieval` model found for each request, of which all or none were asked with a picture."""
    embeddings = outputs.tensors["query_embedding"].astype(np.float32)
    hits = read_hits(outputs.tensors, None, [()] * len(embeddings))
    return [
        Retrieval(each, outputs.model, outputs.version, False, embedding, with_image)
        for each, embedding in zip(hits, embeddings, strict=True)
    ]


def read_reranked(
    outputs: Outputs, retrievals: Sequence[Retrieval], k: int, excluded: Sequence[Collection[str]]
) -> list[Answer]:
    """The candidates of each retrieval in the order of their new scores; those beyond the reranker's C have no place.

    A `rerank` model's outputs are [B, C], in the order of the candidates.

    Raises:
        ServingError: for a candidate's score that is not finite.
    """
    answers = []
    for row, retrieval in enumerate(retrievals):
        scored = {name: values[row, : len(retrieval.hits)] for name, values in outputs.tensors.items()}
        _check_finite(scored["score"], outputs.model)
        order = np.argsort(-scored["score"], kind="stable")
        best = {name: values[order][None] for name, values in scored.items()}
        best["product_id"] = np.array([[hit.product_id for hit in retrieval.hits]], object)[:, order]
        best["retrieval_score"] = np.array([[hit.score for hit in retrieval.hits]], np.float32)[:, order]
        hits = read_hits(best, k, [excluded[row]])[0]
        answers.append(Answer(hits, outputs.model, outputs.version, reranked=True))
    return answers


def _decoded(ids: Array, model: str) -> Array:
    """Ids as str, of the same shape."""
    try:
        decoded = [each.decode() for each in ids.ravel().tolist()]
    except UnicodeDecodeError as error:
        raise ServingError(f"{model} answered with the product_id {error.object!r}, which is not UTF-8") from error
    return np.array(decoded, object).reshape(ids.shape)


def _check_finite(scores: Array, model: str) -> None:
    if not np.isfinite(scores).all():
        raise ServingError(f"{model} answered with a score that is not finite; look at its log, or release it again")
