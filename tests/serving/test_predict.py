"""Predict on what a model returns: in which fields it is answered."""

from types import SimpleNamespace
from typing import Any

import numpy as np

from serving.messages import PredictRequest, SignatureDef
from serving.predict import predict


def test_answers_come_in_the_typed_fields_unless_tensor_content_is_wanted() -> None:
    outputs = {"ids": np.array([b"a"], object), "scores": np.array([1.0], np.float32)}
    signature = SignatureDef()
    for name in outputs:
        signature.outputs[name].name = name
    servable: Any = SimpleNamespace(
        signatures={"serving_default": signature}, checks_method_names=False, run=lambda *asked: outputs
    )
    typed = predict(servable, PredictRequest(), None, 1).outputs
    assert (list(typed["ids"].string_val), list(typed["scores"].float_val)) == ([b"a"], [1.0])
    packed = predict(servable, PredictRequest(), None, 1, content=True).outputs
    assert packed["ids"].tensor_content == b"\x01a"  # its length, then the text
    assert packed["scores"].tensor_content == np.array([1.0], np.float32).tobytes()
    assert not packed["ids"].string_val
    assert not packed["scores"].float_val
