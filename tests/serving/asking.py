"""Asking until something holds, and what a Predict came to."""

import time
from collections.abc import Callable

import grpc

from serving.messages import PredictionServiceStub, PredictRequest, PredictResponse


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until it holds, for 30 seconds at most."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.005)


def outcome(stub: PredictionServiceStub, request: PredictRequest) -> PredictResponse | grpc.StatusCode:
    """The answer, or the code of the error in its place."""
    try:
        return stub.Predict(request, timeout=60)
    except grpc.RpcError as error:
        return error.code()
