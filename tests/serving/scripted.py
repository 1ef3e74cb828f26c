"""A gRPC server that answers as a test's script says, for what a real one does only by accident."""

import itertools
import threading
from collections.abc import Callable, Iterator
from concurrent import futures

import grpc
import numpy as np

from serving.messages import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictionServiceServicer,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    add_PredictionServiceServicer_to_server,
)
from serving.tensors import make_proto, to_array

WIDTHS = {"query": 1, "history_product_id": 4, "user_country": 1, "candidate_product_id": 3}
"""The inputs that a client reads a model's shapes from, and their second dimension."""

Behaviour = Callable[[PredictRequest, grpc.ServicerContext], PredictResponse]


def answer(request: PredictRequest, context: grpc.ServicerContext, version: int = 1) -> PredictResponse:
    """Each query as the id of the one product; a reranker scores by -candidate_score."""
    queries = to_array(request.inputs["query"])
    outputs = {
        "product_id": queries[:, None],
        "score": np.ones((len(queries), 1), np.float32),
        "query_embedding": np.ones((len(queries), 2), np.float32),
    }
    if "candidate_score" in request.inputs:
        outputs = {"score": -to_array(request.inputs["candidate_score"])}
    response = PredictResponse()
    response.model_spec.version.value = version
    for name, values in outputs.items():
        response.outputs[name].CopyFrom(make_proto(values))
    return response


def fails(code: grpc.StatusCode, details: str = "as scripted") -> Behaviour:
    """A line of a script: an error."""

    def behaviour(request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        context.abort(code, details)

    return behaviour


class Never:
    """A line of a script: no answer until the client gives up.

    Attributes:
        asked: set when the request has come.
        given_up: set when the client gives up.
    """

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.given_up = threading.Event()

    def __call__(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        context.add_callback(self.given_up.set)
        self.asked.set()
        self.given_up.wait(60)
        return PredictResponse()


class ScriptedServer(PredictionServiceServicer):
    """A server that answers each Predict as the model's script says; the last line of a script is repeated.

    Attributes:
        calls: the (method, model) that were asked, in order.
        metadata: what came with the last call.
        widths: the shapes of the models' inputs.
        picture: the edge of a query picture; None where the models take none.
        versions: what the models say their version is when their shapes are asked; the last is repeated.
        broken: models whose shapes come in bytes that do not parse.
    """

    def __init__(self, scripts: dict[str, list[Behaviour]], credentials: grpc.ServerCredentials | None) -> None:
        self._scripts: dict[str, Iterator[Behaviour]] = {}
        for name, script in scripts.items():
            self.load(name, script)
        self.calls: list[tuple[str, str]] = []
        self.metadata: dict[str, str] = {}
        self.widths = dict(WIDTHS)
        self.picture: int | None = None
        self.versions = [1]
        self.broken: set[str] = set()
        self.server = grpc.server(futures.ThreadPoolExecutor(8))
        add_PredictionServiceServicer_to_server(self, self.server)
        if credentials is None:
            port = self.server.add_insecure_port("127.0.0.1:0")
        else:
            port = self.server.add_secure_port("127.0.0.1:0", credentials)
        self.address = f"127.0.0.1:{port}"
        self.server.start()

    def Predict(self, request: PredictRequest, context: grpc.ServicerContext) -> PredictResponse:
        self.calls.append(("Predict", request.model_spec.name))
        self.metadata = dict(context.invocation_metadata())
        return next(self._scripts[request.model_spec.name])(request, context)

    def GetModelMetadata(
        self, request: GetModelMetadataRequest, context: grpc.ServicerContext
    ) -> GetModelMetadataResponse:
        self.calls.append(("GetModelMetadata", request.model_spec.name))
        if request.model_spec.name not in self._scripts:
            context.abort(grpc.StatusCode.NOT_FOUND, f"no {request.model_spec.name}")
        signatures = SignatureDefMap()
        inputs = signatures.signature_def["serving_default"].inputs
        for name, width in self.widths.items():
            if name != "candidate_product_id" or request.model_spec.name == "rerank":
                for size in (-1, width):
                    inputs[name].tensor_shape.dim.add().size = size
        if self.picture is not None:
            shape = signatures.signature_def["with_image"].inputs["query_image"].tensor_shape
            for size in (-1, self.picture, self.picture, 3):
                shape.dim.add().size = size
        response = GetModelMetadataResponse()
        response.model_spec.version.value = self.versions[0]
        self.versions = self.versions[1:] or self.versions
        response.metadata["signature_def"].Pack(signatures)
        if request.model_spec.name in self.broken:
            response.metadata["signature_def"].value = b"\xff"
        return response

    def load(self, model: str, script: list[Behaviour]) -> None:
        """Answer for one more model, or for one as another script says."""
        self._scripts[model] = itertools.chain(script, itertools.repeat(script[-1]))

    def predicted(self, model: str) -> int:
        """How often this model was asked."""
        return self.calls.count(("Predict", model))
