"""What clients read of an error, and what they do not."""

from pathlib import Path

import grpc
import pytest

from catalog.errors import ArtifactError
from serving.errors import Rejection, ServingError, as_rejection, without_insides


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("Incompatible shapes: [1,2] vs. [3]\n\t [[{{node scale/mul}}]]",) * 2,
        ("/srv/models/search/3/assets/vocab.txt; No such file", "vocab.txt; No such file"),
        ("open '/srv/a b'", "open 'a b'"),
        ("NOT_FOUND:/srv/secret/models/1/x", "NOT_FOUND:x"),
        ("/data: no space", "data: no space"),
        ("no servable at gs://bucket/model or a/b:0 or 1/2",) * 2,
        ('Bad input\nDetected at node "x" defined at (most recent call last):\n  File "/a/b.py", line 1', "Bad input"),
        ("Bad input\n\nOriginal stack trace for 'x':\n  File \"/a/b.py\"", "Bad input\n"),
    ],
)
def test_a_kernel_s_words_without_paths_and_traces(message: str, told: str) -> None:
    assert without_insides(message) == told


@pytest.mark.parametrize(
    ("message", "told"),
    [
        ("no saved_model.pb in /srv/my models/search/1", "no saved_model.pb in 1"),
        ("NOT_FOUND:/srv/my models/search/1/variables/variables.index; none", "NOT_FOUND:variables.index; none"),
        ("/srv/my models/search and /srv/other/1", "base and 1"),
    ],
)
def test_a_version_s_own_folder_is_found_even_with_spaces_in_its_path(message: str, told: str) -> None:
    path = Path("/srv/my models/search/1")
    assert without_insides(message, path) == told
    assert as_rejection(ServingError(message), path).message == told


def test_what_goes_wrong_with_a_version_has_a_status() -> None:
    path = Path("/srv/models/m/1")
    for error, code in (
        (Rejection(grpc.StatusCode.UNAVAILABLE, f"at {path}"), grpc.StatusCode.UNAVAILABLE),
        (ServingError(f"at {path}"), grpc.StatusCode.UNKNOWN),
        (ArtifactError(f"at {path}"), grpc.StatusCode.INVALID_ARGUMENT),
    ):
        rejection = as_rejection(error)
        assert (rejection.code, rejection.message) == (code, "at 1")
    assert as_rejection(KeyError()).message == "KeyError"


def test_a_message_is_cut_at_1024_bytes_and_between_characters() -> None:
    def told(message: str) -> str:
        return Rejection(grpc.StatusCode.NOT_FOUND, message).details

    assert told("x" * 1024) == "x" * 1024
    assert told("x" * 1025) == "x" * 1024 + "...TRUNCATED"
    assert told("裙" * 341) == "裙" * 341  # 1,023 bytes
    assert told("裙" * 342) == "裙" * 341 + "...TRUNCATED"
