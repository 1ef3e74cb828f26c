from pathlib import Path

import grpc
import numpy as np
import pytest

from catalog.errors import ArtifactError
from serving.errors import Rejection
from serving.servable import Servable, Threads, load_op_libraries


def test_runs_every_signature_and_gives_what_is_asked(exported: Path) -> None:
    servable = Servable(exported / "scale" / "1", Threads(intra_op=1, inter_op=1))
    inputs = {"x": np.array([1.0, 4.0], np.float32), "text": np.array(["a", "é"], object)}
    outputs = servable.run("serving_default", inputs)
    assert outputs["y"].tolist() == [2.0, 8.0]
    assert outputs["capitals"].tolist() == [b"A", "é".encode()]
    assert set(servable.run("serving_default", inputs, ["y"])) == {"y"}
    inputs["text"] = np.array(["a", "b"])
    assert servable.run("serving_default", inputs, ["capitals"])["capitals"].tolist() == [b"A", b"B"]
    assert {"serving_default", "fails", "slow"} <= set(servable.signatures)
    servable.close()


def test_names_what_a_signature_does_not_have(exported: Path) -> None:
    servable = Servable(exported / "scale" / "1")
    with pytest.raises(Rejection, match=r"no signature 'other'; known here: .*serving_default"):
        servable.run("other", {})
    with pytest.raises(Rejection, match="has no 'z'; its inputs are text, x, its outputs capitals, y"):
        servable.run("serving_default", {"z": np.ones(1)})
    with pytest.raises(Rejection, match="feed a value for placeholder") as error:
        servable.run("serving_default", {"x": np.ones(1, np.float32)})
    assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    servable.close()


def test_scalars_are_arrays_of_no_dimension(exported: Path) -> None:
    servable = Servable(exported / "scale" / "1")
    total = servable.run("slow", {"steps": np.array(0, np.int32)})["sum"]
    assert (total.shape, total.dtype, float(total)) == ((), np.float32, 40_000.0)
    servable.close()


def test_a_run_is_given_up_after_its_timeout(exported: Path) -> None:
    servable = Servable(exported / "scale" / "1")
    with pytest.raises(Rejection) as error:
        servable.run("slow", {"steps": np.array(1_000_000, np.int32)}, timeout=0.2)
    assert error.value.code is grpc.StatusCode.DEADLINE_EXCEEDED
    servable.close()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match="cannot be loaded"):
        Servable(tmp_path / "1")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(ArtifactError, match="cannot be loaded") as error:
        Servable(tmp_path / "2")
    assert str(tmp_path) not in str(error.value)


def test_the_ops_of_tf_text_and_scann_are_known() -> None:
    assert load_op_libraries() == ["tensorflow_text", "scann.scann_ops.py.scann_ops"]
