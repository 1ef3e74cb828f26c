import threading
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import config_pb2

from serving.c_session import CSession, TensorFlowError, start_threads

CONFIG = config_pb2.ConfigProto(intra_op_parallelism_threads=1)
DTYPES = [
    np.float32, np.float64, np.float16, ml_dtypes.bfloat16, np.int8, np.int16, np.int32, np.int64,
    np.uint8, np.uint16, np.uint32, np.uint64, np.bool_, np.complex64, np.complex128,
]  # fmt: skip


@pytest.fixture(scope="module")
def echo(tmp_path_factory: pytest.TempPathFactory) -> CSession:
    """A graph of two placeholders a dtype with an identity each, and of strings joined."""
    folder = tmp_path_factory.mktemp("echo") / "1"
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        for dtype in DTYPES:
            name = tf.as_dtype(dtype).name
            tf.identity(tf.compat.v1.placeholder(dtype, name=f"in_{name}"), name=f"out_{name}")
        texts = tf.compat.v1.placeholder(tf.string, name="texts")
        tf.identity(texts, name="same_texts")
        tf.strings.join([texts, texts], name="twice")
        tf.strings.lower(texts, encoding="utf-8", name="lower")
        kept = tf.raw_ops.VarHandleOp(dtype=tf.string, shape=[None], shared_name="kept")
        with tf.control_dependencies([tf.raw_ops.AssignVariableOp(resource=kept, value=texts)]):
            tf.constant(1, name="assign")
        tf.raw_ops.ReadVariableOp(resource=kept, dtype=tf.string, name="kept_texts")
        table = tf.raw_ops.MutableHashTableV2(key_dtype=tf.string, value_dtype=tf.int64, shared_name="kept")
        values = tf.ones_like(texts, tf.int64)
        with tf.control_dependencies([tf.raw_ops.LookupTableInsertV2(table_handle=table, keys=texts, values=values)]):
            tf.constant(1, name="insert")
        default = tf.constant(0, tf.int64)
        tf.raw_ops.LookupTableFindV2(table_handle=table, keys=texts, default_value=default, name="found")
        tf.compat.v1.placeholder(tf.resource, name="resource")
        tf.split(tf.constant([1.0, 2.0]), 2, name="halves")
        builder = tf.compat.v1.saved_model.Builder(str(folder))
        builder.add_meta_graph_and_variables(session, ["serve"], {})
        builder.save()
    return CSession(folder, CONFIG)


@pytest.mark.parametrize("dtype", DTYPES, ids=lambda dtype: np.dtype(dtype).name)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 3)])
def test_a_tensor_of_each_dtype_goes_in_and_comes_out(echo: CSession, dtype: type, shape: tuple[int, ...]) -> None:
    name = tf.as_dtype(dtype).name
    value = np.arange(np.prod(shape, dtype=int)).reshape(shape).astype(dtype)
    feeds = {"x": (echo.output(f"in_{name}:0"), value)}
    [out] = echo.run(feeds, [echo.output(f"out_{name}:0")], 0)
    assert out.dtype == value.dtype
    assert out.shape == shape
    assert out.tolist() == value.tolist()


def test_strings_of_every_length_keep_their_bytes(echo: CSession) -> None:
    # Up to 22 bytes lie in TensorFlow's struct, more elsewhere.
    texts = [b"", b"\0", b"a\0b", "é红".encode(), b"x" * 22, b"y" * 23, b"z" * 100_000]
    feeds = {"texts": (echo.output("texts:0"), np.array(texts, object))}
    same, twice = echo.run(feeds, [echo.output("same_texts:0"), echo.output("twice:0")], 0)
    assert same.tolist() == texts
    assert twice.tolist() == [text * 2 for text in texts]


def test_text_is_fed_as_utf8_whatever_holds_it(echo: CSession) -> None:
    for value in (np.array(["é", "b"]), np.array(["é", "b"], object), np.array(["é".encode(), b"b"])):
        [same] = echo.run({"texts": (echo.output("texts"), value)}, [echo.output("same_texts")], 0)
        assert same.tolist() == ["é".encode(), b"b"]
    [none] = echo.run({"texts": (echo.output("texts"), np.empty((0, 4), object))}, [echo.output("same_texts")], 0)
    assert none.shape == (0, 4)


def test_strings_end_where_they_end(echo: CSession) -> None:
    # This kernel reads up to a zero.
    texts = [b"RED DRESS", b"BLUE SHOES", b"A VERY LONG RED EVENING DRESS", b"ANOTHER LONG RED EVENING DRESS", b""]
    feeds = {"texts": (echo.output("texts:0"), np.array(texts, object))}
    [lower] = echo.run(feeds, [echo.output("lower:0")], 0)
    assert lower.tolist() == [text.lower() for text in texts]


def test_a_graph_may_keep_strings_that_it_was_fed(echo: CSession) -> None:
    keys = np.array([f"{place} {'k' * (place % 40)}".encode() for place in range(200)], object)
    other = np.array([b"X" * len(key) for key in keys], object)
    texts, assign, insert = echo.output("texts:0"), echo.output("assign:0"), echo.output("insert:0")
    echo.run({"texts": (texts, keys)}, [assign], 0)
    echo.run({"texts": (texts, keys)}, [insert], 0)
    for _ in range(20):
        echo.run({"texts": (texts, other)}, [echo.output("twice:0")], 0)
    kept, found = echo.run({"texts": (texts, keys)}, [echo.output("kept_texts:0"), echo.output("found:0")], 0)
    assert kept.tolist() == keys.tolist()
    assert found.tolist() == [1] * len(keys)


def test_an_array_that_is_not_contiguous_is_fed_as_it_reads(echo: CSession) -> None:
    value = np.arange(6, dtype=np.float32).reshape(2, 3).T
    [out] = echo.run({"x": (echo.output("in_float32"), value)}, [echo.output("out_float32")], 0)
    assert out.tolist() == [[0, 3], [1, 4], [2, 5]]


def test_outputs_are_named_by_operation_and_index(echo: CSession) -> None:
    first, second = echo.run({}, [echo.output("halves:0"), echo.output("halves:1")], 0)
    assert (first.tolist(), second.tolist()) == ([1.0], [2.0])
    for name in ("halves:2", "halves:x", "halves:-1", "other:0", ""):
        with pytest.raises(KeyError):
            echo.output(name)


def test_errors_carry_tensorflows_code_and_text(echo: CSession) -> None:
    with pytest.raises(TensorFlowError, match="feed a value for placeholder tensor 'texts'") as error:
        echo.run({}, [echo.output("same_texts")], 0)
    assert error.value.code == tf.errors.INVALID_ARGUMENT
    with pytest.raises(TensorFlowError, match="x: dtype datetime64"):
        echo.run({"x": (echo.output("texts"), np.zeros(1, "datetime64[s]"))}, [echo.output("same_texts")], 0)


def test_a_run_takes_the_threads_that_it_is_told_to(exported: Path) -> None:
    config = config_pb2.ConfigProto(intra_op_parallelism_threads=1)
    for size in (2, 1):
        config.session_inter_op_thread_pool.add(num_threads=size, global_name=f"test-{size}")
    session = CSession(exported / "scale" / "1", config)
    slow = session.signatures["slow"]
    feeds = {"steps": (session.output(slow.inputs["steps"].name), np.array(3, np.int32))}
    fetches = [session.output(slow.outputs["sum"].name)]
    for pool in (0, 1):
        assert session.run(feeds, fetches, 0, pool)[0] == pytest.approx(40_000.0)
    with pytest.raises(TensorFlowError, match="inter_op_thread_pool"):
        session.run(feeds, fetches, 0, 2)
    with session.alone():  # whatever it is told
        assert session.run(feeds, fetches, 0, 2)[0] == pytest.approx(40_000.0)
    session.close()


def test_a_run_that_is_out_of_time_ends(exported: Path) -> None:
    session = CSession(exported / "scale" / "1", CONFIG)
    slow = session.signatures["slow"]
    feeds = {"steps": (session.output(slow.inputs["steps"].name), np.array(1_000_000, np.int32))}
    with pytest.raises(TensorFlowError) as error:
        session.run(feeds, [session.output(slow.outputs["sum"].name)], 100)
    assert error.value.code in (tf.errors.DEADLINE_EXCEEDED, tf.errors.CANCELLED)
    session.close()
    session.close()


def test_python_goes_on_while_a_graph_runs(exported: Path) -> None:
    session = CSession(exported / "scale" / "1", CONFIG)
    slow = session.signatures["slow"]
    feeds = {"steps": (session.output(slow.inputs["steps"].name), np.array(1_000_000, np.int32))}
    ended: list[bool] = []

    def run() -> None:
        with pytest.raises(TensorFlowError):
            session.run(feeds, [session.output(slow.outputs["sum"].name)], 500)
        ended.append(True)

    thread = threading.Thread(target=run)
    thread.start()
    turns = 0
    while thread.is_alive():
        turns += 1
        time.sleep(0.001)
    assert ended
    assert turns > 10  # with the lock held there would be one
    session.close()


def test_threads_can_be_started_before_there_is_a_model() -> None:
    before = threading.active_count()
    start_threads(CONFIG)
    start_threads(CONFIG)
    assert threading.active_count() == before  # they are TensorFlow's, not Python's


def test_alone_the_thread_that_calls_does_the_work(tmp_path: Path) -> None:
    with tf.Graph().as_default(), tf.compat.v1.Session() as running:
        size = tf.compat.v1.placeholder(tf.int32, name="size")
        matrix = tf.ones([size, size])
        for _ in range(8):
            matrix = matrix @ matrix * 1e-3
        tf.reduce_sum(matrix, name="sum")
        builder = tf.compat.v1.saved_model.Builder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(running, ["serve"], {})
        builder.save()
    session = CSession(tmp_path / "1", CONFIG)

    def own_share() -> float:
        """Of the process's time on processors, what the calling thread had."""
        own, all_threads = time.thread_time(), time.process_time()
        session.run({"size": (session.output("size:0"), np.array(600, np.int32))}, [session.output("sum:0")], 0)
        return (time.thread_time() - own) / (time.process_time() - all_threads)

    own_share()
    shared = own_share()
    with session.alone():
        alone = own_share()
    afterwards = own_share()
    session.close()
    assert shared < 0.5 < alone
    assert afterwards < 0.5
