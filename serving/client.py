"""What a shop's backend imports: ask a server of TF Serving's API for products, without seeing a tensor."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import TracebackType

import grpc
import numpy as np
import numpy.typing as npt

from serving.errors import (
    BadRequestError,
    DeadlineError,
    ModelNotFoundError,
    ServerUnavailableError,
    ServingError,
)
from serving.messages import (
    GetModelMetadataRequest,
    PredictionServiceStub,
    PredictRequest,
    SignatureDefMap,
)
from serving.requests import Contract, HistoryEvent, Request, fit_candidates, read_contract
from serving.tensors import Array, make_proto, to_array

__all__ = ["Answer", "HistoryEvent", "Hit", "Retrieval", "SearchClient"]

SEARCH_MODELS = ("search", "search_exact")
RETRIEVAL_MODELS = ("retrieval", "retrieval_exact")
RERANK_MODEL = "rerank"
_ABSENT_SECONDS = 5.0
"""How long a model that the server does not hold is not asked for again."""

_PROBABILITIES = ("click_probability", "cart_probability", "purchase_probability")
_RELEARN = (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION)


@dataclass(frozen=True)
class Hit:
    """One product of an answer; what a model does not tell is None.

    Attributes:
        product_id: as in the catalogue.
        score: what the answer is ordered by.
        retrieval_score: cosine of query and product.
        click_probability, cart_probability, purchase_probability: calibrated, if shown first.
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
    """

    hits: tuple[Hit, ...]
    model: str
    version: int
    reranked: bool

    def __iter__(self) -> Iterator[Hit]:
        return iter(self.hits)

    def __len__(self) -> int:
        return len(self.hits)


@dataclass(frozen=True)
class Retrieval(Answer):
    """Candidates, best first, with the [D] query embedding they were found by."""

    query_embedding: npt.NDArray[np.float32]


@dataclass(frozen=True)
class _Model:
    """A model that the server holds, as last seen."""

    name: str
    version: int
    contract: Contract


class SearchClient:
    """Searches and recommends over gRPC. Threads may share one client; it holds one connection.

    Asks `search`, else `search_exact`; where neither is loaded, `retrieval` (or `retrieval_exact`) and then `rerank`
    of the same version. Shapes are learned from the server, and again when it serves a new version.

    Args:
        address: host:port.
        timeout: seconds that one call may take in all.

    Example:
        >>> with SearchClient("127.0.0.1:8500") as client:
        ...     history = [HistoryEvent("p17", "cart", 1_700_000_000)]
        ...     for hit in client.search("red summer dress", history, k=10):
        ...         print(hit.product_id, hit.score)
    """

    def __init__(self, address: str = "127.0.0.1:8500", timeout: float = 5.0) -> None:
        self.address = address
        self._timeout = timeout
        options = [
            ("grpc.max_receive_message_length", 64 << 20),
            ("grpc.max_send_message_length", 64 << 20),
            ("grpc.initial_reconnect_backoff_ms", 100),
            ("grpc.max_reconnect_backoff_ms", 2000),
        ]
        self._channel = grpc.insecure_channel(address, options)
        self._stub = PredictionServiceStub(self._channel)
        self._models: dict[tuple[str, ...], _Model] = {}
        self._absent_until: dict[tuple[str, ...], float] = {}

    def __enter__(self) -> "SearchClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection."""
        self._channel.close()

    def search(
        self,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        image: bytes | None = None,
        timestamp: int | float | datetime | None = None,
        k: int = 10,
        timeout: float | None = None,
    ) -> Answer:
        """The best products for a query, a picture, both, or (with neither) for what the shopper did.

        Args:
            query: text in any language; "" for a recommendation.
            history: what the shopper did, in any order; the last H events count.
            user: profile columns that the model declares; what is left out is unknown.
            image: the bytes of a picture file.
            timestamp: when it is asked; None is now, 0 the time of the model's snapshot.
            k: products wanted; fewer come when the model returns fewer.
            timeout: seconds for this call instead of the client's.

        Raises:
            BadRequestError: for input that cannot be asked with; the text says which and why.
            ServerUnavailableError, DeadlineError, ModelNotFoundError: as their names say.
        """
        request = Request(query, tuple(history), user, image, timestamp)
        _check_k(k)
        deadline = self._deadline(timeout)
        try:
            model, outputs = self._ask(SEARCH_MODELS, request, deadline)
        except ModelNotFoundError:
            return self._retrieve_and_rerank(request, k, deadline)
        return Answer(_hits(outputs, k), model.name, model.version, reranked=True)

    def retrieve(
        self,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        image: bytes | None = None,
        timestamp: int | float | datetime | None = None,
        timeout: float | None = None,
    ) -> Retrieval:
        """The candidates that retrieval finds, all of them, best first; arguments and errors as in `search`."""
        return self._retrieve(Request(query, tuple(history), user, image, timestamp), self._deadline(timeout))

    def rerank(
        self,
        retrieval: Retrieval,
        query: str = "",
        history: Sequence[HistoryEvent] = (),
        user: Mapping[str, str] | None = None,
        timestamp: int | float | datetime | None = None,
        k: int = 10,
        timeout: float | None = None,
    ) -> Answer:
        """Order what `retrieve` found, by the `rerank` of the same version; other arguments as given to `retrieve`."""
        request = Request(query, tuple(history), user, None, timestamp)
        _check_k(k)
        return self._rerank(request, retrieval, k, self._deadline(timeout))

    def _retrieve_and_rerank(self, request: Request, k: int, deadline: float) -> Answer:
        try:
            retrieval = self._retrieve(request, deadline)
        except ModelNotFoundError as error:
            self._absent_until.clear()
            tried = ", ".join((*SEARCH_MODELS, *RETRIEVAL_MODELS))
            raise ModelNotFoundError(
                f"{self.address} serves none of {tried}; look at its model config, or release one with `tandem run`"
            ) from error
        try:
            return self._rerank(request, retrieval, k, deadline)
        except ServingError:
            return Answer(retrieval.hits[:k], retrieval.model, retrieval.version, reranked=False)

    def _retrieve(self, request: Request, deadline: float) -> Retrieval:
        model, outputs = self._ask(RETRIEVAL_MODELS, request, deadline)
        embedding = outputs["query_embedding"][0].astype(np.float32)
        return Retrieval(_hits(outputs, None), model.name, model.version, False, embedding)

    def _rerank(self, request: Request, retrieval: Retrieval, k: int, deadline: float) -> Answer:
        ids = [hit.product_id for hit in retrieval.hits]
        scores = [hit.score for hit in retrieval.hits]
        model, outputs = self._ask((RERANK_MODEL,), request, deadline, retrieval)
        # Scores come in the order of the candidates; those beyond C keep no place.
        scored = {name: values[0, : len(ids)] for name, values in outputs.items()}
        order = np.argsort(-scored["score"], kind="stable")
        best = {name: values[order][None] for name, values in scored.items()}
        best["product_id"] = np.array([ids], object)[:, order]
        best["retrieval_score"] = np.array([scores], np.float32)[:, order]
        return Answer(_hits(best, k), model.name, model.version, reranked=True)

    def _ask(
        self, names: tuple[str, ...], request: Request, deadline: float, retrieval: Retrieval | None = None
    ) -> tuple[_Model, dict[str, Array]]:
        """Ask the first of `names` that the server holds; once more if it turns out to have changed its shapes."""
        pinned = None if retrieval is None else retrieval.version
        model = self._models.get(_sought(names, pinned)) or self._learn(names, deadline, pinned)
        try:
            version, outputs = self._predict(model, request, deadline, retrieval)
        except grpc.RpcError as error:
            changed = self._learn(names, deadline, pinned) if error.code() in _RELEARN else model
            if changed == model:
                raise self._explain(error, model.name) from error
        else:
            if version == model.version or retrieval is not None:
                return replace(model, version=version), outputs
            changed = self._learn(names, deadline)
            if changed.contract == model.contract:
                return replace(model, version=version), outputs
        try:
            version, outputs = self._predict(changed, request, deadline, retrieval)
        except grpc.RpcError as error:
            raise self._explain(error, changed.name) from error
        return replace(changed, version=version), outputs

    def _predict(
        self, model: _Model, request: Request, deadline: float, retrieval: Retrieval | None
    ) -> tuple[int, dict[str, Array]]:
        message = PredictRequest()
        message.model_spec.name = model.name
        inputs = request.inputs(model.contract, with_image=retrieval is None)
        if retrieval is None:
            message.model_spec.signature_name = request.signature
        else:
            message.model_spec.version.value = retrieval.version
            ids = [hit.product_id for hit in retrieval.hits]
            scores = [hit.score for hit in retrieval.hits]
            assert model.contract.candidates is not None
            fitted = fit_candidates(ids, scores, model.contract.candidates)
            inputs["candidate_product_id"], inputs["candidate_score"] = fitted
            inputs["query_embedding"] = retrieval.query_embedding[None]
        for name, values in inputs.items():
            message.inputs[name].CopyFrom(make_proto(values))
        response = self._stub.Predict(message, timeout=_remaining(deadline))
        outputs = {name: to_array(proto) for name, proto in response.outputs.items()}
        return response.model_spec.version.value, outputs

    def _learn(self, names: tuple[str, ...], deadline: float, version: int | None = None) -> _Model:
        """The shapes of the first of `names` that the server holds, in the newest version or the one given."""
        sought = _sought(names, version)
        asked = names if time.monotonic() >= self._absent_until.get(sought, 0.0) else ()
        for name in asked:
            request = GetModelMetadataRequest(metadata_field=["signature_def"])
            request.model_spec.name = name
            if version is not None:
                request.model_spec.version.value = version
            try:
                response = self._stub.GetModelMetadata(request, timeout=_remaining(deadline))
            except grpc.RpcError as error:
                if error.code() is grpc.StatusCode.NOT_FOUND:
                    continue
                raise self._explain(error, name) from error
            signatures = SignatureDefMap()
            response.metadata["signature_def"].Unpack(signatures)
            contract = read_contract(signatures.signature_def)
            self._models[sought] = _Model(name, response.model_spec.version.value, contract)
            return self._models[sought]
        self._models.pop(sought, None)
        if asked:
            self._absent_until[sought] = time.monotonic() + _ABSENT_SECONDS
        wanted = " or ".join(names) + ("" if version is None else f" in version {version}")
        raise ModelNotFoundError(f"{self.address} serves no model {wanted}; look at its model config")

    def _explain(self, error: grpc.RpcError, model: str) -> ServingError:
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.UNAVAILABLE:
            return ServerUnavailableError(
                f"no server answers at {self.address} ({details}); start one with `tandem serve`, or check the address"
            )
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return DeadlineError(
                f"{self.address} did not answer in time; allow more than the timeout given, or look at its load"
            )
        if code is grpc.StatusCode.NOT_FOUND:
            return ModelNotFoundError(f"{self.address} serves no such model or version: {details}")
        if code in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION):
            return BadRequestError(f"{model} at {self.address} cannot answer the request: {details}")
        return ServingError(f"{model} at {self.address} failed with {code.name}: {details}")

    def _deadline(self, timeout: float | None) -> float:
        seconds = self._timeout if timeout is None else timeout
        if not seconds > 0:
            raise BadRequestError(f"timeout: received {seconds!r}; expected seconds, more than 0")
        return time.monotonic() + seconds


def _sought(names: tuple[str, ...], version: int | None) -> tuple[str, ...]:
    """What is remembered of some models apart from their newest version: a version of theirs."""
    return names if version is None else (*names, str(version))


def _remaining(deadline: float) -> float:
    return max(deadline - time.monotonic(), 0.0)


def _check_k(k: int) -> None:
    if isinstance(k, bool) or not isinstance(k, int) or k < 1:
        raise BadRequestError(f"k: received {k!r}; expected how many products, 1 or more")


def _hits(outputs: Mapping[str, Array], k: int | None) -> tuple[Hit, ...]:
    """The first k products of a batch of one; places that the index could not fill have no id and are left out."""
    columns = {name: outputs[name][0].tolist() for name in ("retrieval_score", *_PROBABILITIES) if name in outputs}
    hits = []
    for place, (product, score) in enumerate(
        zip(outputs["product_id"][0].tolist(), outputs["score"][0].tolist(), strict=True)
    ):
        product_id = product.decode() if isinstance(product, bytes) else product
        if product_id:
            hits.append(Hit(product_id, score, **{name: values[place] for name, values in columns.items()}))
    return tuple(hits[:k])
