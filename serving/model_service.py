"""ModelService over gRPC: GetModelStatus and HandleReloadConfigRequest."""

from collections.abc import Callable

import grpc

from serving.auth import Token
from serving.errors import Rejection, invalid_argument
from serving.manager import ModelManager
from serving.messages import (
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelServiceServicer,
    ModelSpec,
    ReloadConfigRequest,
    ReloadConfigResponse,
)
from serving.prediction_service import answer, metadata_of


class ModelService(ModelServiceServicer):
    """Tells the state of versions, and takes a new model config.

    Args:
        manager: the models.
        token: what a new config asks for; None for nothing.
        count: what the counter of a name has counted; 0 for a name that is no counter's.
    """

    def __init__(
        self, manager: ModelManager, token: Token | None = None, count: Callable[[str], int] = lambda name: 0
    ) -> None:
        self._manager = manager
        self._token = token
        self._count = count

    def GetModelStatus(self, request: GetModelStatusRequest, context: grpc.ServicerContext) -> GetModelStatusResponse:
        """The states of a model's versions, newest first, or of the one asked for."""
        return answer(context, "GetModelStatus", request.model_spec, lambda: model_status(self._manager, request))

    def HandleReloadConfigRequest(
        self, request: ReloadConfigRequest, context: grpc.ServicerContext
    ) -> ReloadConfigResponse:
        """Replace the list of models; tells by how much the counters named by `metric_names` rose meanwhile."""
        return answer(context, "HandleReloadConfigRequest", ModelSpec(), lambda: self._reload(request, context))

    def _reload(self, request: ReloadConfigRequest, context: grpc.ServicerContext) -> ReloadConfigResponse:
        if self._token is not None:
            self._token.check(metadata_of(context, "authorization"))
        if request.config.WhichOneof("config") != "model_config_list":
            raise invalid_argument(
                "ServerModelConfig type not supported by HandleReloadConfigRequest. "
                "Only ModelConfigList is currently supported"
            )
        before = {name: self._count(name) for name in request.metric_names}
        self._manager.reload(request.config)
        response = ReloadConfigResponse()
        response.status.error_code = 0
        for name, count in before.items():
            response.metric.add(name=name, int64_value_increase=self._count(name) - count)
        return response


def model_status(manager: ModelManager, request: GetModelStatusRequest) -> GetModelStatusResponse:
    """The states of a model's versions; Rejection NOT_FOUND if there are none."""
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    spec = request.model_spec
    versions = manager.states(spec.name)
    if spec.WhichOneof("version_choice") == "version":
        versions = [version for version in versions if version.number == spec.version.value]
        if not versions:
            text = f"Could not find version {spec.version.value} of model {spec.name}"
            raise Rejection(grpc.StatusCode.NOT_FOUND, text)
    if not versions:
        raise Rejection(grpc.StatusCode.NOT_FOUND, f"Could not find any versions of model {spec.name}")
    response = GetModelStatusResponse()
    for version in versions:
        status = response.model_version_status.add()
        status.version = version.number
        status.state = int(version.state)
        status.status.error_code = version.error.code.value[0] if version.error else 0
        status.status.error_message = version.error.message if version.error else ""
    return response
