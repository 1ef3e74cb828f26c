"""Shoppers' requests -> the one message that asks a model for all of them. No connection here."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from serving.answers import Retrieval
from serving.errors import BadRequestError
from serving.protos import GetModelMetadataRequest, PredictRequest
from serving.requests import FOUND_WITH_IMAGE, Contract, Request, fit_candidates
from serving.tensors import Array, make_proto


@dataclass(frozen=True)
class Question:
    """A batch of requests that one signature takes.

    Attributes:
        requests: B of them, all with a picture or all without one.
        retrievals: for a reranker, what retrieval found for each; all of one version, all or none with a picture.
    """

    requests: Sequence[Request]
    retrievals: Sequence[Retrieval] | None = None

    @property
    def version(self) -> int | None:
        """The version that has to answer; None for the newest."""
        return None if self.retrievals is None else self.retrievals[0].version

    def message(self, model: str, contract: Contract, label: str | None = None) -> PredictRequest:
        """The request for `model`; BadRequestError for what it does not take.

        Args:
            label: of the version that has to answer, where the question does not name one.
        """
        message = PredictRequest()
        message.model_spec.name = model
        if self.retrievals is None:
            message.model_spec.signature_name = self.requests[0].signature
            if label is not None:
                message.model_spec.version_label = label
        else:
            message.model_spec.version.value = self.retrievals[0].version
            if self.retrievals[0].with_image and contract.found_with_image:
                message.model_spec.signature_name = FOUND_WITH_IMAGE
        for name, values in self._inputs(contract).items():
            message.inputs[name].CopyFrom(make_proto(values))
        return message

    def _inputs(self, contract: Contract) -> dict[str, Array]:
        rows = [request.inputs(contract, with_image=self.retrievals is None) for request in self.requests]
        for row, retrieval in zip(rows, self.retrievals or (), strict=False):
            if contract.candidates is None:
                raise BadRequestError("the model takes no candidates, so it is no reranker; look at the model config")
            ids = [hit.product_id for hit in retrieval.hits]
            fitted = fit_candidates(ids, [hit.score for hit in retrieval.hits], contract.candidates)
            row["candidate_product_id"], row["candidate_score"] = fitted
            row["query_embedding"] = retrieval.query_embedding[None]
        return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def metadata_message(model: str, version: int | None, label: str | None = None) -> GetModelMetadataRequest:
    """The request for a model's signatures, in the version given, else the one labelled so, else the newest."""
    message = GetModelMetadataRequest(metadata_field=["signature_def"])
    message.model_spec.name = model
    if version is not None:
        message.model_spec.version.value = version
    elif label is not None:
        message.model_spec.version_label = label
    return message
