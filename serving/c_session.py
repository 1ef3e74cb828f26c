"""A TensorFlow session over the C API (tensorflow/c/c_api.h): loads and runs SavedModels without Python's lock.

Python's own loader rebuilds the whole graph as Python objects and holds the lock for it: with a large model a server
would answer nobody for half a second at each change of version, and keep the objects.
"""

import ctypes
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from serving.c_api import SHORT, SMALL, STRING_BYTES, Buffer, Output, free_strings, library
from serving.messages import ConfigProto, DataType, MetaGraphDef, RunOptions, SignatureDef
from serving.tensors import Array, data_type_of, dtype_of
from serving.wire import fields

_STRING = DataType.DT_STRING
_SIGNATURES = 5  # MetaGraphDef.signature_def
_CALLING_THREAD = -1  # RunOptions.inter_op_thread_pool; the others are places in the config

CANCELLED, INVALID_ARGUMENT, DEADLINE_EXCEEDED, RESOURCE_EXHAUSTED, UNIMPLEMENTED = 1, 3, 4, 8, 12
"""TF_Code, tensorflow/c/tf_status.h."""

DEFAULT_TAGS = ("serve",)
"""Of the graph that `tf.saved_model.save` writes."""


class TensorFlowError(Exception):
    """An error status of TensorFlow: its code, numbered as gRPC's are, and its text."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def load_library(path: Path) -> None:
    """Register the ops of a shared library in this process; once more is as good as once.

    Raises:
        TensorFlowError: if it cannot be loaded.
    """
    status = _Status()
    library().TF_LoadLibrary(str(path).encode(), status)
    status.check()


class CSession:
    """A SavedModel's graph and variables, tables initialised.

    Args:
        path: the folder of saved_model.pb.
        config: threads and devices.
        tags: of the MetaGraph to load, which has these and no others.

    Attributes:
        signatures: by name.

    Raises:
        TensorFlowError: if it cannot be loaded.
    """

    def __init__(self, path: Path, config: ConfigProto, tags: Sequence[str] = DEFAULT_TAGS) -> None:
        api, status = library(), _Status()
        meta_graph = api.TF_NewBuffer()
        self._settings: dict[str, int] = {}
        options = _run_options(inter_op_thread_pool=_CALLING_THREAD)  # the session's own have their own priority
        names = (ctypes.c_char_p * len(tags))(*(tag.encode() for tag in tags))
        self._graph, self._handle = api.TF_NewGraph(), None
        try:
            with _SessionOptions(config) as session_options:
                self._handle = api.TF_LoadSessionFromSavedModel(
                    session_options, options, str(path).encode(), names, len(tags), self._graph, meta_graph, status
                )
            status.check()
            found = ctypes.cast(meta_graph, ctypes.POINTER(Buffer)).contents
            self.signatures = _signatures(ctypes.string_at(found.data, found.length))
        except BaseException:
            self.close()
            raise
        finally:
            api.TF_DeleteBuffer(meta_graph)
            api.TF_DeleteBuffer(options)

    def output(self, name: str) -> Output:
        """The tensor `operation:index` of the graph; KeyError where there is none."""
        operation, _, index = name.partition(":")
        handle = library().TF_GraphOperationByName(self._graph, operation.encode())
        if not handle or not (index or "0").isdecimal() or int(index or 0) >= library().TF_OperationNumOutputs(handle):
            raise KeyError(name)
        return Output(handle, int(index or 0))

    def run(
        self, feeds: Mapping[str, tuple[Output, Array]], fetches: Sequence[Output], milliseconds: int, pool: int = 0
    ) -> list[Array]:
        """Run the graph.

        Args:
            feeds: tensors and their values by what a message calls them; strings as arrays of bytes or str.
            fetches: tensors.
            milliseconds: after which the run is given up; 0 for never.
            pool: which of the config's pools of threads runs the ops; the first one where it names none.

        Returns:
            A value for each of `fetches`; strings as object arrays of bytes.

        Raises:
            TensorFlowError: as the run ended.
        """
        api, status = library(), _Status()
        given, got = (ctypes.c_void_p * len(feeds))(), (ctypes.c_void_p * len(fetches))()
        settings = dict(self._settings)
        if milliseconds:
            settings["timeout_in_ms"] = milliseconds
        if pool:
            settings.setdefault("inter_op_thread_pool", pool)
        options = _run_options(**settings) if settings else None
        try:
            for place, (name, (_, value)) in enumerate(feeds.items()):
                try:
                    given[place] = _tensor(value)
                except KeyError:
                    raise TensorFlowError(INVALID_ARGUMENT, f"{name}: dtype {value.dtype} is not fed") from None
            inputs = (Output * len(feeds))(*(output for output, _ in feeds.values()))
            outputs = (Output * len(fetches))(*fetches)
            api.TF_SessionRun(
                self._handle, options, inputs, given, len(given), outputs, got, len(got), None, 0, None, status
            )
            status.check()
            return [_array(handle) for handle in got if handle]
        finally:
            for handle in (*given, *got):
                if handle:
                    api.TF_DeleteTensor(handle)
            if options is not None:
                api.TF_DeleteBuffer(options)

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Meanwhile ops run in the thread that calls `run`, at its priority, and in no thread that sessions share."""
        self._settings = {"inter_op_thread_pool": _CALLING_THREAD}
        try:
            yield
        finally:
            self._settings = {}

    def close(self) -> None:
        """Give the memory back. Nothing may be running. Safe to call twice."""
        api, status = library(), _Status()
        if self._handle:
            api.TF_CloseSession(self._handle, status)
            api.TF_DeleteSession(self._handle, status)
        if self._graph:
            api.TF_DeleteGraph(self._graph)
        self._handle = self._graph = None


def start_threads(config: ConfigProto) -> None:
    """Start the threads that all sessions share, at the caller's priority: they keep that of who starts them."""
    api, status = library(), _Status()
    graph = api.TF_NewGraph()
    with _SessionOptions(config) as options:
        session = api.TF_NewSession(graph, options, status)
    if session:
        api.TF_DeleteSession(session, status)
    api.TF_DeleteGraph(graph)
    status.check()


class _Status:
    """A TF_Status, as an argument of a call and afterwards."""

    def __init__(self) -> None:
        self._as_parameter_ = ctypes.c_void_p(library().TF_NewStatus())

    def check(self) -> None:
        code = library().TF_GetCode(self)
        if code:
            raise TensorFlowError(code, library().TF_Message(self).decode(errors="replace"))

    def __del__(self) -> None:
        library().TF_DeleteStatus(self)


class _SessionOptions:
    """TF_SessionOptions of a config, for the length of a `with`."""

    def __init__(self, config: ConfigProto) -> None:
        self._config = config.SerializeToString()

    def __enter__(self) -> ctypes.c_void_p:
        api, status = library(), _Status()
        self._handle = ctypes.c_void_p(api.TF_NewSessionOptions())
        api.TF_SetConfig(self._handle, self._config, len(self._config), status)
        status.check()
        return self._handle

    def __exit__(self, *error: object) -> None:
        library().TF_DeleteSessionOptions(self._handle)


def _signatures(meta_graph: bytes) -> dict[str, SignatureDef]:
    """The signatures of a serialised MetaGraphDef. Its graph, which is all but a little of it, is not parsed."""
    parts = [meta_graph[begin:end] for number, begin, end in fields(meta_graph) if number == _SIGNATURES]
    return dict(MetaGraphDef.FromString(b"".join(parts)).signature_def)


def _run_options(**settings: int) -> ctypes.c_void_p:
    """A TF_Buffer of RunOptions."""
    data = RunOptions(**settings).SerializeToString()
    return ctypes.c_void_p(library().TF_NewBufferFromString(data, len(data)))


def _tensor(value: Array) -> int:
    """A TF_Tensor of a copy of `value`. KeyError for a dtype that TensorFlow lacks."""
    dims = (ctypes.c_int64 * value.ndim)(*value.shape)
    if value.dtype.kind in "OSU":
        return _tensor_of_texts([_encoded(text) for text in value.ravel().tolist()], dims)
    data = np.ascontiguousarray(value)
    return _filled(data_type_of(value.dtype), dims, data.ctypes.data, data.nbytes)


def _encoded(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


def _filled(number: int, dims: "ctypes.Array[ctypes.c_int64]", data: Any, size: int) -> int:
    """A TF_Tensor of a copy of `size` bytes."""
    api = library()
    handle = api.TF_AllocateTensor(number, dims, len(dims), size)
    if not handle:
        raise TensorFlowError(RESOURCE_EXHAUSTED, f"no memory for a tensor of {size:,} bytes")
    if size:
        api.memmove(api.TF_TensorData(handle), data, size)
    return int(handle)


def _tensor_of_texts(texts: list[bytes], dims: "ctypes.Array[ctypes.c_int64]") -> int:
    """A TF_Tensor of strings that own their bytes, each with a zero behind it.

    Kernels read up to that zero, and a graph's tables and variables keep strings for longer than a run.
    """
    structs, long = _structs(texts)
    if not long:
        return _filled(_STRING, dims, structs.ctypes.data, structs.nbytes)
    api = library()
    data = api.allocate(structs.nbytes)
    if not data:
        raise TensorFlowError(RESOURCE_EXHAUSTED, f"no memory for {len(texts):,} strings")
    api.memmove(data, structs.ctypes.data, structs.nbytes)
    copy = api.TF_StringCopy
    for place in long:
        copy(data + place * STRING_BYTES, texts[place], len(texts[place]))
    return int(api.TF_NewTensor(_STRING, dims, len(dims), data, structs.nbytes, free_strings, None))


def _structs(texts: list[bytes]) -> tuple[Array, list[int]]:
    """[n, 24] uint8: TF_TStrings, empty ones for more than 22 bytes; and the places of those."""
    structs = np.zeros((len(texts), STRING_BYTES), np.uint8)
    sizes = np.fromiter(map(len, texts), np.int64, len(texts))
    long = np.flatnonzero(sizes > SHORT)
    sizes[long] = 0
    structs[:, 0] = sizes << 2 | SMALL
    short = b"".join(texts) if not len(long) else b"".join(text for text in texts if len(text) <= SHORT)
    first = np.arange(len(texts)) * STRING_BYTES + 1 - (np.cumsum(sizes) - sizes)
    structs.reshape(-1)[np.repeat(first, sizes) + np.arange(len(short))] = np.frombuffer(short, np.uint8)
    return structs, long.tolist()


def _array(handle: int) -> Array:
    """A copy of a TF_Tensor."""
    api = library()
    shape = tuple(api.TF_Dim(handle, axis) for axis in range(api.TF_NumDims(handle)))
    number, data = api.TF_TensorType(handle), api.TF_TensorData(handle)
    if number == _STRING:
        array = np.empty(api.TF_TensorElementCount(handle), object)
        array[:] = _texts(data, len(array))
        return array.reshape(shape)
    try:
        array = np.empty(shape, dtype_of(number))
    except KeyError:
        name = DataType.Name(number).removeprefix("DT_").lower()
        raise TensorFlowError(UNIMPLEMENTED, f"a tensor of dtype {name} cannot leave the session") from None
    if array.nbytes:
        api.memmove(array.ctypes.data, data, array.nbytes)
    return array


def _texts(data: int, count: int) -> list[bytes]:
    """The strings of `count` TF_TStrings at the address `data`: up to 22 bytes lie in the struct, behind their size."""
    api, raw = library(), ctypes.string_at(data, count * STRING_BYTES) if count else b""
    texts = []
    for start in range(0, len(raw), STRING_BYTES):
        head = raw[start]
        if head & 3 == SMALL:
            texts.append(raw[start + 1 : start + 1 + (head >> 2)])
        else:
            at = data + start
            texts.append(ctypes.string_at(api.TF_StringGetDataPointer(at), api.TF_StringGetSize(at)))
    return texts
