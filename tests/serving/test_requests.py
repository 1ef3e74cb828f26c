import io
import math
import time
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from serving.errors import BadRequestError
from serving.protos import SignatureDef
from serving.requests import Contract, HistoryEvent, Request, epoch_seconds, fit_candidates, read_contract

CONTRACT = Contract(history=3, user_columns=("city", "country"), picture=8, candidates=None)


def png(colour: tuple[int, int, int] = (255, 0, 0)) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (20, 20), colour).save(data, "PNG")
    return data.getvalue()


def test_a_stranger_with_an_empty_query_is_ordinary() -> None:
    inputs = Request().inputs(CONTRACT)
    assert inputs["query"].tolist() == [b""]
    assert inputs["history_product_id"].tolist() == [[b"", b"", b""]]
    assert inputs["history_kind"].tolist() == [[b"", b"", b""]]
    assert inputs["history_timestamp"].tolist() == [[0, 0, 0]]
    assert inputs["user_city"].tolist() == [b""]
    assert abs(int(inputs["timestamp"][0]) - time.time()) < 5  # stamped with the time of the request


def test_histories_are_sorted_and_padded_on_the_left() -> None:
    events = [HistoryEvent("b", "cart", 20), HistoryEvent("a", "view", 10)]
    inputs = Request("dress", events, timestamp=30).inputs(CONTRACT)
    assert inputs["history_product_id"].tolist() == [[b"", b"a", b"b"]]
    assert inputs["history_kind"].tolist() == [[b"", b"view", b"cart"]]
    assert inputs["history_timestamp"].tolist() == [[0, 10, 20]]
    assert inputs["timestamp"].tolist() == [30]


@pytest.mark.parametrize(
    ("earlier", "later", "second"),
    [
        (100.2, 100.9, 100),
        (100, np.float64(100.5), 100),
        (datetime(1970, 1, 1), datetime(1970, 1, 1, microsecond=1), 0),
        (60, datetime(1970, 1, 1, 0, 1, microsecond=800_000), 60),
    ],
)
def test_events_of_one_second_are_sorted_by_its_fractions(
    earlier: float | datetime, later: float | datetime, second: int
) -> None:
    request = Request(history=[HistoryEvent("b", "cart", later), HistoryEvent("a", "view", earlier)])
    inputs = request.inputs(CONTRACT)
    assert inputs["history_product_id"].tolist() == [[b"", b"a", b"b"]]
    assert inputs["history_timestamp"].tolist() == [[0, second, second]]
    assert request.inputs(Contract(1, (), None, None))["history_product_id"].tolist() == [[b"b"]]


def test_long_histories_keep_their_last_events() -> None:
    events = [HistoryEvent(f"p{i}", "click", i) for i in range(100)]
    assert Request(history=events).inputs(CONTRACT)["history_product_id"].tolist() == [[b"p97", b"p98", b"p99"]]


@given(st.lists(st.integers(0, 1000), max_size=8), st.integers(0, 10))
@settings(deadline=None)
def test_every_history_has_the_length_of_the_contract(moments: list[int], length: int) -> None:
    events = [HistoryEvent("p", "click", moment) for moment in moments]
    contract = Contract(length, (), None, None)
    stamps = Request(history=events).inputs(contract)["history_timestamp"]
    assert stamps.shape == (1, length)
    kept = sorted(moments)[max(len(moments) - length, 0) :]
    assert stamps[0].tolist() == [0] * (length - len(kept)) + kept


def test_queries_are_bounded() -> None:
    assert Request("红" * 1_000_000).inputs(CONTRACT)["query"].tolist() == [("红" * 1000).encode()]


def test_pictures_are_decoded_to_the_signatures_size() -> None:
    request = Request(image=png())
    assert request.signature == "with_image"
    pixels = request.inputs(CONTRACT)["query_image"]
    assert (pixels.shape, pixels.dtype) == ((1, 8, 8, 3), np.uint8)
    assert pixels[0, 4, 4].tolist() == [255, 0, 0]
    assert "query_image" not in request.inputs(CONTRACT, with_image=False)


@pytest.mark.parametrize("data", [b"", b"no picture", png()[:50]], ids=["empty", "garbage", "truncated"])
def test_broken_pictures_are_the_callers_error(data: bytes) -> None:
    with pytest.raises(BadRequestError, match="image: "):
        Request(image=data).inputs(CONTRACT)


def test_a_model_without_pictures_says_so() -> None:
    with pytest.raises(BadRequestError, match="no signature with_image"):
        Request(image=png()).inputs(Contract(3, (), None, None))


def test_user_columns_are_the_models() -> None:
    inputs = Request(user={"country": "NL"}).inputs(CONTRACT)
    assert (inputs["user_country"].tolist(), inputs["user_city"].tolist()) == ([b"NL"], [b""])
    with pytest.raises(BadRequestError, match="received the columns age; this model knows city, country"):
        Request(user={"age": "40"}).inputs(CONTRACT)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ({"query": b"bytes"}, "query: received b'bytes'"),
        ({"query": None}, "query: received None"),
        ({"query": "\ud800"}, "not valid Unicode"),
        ({"history": None}, "history: received None; expected HistoryEvents"),
        ({"history": HistoryEvent("p", "click", 1)}, r"history: received HistoryEvent\(.*; expected HistoryEvents"),
        ({"history": [("p", "click", 1)]}, "expected HistoryEvent"),
        ({"history": [HistoryEvent(7, "click", 1)]}, "history product_id: received 7"),
        ({"history": [HistoryEvent("p" * 513, "click", 1)]}, "513 characters; at most 512"),
        ({"history": [HistoryEvent("p", "bought", 1)]}, "received 'bought'; expected one of view, click, cart"),
        ({"history": [HistoryEvent("p", "impression", 1)]}, "history kind"),
        ({"history": [HistoryEvent("p", np.array(["view", "cart"]), 1)]}, "history kind: received array"),
        ({"history": [HistoryEvent("p", np.array(["view"]), 1)]}, "history kind: received array"),
        ({"history": [HistoryEvent("p", "click", math.nan)]}, "history timestamp: received nan"),
        ({"history": [HistoryEvent("p", "click", -1)]}, "history timestamp: received -1"),
        ({"history": [HistoryEvent("p", "click", "2024")]}, "history timestamp: received '2024'"),
        ({"timestamp": 1_700_000_000_000}, "milliseconds"),
        ({"timestamp": math.inf}, "timestamp: received inf; expected"),
        ({"timestamp": 10**400}, r"more than 30 digits \(are these milliseconds"),
        ({"timestamp": -(10**5000)}, "more than 30 digits; expected"),
        ({"timestamp": True}, "timestamp: received True"),
        ({"user": {"city": 3}}, "user column 'city': received 3"),
        ({"user": ["NL"]}, "user: received \\['NL'\\]; expected a mapping"),
        ({"user": "NL"}, "user: received 'NL'; expected a mapping"),
        ({"user": {3: "NL"}}, "user column: received 3"),
        ({"image": "picture.png"}, "expected the bytes of a picture file"),
        ({"exclude": "p1"}, "exclude: received the text 'p1'; expected product ids"),
        ({"exclude": [7]}, "exclude: received 7"),
        ({"exclude": [["p1"]]}, "exclude: received \\['p1'\\]"),
        ({"exclude": None}, "exclude: received None; expected product ids"),
    ],
)
def test_wrong_input_is_named(arguments: dict[str, object], reason: str) -> None:
    with pytest.raises(BadRequestError, match=reason):
        Request(**arguments)


def test_what_can_be_read_once_is_kept() -> None:
    event = HistoryEvent("p", "click", 1)
    request = Request(history=(each for each in [event]), exclude=(each for each in ["a", "b"]))
    assert (request.history, request.exclude) == ((event,), {"a", "b"})
    assert request == Request(history=[event], exclude=["b", "a"])


def test_datetimes_are_utc_unless_they_say_otherwise() -> None:
    assert epoch_seconds(datetime(1970, 1, 1, 0, 1), "t") == 60
    assert epoch_seconds(datetime(1970, 1, 1, 0, 1, tzinfo=UTC), "t") == 60
    assert epoch_seconds(datetime(1970, 1, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), "t") == 60
    assert epoch_seconds(datetime(1970, 1, 1, 0, 1, microsecond=500_000), "t") == 60.5


def test_candidates_are_cut_and_padded() -> None:
    ids, scores = fit_candidates(["a", "b"], [0.5, 0.25], 3)
    assert (ids.tolist(), scores.tolist()) == ([[b"a", b"b", b""]], [[0.5, 0.25, 0.0]])
    assert fit_candidates(["a", "b"], [0.5, 0.25], 1)[0].tolist() == [[b"a"]]
    for score in (math.nan, "1", None):
        with pytest.raises(BadRequestError, match=f"candidate score: received {score!r}; expected a finite number"):
            fit_candidates(["a"], [score], 1)
    for product_id, reason in ((5, "received 5"), ("\ud800", "not valid Unicode")):
        with pytest.raises(BadRequestError, match=f"candidate product_id: .*{reason}"):
            fit_candidates([product_id], [1.0], 1)


def signature(**inputs: tuple[int, ...]) -> SignatureDef:
    """The SignatureDef of inputs of these shapes."""
    made = SignatureDef()
    for name, shape in inputs.items():
        dims = made.inputs[name].tensor_shape.dim
        for size in shape:
            dims.add().size = size
    return made


def test_a_contract_is_what_signatures_say() -> None:
    asked = {"query": (-1,), "history_product_id": (-1, 50), "user_city": (-1,)}
    default, pictured = signature(**asked), signature(**asked, query_image=(-1, 64, 64, 3))
    assert read_contract({"serving_default": default}) == Contract(50, ("city",), None, None)
    assert read_contract({"serving_default": default, "with_image": pictured}) == Contract(50, ("city",), 64, None)
    reranker = signature(**asked, candidate_product_id=(-1, 200))
    assert read_contract({"serving_default": reranker}) == Contract(50, ("city",), None, 200)


@pytest.mark.parametrize(
    ("signatures", "message"),
    [
        ({}, "takes no query and history"),
        ({"serving_default": signature(query=(-1,))}, "takes no query and history"),
        ({"serving_default": signature(query=(-1,), history_product_id=())}, "how wide its input history_product"),
        ({"serving_default": signature(query=(-1,), history_product_id=(-1, -1))}, "input history_product_id is"),
        (
            {"serving_default": signature(query=(-1,), history_product_id=(-1, 5)), "with_image": signature()},
            "input query_image is",
        ),
        (
            {"serving_default": signature(query=(-1,), history_product_id=(-1, 5), candidate_product_id=(-1, -1))},
            "input candidate_product_id is",
        ),
    ],
)
def test_a_model_of_another_kind_is_the_callers_error(signatures: dict[str, SignatureDef], message: str) -> None:
    with pytest.raises(BadRequestError, match=message):
        read_contract(signatures)
