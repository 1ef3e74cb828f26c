"""The part of TensorFlow's C API that serving calls, https://github.com/tensorflow/tensorflow, tensorflow/c/c_api.h."""

import ctypes
import importlib.util
from functools import cache
from pathlib import Path
from typing import Any

from catalog.errors import ArtifactError

STRING_BYTES = 24
"""sizeof(TF_TString), core/platform/ctstring_internal.h: strings of up to 22 bytes lie in it, behind a byte of size."""

SMALL, SHORT = 0, 22
"""The two lowest bits of that byte, TF_TString_Type, of a string that is kept in the struct, and its most bytes."""

_LONG = ("TF_LoadSessionFromSavedModel", "TF_SessionRun", "TF_CloseSession", "TF_DeleteSession", "TF_DeleteGraph")
"""What runs without Python's lock. The others are over sooner than the lock is taken back among busy threads, but for
TF_DeleteTensor of many long strings, which `free_strings` frees in Python."""


@ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p)
def free_strings(data: int, size: int, _: int | None) -> None:
    """Deallocator of a tensor of strings in memory of `library().allocate`."""
    api = library()
    free = api.TF_StringDealloc
    for place, head in enumerate(ctypes.string_at(data, size)[::STRING_BYTES]):
        if head & 3 != SMALL:
            free(data + place * STRING_BYTES)
    api.free(data)


class Output(ctypes.Structure):
    """TF_Output: an operation of a graph and which of its outputs."""

    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class Buffer(ctypes.Structure):
    """TF_Buffer: bytes that TensorFlow holds."""

    _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))


def package_folder(name: str) -> Path | None:
    """Where a package lies that is installed, without importing it; a folder of its name without code is none."""
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


@cache
def library() -> Any:
    """The library of the TensorFlow wheel, with what its functions take and return.

    TensorFlow's Python is not imported, and loads the same library when it is.

    Raises:
        ArtifactError: if it is not where TensorFlow's wheels have it, is broken, or lays strings out differently.
    """
    folder = package_folder("tensorflow")
    if folder is None:
        raise ArtifactError("TensorFlow is not installed; install the packages of requirements.lock")
    found = next((path for name in ("so.2", "2.dylib") if (path := folder / f"libtensorflow_cc.{name}").exists()), None)
    if found is None:
        raise ArtifactError(f"expected libtensorflow_cc in {folder}; install the tensorflow wheel again")
    try:
        api: Any = ctypes.PyDLL(str(found))
        without_lock = ctypes.CDLL(str(found))
    except OSError as error:
        raise ArtifactError(f"{error}; install the tensorflow wheel again") from error
    pointer, number, size = ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t
    text, numbers = ctypes.c_char_p, ctypes.POINTER(ctypes.c_int64)
    given_or_got = (ctypes.POINTER(Output), ctypes.POINTER(pointer), number)
    # Name: (what it returns, what it takes).
    for name, (returned, taken) in {
        "TF_NewStatus": (pointer, ()),
        "TF_DeleteStatus": (None, (pointer,)),
        "TF_GetCode": (number, (pointer,)),
        "TF_Message": (text, (pointer,)),
        "TF_NewBuffer": (pointer, ()),
        "TF_NewBufferFromString": (pointer, (text, size)),
        "TF_DeleteBuffer": (None, (pointer,)),
        "TF_LoadLibrary": (pointer, (text, pointer)),
        "TF_NewGraph": (pointer, ()),
        "TF_DeleteGraph": (None, (pointer,)),
        "TF_GraphOperationByName": (pointer, (pointer, text)),
        "TF_OperationNumOutputs": (number, (pointer,)),
        "TF_NewSessionOptions": (pointer, ()),
        "TF_DeleteSessionOptions": (None, (pointer,)),
        "TF_SetConfig": (None, (pointer, text, size, pointer)),
        "TF_NewSession": (pointer, (pointer, pointer, pointer)),
        "TF_LoadSessionFromSavedModel": (
            pointer,
            (pointer, pointer, text, ctypes.POINTER(text), number, pointer, pointer, pointer),
        ),
        "TF_CloseSession": (None, (pointer, pointer)),
        "TF_DeleteSession": (None, (pointer, pointer)),
        "TF_SessionRun": (
            None,
            (pointer, pointer, *given_or_got, *given_or_got, pointer, number, pointer, pointer),
        ),
        "TF_AllocateTensor": (pointer, (number, numbers, number, size)),
        "TF_NewTensor": (pointer, (number, numbers, number, pointer, size, pointer, pointer)),
        "TF_DeleteTensor": (None, (pointer,)),
        "TF_TensorType": (number, (pointer,)),
        "TF_NumDims": (number, (pointer,)),
        "TF_Dim": (ctypes.c_int64, (pointer, number)),
        "TF_TensorElementCount": (ctypes.c_int64, (pointer,)),
        "TF_TensorData": (pointer, (pointer,)),
        "TF_StringCopy": (None, (pointer, text, size)),
        "TF_StringDealloc": (None, (pointer,)),
        "TF_StringGetSize": (size, (pointer,)),
        "TF_StringGetDataPointer": (pointer, (pointer,)),
    }.items():
        function = getattr(without_lock if name in _LONG else api, name)
        function.restype, function.argtypes = returned, taken
        setattr(api, name, function)
    api.allocate = ctypes.PYFUNCTYPE(pointer, size)(("PyMem_RawMalloc", ctypes.pythonapi))
    api.free = ctypes.PYFUNCTYPE(None, pointer)(("PyMem_RawFree", ctypes.pythonapi))
    api.memmove = ctypes.PYFUNCTYPE(pointer, pointer, pointer, size)(ctypes.cast(ctypes.memmove, pointer).value or 0)
    _check_strings(api)
    return api


def _check_strings(api: Any) -> None:
    """Short strings are read and written as they lie in memory: one call each would cost more than the graph's run."""
    text = b"layout"
    small = (ctypes.c_uint8 * STRING_BYTES)(len(text) << 2 | SMALL, *text)
    at = ctypes.addressof(small)
    if api.TF_StringGetSize(at) != len(text) or api.TF_StringGetDataPointer(at) != at + 1:
        raise ArtifactError("TensorFlow's strings have another layout; install the version of requirements.lock")
