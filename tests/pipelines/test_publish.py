"""A release appears whole, under the next number, or not at all."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from catalog.errors import ArtifactError, TandemError
from pipelines.publish import PUBLISH_ORDER, Release, latest_release, next_release, proving, publish
from serving.warmup import write_warmup


def stage_models(staging: Path, content: str) -> None:
    for name in PUBLISH_ORDER:
        (staging / name / "variables").mkdir(parents=True)
        (staging / name / "variables" / "data").write_text(content)


def test_one_number_for_all_models_and_nothing_left_behind(tmp_path: Path) -> None:
    for expected in (1, 2):
        with next_release(tmp_path) as (release, staging):
            assert release.version == expected
            stage_models(staging, f"release {expected}")
            publish(release, staging, {"name": "shop"}, [{"query": "shirt"}])
    for name in PUBLISH_ORDER:
        assert (tmp_path / name / "2" / "variables" / "data").read_text() == "release 2"
    assert not list(tmp_path.glob(".staging*"))
    assert latest_release(tmp_path).version == 2


def test_a_manifest_is_json_though_a_metric_is_no_number(tmp_path: Path) -> None:
    with next_release(tmp_path) as (release, staging):
        stage_models(staging, "shop")
        publish(release, staging, {"name": "shop", "metrics": {"ndcg": float("nan")}}, [])
    assert release.manifest() == {"name": "shop", "metrics": {"ndcg": None}}


def test_the_number_passes_over_models_that_others_left(tmp_path: Path) -> None:
    (tmp_path / "search" / "7").mkdir(parents=True)
    with next_release(tmp_path) as (release, _):
        assert release.version == 8


def stage_and_die(models_dir: Path) -> None:
    with next_release(models_dir) as (_, staging):
        stage_models(staging, "half")
        raise RuntimeError("disk full")


def test_a_failed_export_shows_nothing(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        stage_and_die(tmp_path)
    assert not any((tmp_path / name).exists() for name in PUBLISH_ORDER)
    with pytest.raises(ArtifactError, match="no release under"):
        latest_release(tmp_path)


def test_what_a_killed_export_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".staging.dead" / "search").mkdir(parents=True)
    with next_release(tmp_path):
        assert not (tmp_path / ".staging.dead").exists()


def test_two_exports_at_once(tmp_path: Path) -> None:
    with next_release(tmp_path), pytest.raises(TandemError, match="another release"), next_release(tmp_path):
        pass


def test_the_latest_release_of_one_shop(tmp_path: Path) -> None:
    for name in ("demo", "fashion"):
        with next_release(tmp_path) as (release, staging):
            stage_models(staging, name)
            publish(release, staging, {"name": name}, [])
    assert latest_release(tmp_path, "demo").version == 1
    assert latest_release(tmp_path, "fashion").version == 2
    with pytest.raises(ArtifactError, match="of 'books'"):
        latest_release(tmp_path, "books")


def publish_next(models_dir: Path) -> Release:
    with next_release(models_dir) as (release, staging):
        stage_models(staging, "stand-in")
        publish(release, staging, {"name": "shop"}, [])
    return release


def test_a_release_without_search_is_withdrawn_and_not_the_latest(tmp_path: Path) -> None:
    old, new = publish_next(tmp_path), publish_next(tmp_path)
    assert new.kept("search") == new.model("search") == tmp_path / "search" / "2"
    new.model("search").rename(tmp_path / "search" / ".withdrawn.2")
    assert latest_release(tmp_path) == old
    assert new.kept("search") == tmp_path / "search" / ".withdrawn.2"
    assert new.kept("rerank") == tmp_path / "rerank" / "2"
    new.kept("search").rename(tmp_path / "elsewhere")
    assert new.kept("search") == tmp_path / "search" / "2"


def save_model(folder: Path) -> None:
    class Model(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.float32, "x")])
        def double(self, x: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"y": 2.0 * x}

    model = Model()
    tf.saved_model.save(model, str(folder), signatures=model.double)
    write_warmup(folder, folder.name, [("serving_default", {"x": np.ones(2, np.float32)})])


def test_models_that_were_not_proved_are_named(tmp_path: Path) -> None:
    save_model(tmp_path / "search")
    with proving() as prover:
        prover.add(tmp_path / "search")
        with pytest.raises(ArtifactError, match="nobody asked for a proof of product_tower, query_tower, rerank, "):
            prover.result()


def test_a_model_that_does_not_load_is_named(tmp_path: Path) -> None:
    save_model(tmp_path / "search")
    shutil.copytree(tmp_path / "search", tmp_path / "broken")
    (tmp_path / "broken" / "saved_model.pb").write_bytes(b"cut")
    with proving() as prover:
        for name in ("search", "broken", "search"):
            prover.add(tmp_path / name)
        with pytest.raises(ArtifactError, match=r"do not stand on their own[\s\S]*This is of \S+broken"):
            prover.result()


def test_a_process_that_was_killed_is_told_so(tmp_path: Path) -> None:
    with proving() as prover:
        prover.process.kill()
        prover.process.wait()
        prover.add(tmp_path / "late")
        with pytest.raises(ArtifactError, match=r"exit code -9 \(-9 is a kill"):
            prover.result()
