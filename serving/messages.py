"""The messages and services of TF Serving's API that a server needs, made without importing TensorFlow (protos.py).

The services are made of their descriptors: the modules of the wheel that hold them import TensorFlow, and raise on
current protobuf (`has_options ... not writable`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from serving.protos import (
    DataType,
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    PredictRequest,
    PredictResponse,
    SignatureDef,
    SignatureDefMap,
    TensorProto,
    message_class,
    register,
)

PREDICTION_SERVICE = "tensorflow.serving.PredictionService"
MODEL_SERVICE = "tensorflow.serving.ModelService"

__all__ = [
    "MODEL_SERVICE",
    "PREDICTION_SERVICE",
    "ClassificationRequest",
    "ClassificationResponse",
    "ClassificationResult",
    "ConfigProto",
    "DataType",
    "Example",
    "Feature",
    "GetModelMetadataRequest",
    "GetModelMetadataResponse",
    "GetModelStatusRequest",
    "GetModelStatusResponse",
    "InferenceTask",
    "Input",
    "MetaGraphDef",
    "ModelConfig",
    "ModelConfigList",
    "ModelServerConfig",
    "ModelServiceServicer",
    "ModelServiceStub",
    "ModelSpec",
    "ModelVersionStatus",
    "MultiInferenceRequest",
    "MultiInferenceResponse",
    "PredictLog",
    "PredictRequest",
    "PredictResponse",
    "PredictionLog",
    "PredictionServiceServicer",
    "PredictionServiceStub",
    "RegressionRequest",
    "RegressionResponse",
    "RegressionResult",
    "ReloadConfigRequest",
    "ReloadConfigResponse",
    "RewriterConfig",
    "RunOptions",
    "SignatureDef",
    "SignatureDefMap",
    "TensorInfo",
    "TensorProto",
    "add_ModelServiceServicer_to_server",
    "add_PredictionServiceServicer_to_server",
]


def _service(proto: str, name: str) -> ServiceDescriptor:
    return register(proto).services_by_name[name]


def _stub(service: ServiceDescriptor) -> type:
    """What calls each method over a channel: `stub(channel).Predict(request, timeout=...)`."""

    def __init__(self: Any, channel: grpc.Channel) -> None:
        for method in service.methods:
            call = channel.unary_unary(
                f"/{service.full_name}/{method.name}",
                request_serializer=message_class(method.input_type.full_name).SerializeToString,
                response_deserializer=message_class(method.output_type.full_name).FromString,
            )
            setattr(self, method.name, call)

    return type(f"{service.name}Stub", (), {"__init__": __init__})


def _servicer(service: ServiceDescriptor) -> type:
    """What answers each method with UNIMPLEMENTED, until a class of it does better."""

    def refuse(self: Any, request: Any, context: grpc.ServicerContext) -> None:
        context.abort(grpc.StatusCode.UNIMPLEMENTED, "Method not implemented!")

    return type(f"{service.name}Servicer", (), {method.name: refuse for method in service.methods})


def _adder(service: ServiceDescriptor) -> Callable[[Any, grpc.Server], None]:
    """What adds a servicer to a server."""

    def add(servicer: Any, server: grpc.Server) -> None:
        handlers = {
            method.name: grpc.unary_unary_rpc_method_handler(
                getattr(servicer, method.name),
                request_deserializer=message_class(method.input_type.full_name).FromString,
                response_serializer=message_class(method.output_type.full_name).SerializeToString,
            )
            for method in service.methods
        }
        server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service.full_name, handlers),))

    return add


_PREDICTION = _service("tensorflow_serving/apis/prediction_service.proto", "PredictionService")
_MODEL = _service("tensorflow_serving/apis/model_service.proto", "ModelService")
for _proto in (
    "tensorflow/core/example/example.proto",
    "tensorflow/core/protobuf/config.proto",
    "tensorflow_serving/apis/prediction_log.proto",
    "tensorflow_serving/config/model_server_config.proto",
):
    register(_proto)

if TYPE_CHECKING:
    from tensorflow.core.example.example_pb2 import Example
    from tensorflow.core.example.feature_pb2 import Feature
    from tensorflow.core.protobuf.config_pb2 import ConfigProto, RunOptions
    from tensorflow.core.protobuf.meta_graph_pb2 import MetaGraphDef, TensorInfo
    from tensorflow.core.protobuf.rewriter_config_pb2 import RewriterConfig
    from tensorflow_serving.apis.classification_pb2 import (
        ClassificationRequest,
        ClassificationResponse,
        ClassificationResult,
    )
    from tensorflow_serving.apis.get_model_status_pb2 import (
        GetModelStatusRequest,
        GetModelStatusResponse,
        ModelVersionStatus,
    )
    from tensorflow_serving.apis.inference_pb2 import InferenceTask, MultiInferenceRequest, MultiInferenceResponse
    from tensorflow_serving.apis.input_pb2 import Input
    from tensorflow_serving.apis.model_management_pb2 import ReloadConfigRequest, ReloadConfigResponse
    from tensorflow_serving.apis.model_pb2 import ModelSpec
    from tensorflow_serving.apis.model_service_pb2_grpc import (
        ModelServiceServicer,
        ModelServiceStub,
        add_ModelServiceServicer_to_server,
    )
    from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog
    from tensorflow_serving.apis.prediction_service_pb2_grpc import (
        PredictionServiceServicer,
        PredictionServiceStub,
        add_PredictionServiceServicer_to_server,
    )
    from tensorflow_serving.apis.regression_pb2 import RegressionRequest, RegressionResponse, RegressionResult
    from tensorflow_serving.config.model_server_config_pb2 import ModelConfig, ModelConfigList, ModelServerConfig
else:
    Example = message_class("tensorflow.Example")
    Feature = message_class("tensorflow.Feature")
    ConfigProto = message_class("tensorflow.ConfigProto")
    RunOptions = message_class("tensorflow.RunOptions")
    MetaGraphDef = message_class("tensorflow.MetaGraphDef")
    TensorInfo = message_class("tensorflow.TensorInfo")
    RewriterConfig = message_class("tensorflow.RewriterConfig")
    ClassificationRequest = message_class("tensorflow.serving.ClassificationRequest")
    ClassificationResponse = message_class("tensorflow.serving.ClassificationResponse")
    ClassificationResult = message_class("tensorflow.serving.ClassificationResult")
    GetModelStatusRequest = message_class("tensorflow.serving.GetModelStatusRequest")
    GetModelStatusResponse = message_class("tensorflow.serving.GetModelStatusResponse")
    ModelVersionStatus = message_class("tensorflow.serving.ModelVersionStatus")
    InferenceTask = message_class("tensorflow.serving.InferenceTask")
    MultiInferenceRequest = message_class("tensorflow.serving.MultiInferenceRequest")
    MultiInferenceResponse = message_class("tensorflow.serving.MultiInferenceResponse")
    Input = message_class("tensorflow.serving.Input")
    ReloadConfigRequest = message_class("tensorflow.serving.ReloadConfigRequest")
    ReloadConfigResponse = message_class("tensorflow.serving.ReloadConfigResponse")
    ModelSpec = message_class("tensorflow.serving.ModelSpec")
    PredictionLog = message_class("tensorflow.serving.PredictionLog")
    PredictLog = message_class("tensorflow.serving.PredictLog")
    RegressionRequest = message_class("tensorflow.serving.RegressionRequest")
    RegressionResponse = message_class("tensorflow.serving.RegressionResponse")
    RegressionResult = message_class("tensorflow.serving.RegressionResult")
    ModelConfig = message_class("tensorflow.serving.ModelConfig")
    ModelConfigList = message_class("tensorflow.serving.ModelConfigList")
    ModelServerConfig = message_class("tensorflow.serving.ModelServerConfig")
    ModelServiceStub, PredictionServiceStub = _stub(_MODEL), _stub(_PREDICTION)
    ModelServiceServicer, PredictionServiceServicer = _servicer(_MODEL), _servicer(_PREDICTION)
    add_ModelServiceServicer_to_server = _adder(_MODEL)
    add_PredictionServiceServicer_to_server = _adder(_PREDICTION)
