import ctypes
from types import SimpleNamespace

import pytest

from catalog.errors import ArtifactError
from serving import c_api


def test_the_library_is_loaded_once() -> None:
    assert c_api.library() is c_api.library()


def test_a_library_with_other_strings_is_refused() -> None:
    size = ctypes.sizeof(ctypes.c_uint64)
    other = SimpleNamespace(TF_StringGetSize=lambda at: size, TF_StringGetDataPointer=lambda at: at)
    with pytest.raises(ArtifactError, match="another layout"):
        c_api._check_strings(other)
