from pathlib import Path

import numpy as np
import pytest

from catalog.errors import ArtifactError
from serving.errors import Rejection
from serving.loading import warm_up
from serving.servable import Servable
from serving.warmup import WARMUP_FILE, read_warmup, write_warmup


def test_requests_survive(tmp_path: Path) -> None:
    requests = [
        ("serving_default", {"query": ["red dress", "红裙"], "timestamp": np.array([1, 2])}),
        ("with_image", {"query_image": np.arange(12, dtype=np.uint8).reshape(1, 2, 2, 3)}),
    ]
    write_warmup(tmp_path, "search", requests)
    (first, texts), (second, pixels) = read_warmup(tmp_path)
    assert (first, second) == ("serving_default", "with_image")
    assert texts["query"].tolist() == [b"red dress", "红裙".encode()]
    assert texts["timestamp"].dtype == np.int64
    np.testing.assert_array_equal(pixels["query_image"], requests[1][1]["query_image"])


def test_a_version_without_requests_has_none(tmp_path: Path) -> None:
    assert read_warmup(tmp_path) == []


@pytest.mark.parametrize("count", [0, 1001])
def test_too_few_or_too_many_are_not_written(tmp_path: Path, count: int) -> None:
    with pytest.raises(ArtifactError, match=f"{count} warm-up requests"):
        write_warmup(tmp_path, "m", [("s", {})] * count)
    assert not (tmp_path / WARMUP_FILE).exists()


def test_a_broken_file_is_refused(tmp_path: Path) -> None:
    write_warmup(tmp_path, "m", [("s", {"x": np.ones(10)})])
    data = (tmp_path / WARMUP_FILE).read_bytes()
    (tmp_path / WARMUP_FILE).write_bytes(data[:-5])
    with pytest.raises(ArtifactError, match="record 1 cannot be read"):
        read_warmup(tmp_path)


def test_warm_up_runs_each_request_and_raises_the_first_failure(exported: Path, tmp_path: Path) -> None:
    servable = Servable(exported / "scale" / "1")
    good = ("fails", {"x": np.array([2], np.int32)})
    write_warmup(tmp_path, "scale", [good, good])
    assert warm_up(servable, tmp_path) == 2
    write_warmup(tmp_path, "scale", [good, ("fails", {"x": np.array([0], np.int32)})])
    with pytest.raises(Rejection, match="division by zero"):
        warm_up(servable, tmp_path)
    servable.close()
