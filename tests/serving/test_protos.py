"""The messages without TensorFlow: what a client imports, and that the wheels' classes are the same ones."""

import os
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from serving import messages, protos
from serving.local_server import Server

SEARCH = """
import sys
import serving.client, serving.async_client
loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tensorflow_serving", "keras"))
assert not loaded, loaded
with serving.client.SearchClient(sys.argv[1], timeout=60) as client:
    print(client.search("dress", timestamp=0).hits[0].product_id)
assert "tensorflow" not in sys.modules
"""

SAME = """
import pickle
import tensorflow as tf
from serving import messages, protos
from tensorflow.core.framework import tensor_pb2
assert tensor_pb2.TensorProto is protos.TensorProto
for name in set(protos.__all__) & set(messages.__all__):
    assert getattr(messages, name) is getattr(protos, name), name
proto = tf.make_tensor_proto([1.0, 2.0])
assert pickle.loads(pickle.dumps(proto)) == proto
from tensorflow_serving.apis import inference_pb2, model_management_pb2
assert messages.MultiInferenceRequest is inference_pb2.MultiInferenceRequest
assert messages.ReloadConfigRequest is model_management_pb2.ReloadConfigRequest
"""

SERVER = """
import sys
import numpy as np
import pipelines.serve, serving.prove
from pathlib import Path
from serving.servable import Servable
servable = Servable(Path(sys.argv[1]))
servable.run("fails", {"x": np.array([2], np.int32)})
loaded = sorted(name for name in sys.modules if name.split(".")[0] in ("tensorflow", "tensorflow_serving", "keras"))
assert not loaded, loaded
"""

TOKENS = """
import scann, tensorflow_text
assert tensorflow_text.WhitespaceTokenizer().tokenize(["a b"]).to_list() == [[b"a", b"b"]]
"""


def run(program: str, *arguments: str) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_a_client_searches_without_tensorflow(shared_server: Server) -> None:
    assert run(SEARCH, shared_server.address) == "dress"


def test_a_server_loads_and_runs_models_without_tensorflow_s_python(exported: Path) -> None:
    run(SERVER, str(exported / "scale" / "1"))


def test_tensorflow_tf_text_and_scann_may_come_after_a_server(exported: Path) -> None:
    run(SERVER + TOKENS + SAME, str(exported / "scale" / "1"))


def test_services_have_the_methods_of_the_wheel() -> None:
    from tensorflow_serving.apis import model_service_pb2_grpc, prediction_service_pb2_grpc

    for name, wheel in (
        ("PredictionServiceServicer", prediction_service_pb2_grpc),
        ("ModelServiceServicer", model_service_pb2_grpc),
    ):
        methods = {method for method in vars(getattr(wheel, name)) if not method.startswith("_")}
        assert {method for method in vars(getattr(messages, name)) if not method.startswith("_")} == methods
    with grpc.insecure_channel("127.0.0.1:1") as channel:
        assert set(vars(messages.ModelServiceStub(channel))) == {"GetModelStatus", "HandleReloadConfigRequest"}


def test_tensorflow_may_come_after_a_search(shared_server: Server) -> None:
    assert run(SEARCH + SAME, shared_server.address) == "dress"


def test_tensorflow_may_come_before() -> None:
    run("import tensorflow, tensorflow_serving.apis.predict_pb2\n" + SAME)


def test_the_classes_are_the_wheels() -> None:
    for name in set(protos.__all__) & set(messages.__all__):
        assert getattr(messages, name) is getattr(protos, name)
    assert protos.TensorProto.__module__ == "tensorflow.core.framework.tensor_pb2"
    assert protos.DataType.Name(protos.DataType.DT_BFLOAT16) == "DT_BFLOAT16"


def test_a_wheel_that_is_missing_or_of_another_make_is_named() -> None:
    with pytest.raises(ImportError, match="no_such_wheel is not installed"):
        protos._serialized("no_such_wheel/apis/predict.proto")
    with pytest.raises(FileNotFoundError, match="no_such_pb2"):
        protos._serialized("tensorflow_serving/apis/no_such.proto")
    with pytest.raises(ImportError, match="holds no descriptor"):
        protos._serialized("google/protobuf/internal/../any.proto")
