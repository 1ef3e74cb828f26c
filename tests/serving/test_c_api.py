import ctypes
from pathlib import Path
from types import SimpleNamespace

import pytest

from catalog.errors import ArtifactError
from serving import c_api


def test_the_library_is_loaded_once() -> None:
    assert c_api.library() is c_api.library()


def test_a_library_that_was_cut_off_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "libtensorflow_cc.so.2").write_bytes(b"cut off")
    monkeypatch.setattr(c_api, "package_folder", lambda name: tmp_path)
    with pytest.raises(ArtifactError, match=r"libtensorflow_cc\.so\.2: .*; install the tensorflow wheel again"):
        c_api.library.__wrapped__()


def test_a_folder_without_code_is_no_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "only_data").mkdir()
    (tmp_path / "with_code").mkdir()
    (tmp_path / "with_code" / "__init__.py").touch()
    monkeypatch.syspath_prepend(tmp_path)
    assert c_api.package_folder("only_data") is None
    assert c_api.package_folder("with_code") == tmp_path / "with_code"
    assert c_api.package_folder("not_there") is None


def test_a_library_with_other_strings_is_refused() -> None:
    size = ctypes.sizeof(ctypes.c_uint64)
    other = SimpleNamespace(TF_StringGetSize=lambda at: size, TF_StringGetDataPointer=lambda at: at)
    with pytest.raises(ArtifactError, match="another layout"):
        c_api._check_strings(other)
