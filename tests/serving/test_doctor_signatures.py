"""Signatures of a release, and what is said of others."""

import pytest
from tensorflow.core.framework import types_pb2

from serving.doctor_signatures import embedding_size, history_length, signature_faults, user_columns
from serving.messages import SignatureDef

STRING, INT64, FLOAT, UINT8 = types_pb2.DT_STRING, types_pb2.DT_INT64, types_pb2.DT_FLOAT, types_pb2.DT_UINT8
REQUEST = {
    "query": (STRING, [-1]),
    "history_product_id": (STRING, [-1, 50]),
    "history_kind": (STRING, [-1, 50]),
    "history_timestamp": (INT64, [-1, 50]),
    "timestamp": (INT64, [-1]),
    "user_country": (STRING, [-1]),
}
OUTPUTS = {"product_id": (STRING, [-1, 200]), "score": (FLOAT, [-1, 200]), "query_embedding": (FLOAT, [-1, 64])}


def signature(inputs: dict[str, tuple[int, list[int]]], outputs: dict[str, tuple[int, list[int]]]) -> SignatureDef:
    made = SignatureDef()
    for side, entries in ((made.inputs, inputs), (made.outputs, outputs)):
        for name, (kind, dims) in entries.items():
            side[name].dtype = kind
            for size in dims:
                side[name].tensor_shape.dim.add().size = size
    return made


def test_a_release_s_form_has_no_fault() -> None:
    signatures = {"serving_default": signature(REQUEST, OUTPUTS)}
    assert signature_faults("retrieval", signatures) == []
    assert history_length(signatures) == 50
    assert embedding_size("retrieval", signatures) == 64
    assert user_columns(signatures) == ("user_country",)


@pytest.mark.parametrize(
    ("inputs", "outputs", "fault"),
    [
        ({"timestamp": None}, {}, "lacks the input timestamp"),
        ({"timestamp": (FLOAT, [-1])}, {}, "takes timestamp as DT_FLOAT, not DT_INT64"),
        ({"query": (STRING, [-1, 1])}, {}, "takes query with 2 dimensions, not 1"),
        ({"history_kind": (STRING, [-1, -1])}, {}, "takes history_kind as [-1, -1]: all but the batch must be fixed"),
        ({"query": (STRING, [1])}, {}, "takes query as [1]: all but the batch"),
        ({"user_country": (INT64, [-1])}, {}, "takes user_country as DT_INT64, not DT_STRING"),
        ({"colour": (STRING, [-1])}, {}, "asks for an input that clients do not send: colour"),
        ({}, {"score": None}, "lacks the output score"),
        ({}, {"score": (STRING, [-1])}, "answers score as DT_STRING, not DT_FLOAT"),
    ],
)
def test_a_difference_is_said(inputs: dict, outputs: dict, fault: str) -> None:
    changed = [
        {name: entry for name, entry in (side | changes).items() if entry is not None}
        for side, changes in ((REQUEST, inputs), (OUTPUTS, outputs))
    ]
    (said,) = signature_faults("retrieval", {"serving_default": signature(*changed)})
    assert said.startswith(f"serving_default: {fault}")


def test_a_missing_signature_and_a_wrong_picture() -> None:
    assert signature_faults("rerank", {}) == ["serving_default: is not there"]
    pictured = signature(REQUEST | {"query_image": (FLOAT, [-1, 64, 64, 3])}, OUTPUTS)
    signatures = {"serving_default": signature(REQUEST, OUTPUTS), "with_image": pictured}
    assert signature_faults("retrieval", signatures) == ["with_image: takes query_image as DT_FLOAT, not DT_UINT8"]
    signatures["with_image"] = signature(REQUEST | {"query_image": (UINT8, [-1, 64, 64, 3])}, OUTPUTS)
    assert signature_faults("retrieval", signatures) == []


def test_a_reranker_for_what_pictures_found_takes_and_gives_what_the_other_does() -> None:
    candidates = {
        "query_embedding": (FLOAT, [-1, 8]),
        "candidate_product_id": (STRING, [-1, 20]),
        "candidate_score": (FLOAT, [-1, 20]),
    }
    scores = {f"{name}_probability": (FLOAT, [-1, 20]) for name in ("click", "cart", "purchase")}
    whole = signature(REQUEST | candidates, scores | {"score": (FLOAT, [-1, 20])})
    assert signature_faults("rerank", {"serving_default": whole, "found_with_image": whole}) == []
    half = signature(REQUEST | candidates, scores)
    faults = signature_faults("rerank", {"serving_default": whole, "found_with_image": half})
    assert faults == ["found_with_image: lacks the output score"]
