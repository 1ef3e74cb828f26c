"""Which models a client asks, in which order, and what it makes of answers and errors: `Plan`s, without I/O."""

import logging
import time
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from serving.answers import Answer, Outputs, Retrieval, read_answers, read_outputs, read_reranked, read_retrievals
from serving.arguments import call_seconds, check_retrieval, product_count, request_list
from serving.calls import Caller, Plan, Reply, Rpc, Work, explain, too_large
from serving.channels import GET_MODEL_METADATA, PREDICT, call_metadata
from serving.client_config import ClientConfig
from serving.errors import (
    BadRequestError,
    DeadlineError,
    ModelNotFoundError,
    ServerUnavailableError,
    ServingError,
)
from serving.protos import PredictRequest, SignatureDefMap
from serving.questions import Question, metadata_message
from serving.requests import Contract, Request, read_contract

_log = logging.getLogger(__name__)

_RETRIEVED = ("product_id", "score", "query_embedding")
_REMEMBERED_SECONDS = 5.0
"""How long a model that the server does not hold is not asked for again, also while another answers in its place, and
shapes are not doubted."""

_RESERVE_SECONDS, _RESERVE_SHARE = 0.02, 0.05
"""What is kept of the time for handing out retrieval's order when the reranker is late: the smaller of the two. With
less than that again before it, the reranker is not asked."""

_LATE = "retrieval left no time for the reranker"

_DEGRADED = {
    DeadlineError: "the reranker was late",
    ModelNotFoundError: "no reranker of retrieval's version is served",
    ServerUnavailableError: "the reranker could not be reached",
    BadRequestError: "the reranker refused the request",
    ServingError: "the reranker failed",
}


@dataclass(frozen=True)
class _Names:
    """Models that do the same, the preferred one first, and what an answer of theirs has to hold."""

    names: tuple[str, ...]
    outputs: tuple[str, ...]


SEARCH = _Names(("search", "search_exact"), ("product_id", "score"))
RETRIEVAL = _Names(("retrieval", "retrieval_exact"), _RETRIEVED)
RERANK = _Names(("rerank",), ("score",))


@dataclass(frozen=True)
class _Model:
    """A model that the server holds, as last seen."""

    name: str
    version: int
    contract: Contract
    learned: float = field(compare=False)


@dataclass(frozen=True)
class CallOptions:
    """What a caller asks for one call, beside the question; the arguments of the client's methods."""

    timeout: float | None = None
    traceparent: str | None = None
    metadata: Mapping[str, str] | None = None


@dataclass(frozen=True)
class _Context:
    """The bounds of one call: its whole timeout, when it has to be done, what is sent along."""

    timeout: float
    deadline: float
    metadata: tuple[tuple[str, str], ...]


class Planner:
    """Plans searches. Shapes are learned from the server, and again when it serves a new version.

    Threads may share one; what it remembers is replaced in whole.
    """

    def __init__(self, config: ClientConfig) -> None:
        self._config = config
        self._caller = Caller(config)
        self._models: dict[tuple[_Names, int | None], _Model] = {}
        self._contracts: dict[tuple[str, int], Contract] = {}
        self._absent_until: dict[tuple[_Names, int | None], float] = {}

    def search(self, requests: Iterable[Request], k: int, options: CallOptions) -> Plan[list[Answer]]:
        """An answer to each request, in order. One RPC, or one for those with and one for those without a picture."""
        wanted, requests = product_count(k), request_list(requests)
        context = self._context(options)
        answers: dict[int, Answer] = {}
        for signature in dict.fromkeys(request.signature for request in requests):
            places = [place for place, request in enumerate(requests) if request.signature == signature]
            found = yield from self._search([requests[place] for place in places], wanted, context)
            answers.update(zip(places, found, strict=True))
        return [answers[place] for place in range(len(requests))]

    def retrieve(self, request: Request, options: CallOptions) -> Plan[Retrieval]:
        """All candidates."""
        found = yield from self._retrieve([request], self._context(options))
        return found[0]

    def rerank(self, request: Request, retrieval: Retrieval, k: int, options: CallOptions) -> Plan[Answer]:
        """The candidates in the order of the reranker of their version."""
        wanted = product_count(k)
        check_retrieval(retrieval)
        answers = yield from self._rerank([request], [retrieval], wanted, self._context(options))
        return answers[0]

    def _search(self, requests: Sequence[Request], k: int, context: _Context) -> Plan[list[Answer]]:
        try:
            outputs = yield from self._ask(SEARCH, Question(requests), context)
        except ModelNotFoundError:
            return (yield from self._retrieve_and_rerank(requests, k, context))
        return read_answers(outputs, k, [request.exclude for request in requests])

    def _retrieve_and_rerank(self, requests: Sequence[Request], k: int, context: _Context) -> Plan[list[Answer]]:
        reserve = min(_RESERVE_SECONDS, _RESERVE_SHARE * context.timeout)
        in_time = replace(context, deadline=context.deadline - reserve)
        try:
            retrievals = yield from self._retrieve(requests, in_time)
        except ModelNotFoundError as error:
            self._absent_until.clear()
            tried = ", ".join((*SEARCH.names, *RETRIEVAL.names))
            label = self._config.version_label
            which = "" if label is None else f" in a version labelled {label!r}"
            raise ModelNotFoundError(
                f"{self._config.target} serves none of {tried}{which}; look at its model config, or release one with "
                "`tandem run`"
            ) from error
        reason = _LATE
        if in_time.deadline - time.monotonic() > reserve:
            try:
                return (yield from self._rerank(requests, retrievals, k, in_time))
            except ServingError as error:
                _log.info("retrieval's order stands: %s", error)
                reason = _DEGRADED.get(type(error), _DEGRADED[ServingError])
        return [
            _retrieved(found, request.exclude, k, reason) for found, request in zip(retrievals, requests, strict=True)
        ]

    def _retrieve(self, requests: Sequence[Request], context: _Context) -> Plan[list[Retrieval]]:
        outputs = yield from self._ask(RETRIEVAL, Question(requests), context)
        return read_retrievals(outputs, with_image=requests[0].image is not None)

    def _rerank(
        self, requests: Sequence[Request], retrievals: Sequence[Retrieval], k: int, context: _Context
    ) -> Plan[list[Answer]]:
        outputs = yield from self._ask(RERANK, Question(requests, retrievals), context)
        return read_reranked(outputs, retrievals, k, [request.exclude for request in requests])

    def _ask(self, names: _Names, question: Question, context: _Context) -> Plan[Outputs]:
        """Ask the first of `names` that the server holds; once more if it turns out to have changed its shapes."""
        sought = (names, question.version)
        model = self._models.get(sought)
        if model is not None and model.name != names.names[0] and _is_old(model):
            self._models[sought] = replace(model, learned=time.monotonic())  # one call looks for the preferred one
            model = None
        model = model or (yield from self._learn(names, question.version, context))
        try:
            message = yield from self._message(question, model)
        except BadRequestError:
            if not _is_old(model):
                raise
            model = yield from self._learn(names, question.version, context)
            message = yield from self._message(question, model)
        try:
            response = yield from self._call(PREDICT, message, model.name, context)
        except (BadRequestError, ModelNotFoundError) as error:
            if too_large(error.__cause__):
                raise
            changed = yield from self._learn(names, question.version, context)
            if changed == model:
                raise
            model = changed
            message = yield from self._message(question, model)
            response = yield from self._call(PREDICT, message, model.name, context)
        width = model.contract.candidates
        outputs = read_outputs(response, model.name, len(question.requests), names.outputs, width)
        if outputs.version != model.version:
            self._follow(sought, model, outputs.version)
        return outputs

    def _message(self, question: Question, model: _Model) -> Plan[PredictRequest]:
        """The request; decoding a picture is work that other tasks should not wait for."""
        build = partial(question.message, model.name, model.contract, self._config.version_label)
        if question.retrievals is not None or question.requests[0].image is None:
            return build()
        built: Reply = yield Work(build)
        if built.error is not None:
            raise built.error
        return built.response

    def _follow(self, sought: tuple[_Names, int | None], model: _Model, version: int) -> None:
        """Another version answered than was learned: behind one address there may be servers of both for a while."""
        contract = self._contracts.get((model.name, version))
        if contract is None:
            self._models.pop(sought, None)
        else:
            self._models[sought] = replace(model, version=version, contract=contract)

    def _learn(self, names: _Names, version: int | None, context: _Context) -> Plan[_Model]:
        """The shapes of the first of `names` that the server holds, in the version given, else by the label."""
        sought = (names, version)
        asked = names.names if time.monotonic() >= self._absent_until.get(sought, 0.0) else ()
        for name in asked:
            message = metadata_message(name, version, self._config.version_label)
            try:
                response = yield from self._call(GET_MODEL_METADATA, message, name, context)
            except ModelNotFoundError:
                continue
            signatures = SignatureDefMap()
            try:
                response.metadata["signature_def"].Unpack(signatures)
            except DecodeError as error:
                raise ServingError(f"{name} answered with unreadable signatures: {error}") from error
            model = _Model(
                name, response.model_spec.version.value, read_contract(signatures.signature_def), time.monotonic()
            )
            self._models[sought] = model
            self._contracts[model.name, model.version] = model.contract
            return model
        self._models.pop(sought, None)
        if asked:
            self._absent_until[sought] = time.monotonic() + _REMEMBERED_SECONDS
        label = self._config.version_label
        which = f" in version {version}" if version is not None else "" if label is None else f" labelled {label!r}"
        wanted = " or ".join(names.names) + which
        raise ModelNotFoundError(f"{self._config.target} serves no model {wanted}; look at its model config")

    def _call(self, method: str, message: Any, model: str, context: _Context) -> Plan[Any]:
        try:
            return (yield from self._caller.call(Rpc(method, message, context.deadline, context.metadata)))
        except grpc.RpcError as error:
            raise explain(error, model, self._config.target) from error

    def _context(self, options: CallOptions) -> _Context:
        seconds = call_seconds(self._config.timeout if options.timeout is None else options.timeout)
        metadata = call_metadata(self._config, options.traceparent, options.metadata)
        return _Context(seconds, time.monotonic() + seconds, metadata)


def _is_old(model: _Model) -> bool:
    return time.monotonic() - model.learned >= _REMEMBERED_SECONDS


def _retrieved(found: Retrieval, excluded: Collection[str], k: int, degraded: str) -> Answer:
    """Retrieval's order, when the reranker gives none."""
    hits = tuple(hit for hit in found.hits if hit.product_id not in excluded)[:k]
    return Answer(hits, found.model, found.version, reranked=False, degraded=degraded)
