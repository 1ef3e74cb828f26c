import shutil
import subprocess
import sys
from pathlib import Path

import grpc
import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from catalog.errors import ArtifactError
from serving.errors import LoadError, Rejection, as_rejection
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


def test_a_sparse_output_is_in_nobodys_way(tmp_path: Path) -> None:
    v1 = tf.compat.v1
    with tf.Graph().as_default(), v1.Session() as session:
        x = v1.placeholder(tf.float32, [None], "x")
        info = v1.saved_model.build_tensor_info
        outputs = {"dense": info(2.0 * x), "sparse": info(tf.sparse.from_dense(x))}
        signature = v1.saved_model.build_signature_def({"x": info(x)}, outputs)
        builder = v1.saved_model.Builder(str(tmp_path / "1"))
        builder.add_meta_graph_and_variables(session, ["serve"], {"serving_default": signature})
        builder.save()
    servable, one = Servable(tmp_path / "1"), {"x": np.ones(1, np.float32)}
    assert servable.run("serving_default", one, ["dense"])["dense"].tolist() == [2.0]
    for wanted in (["sparse"], None):
        with pytest.raises(Rejection, match="Tensor , specified in either feed_devices or fetch_devices") as error:
            servable.run("serving_default", one, wanted)
        assert error.value.code is grpc.StatusCode.INVALID_ARGUMENT
    servable.close()


def test_a_folder_without_a_model_is_refused(tmp_path: Path) -> None:
    with pytest.raises(LoadError, match="cannot be loaded") as missing:
        Servable(tmp_path / "1")
    assert missing.value.code is grpc.StatusCode.NOT_FOUND
    assert as_rejection(missing.value).message.startswith("Could not find SavedModel")
    (tmp_path / "2").mkdir()
    (tmp_path / "2" / "saved_model.pb").write_bytes(b"not a model")
    with pytest.raises(LoadError, match="cannot be loaded") as error:
        Servable(tmp_path / "2")
    assert str(tmp_path) not in str(error.value)


def test_a_path_that_tensorflow_takes_for_a_pattern_is_named_as_the_reason(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "scale" / "1", tmp_path / "shop [new]" / "1")
    with pytest.raises(LoadError, match=r"matching files.*TensorFlow takes \[ or \\ in a path for a pattern") as error:
        Servable(tmp_path / "shop [new]" / "1")
    assert str(tmp_path) not in str(error.value)


@pytest.mark.parametrize(
    ("tags", "signatures", "y"),
    [
        (["serve"], {"serving_default"}, 6.0),
        (["serve", "plus_one"], {"serving_default", "plus_one"}, 7.0),
        (["plus_one", "serve", "serve"], {"serving_default", "plus_one"}, 7.0),
    ],
)
def test_the_graph_with_exactly_these_tags_is_loaded(
    exported: Path, tags: list[str], signatures: set[str], y: float
) -> None:
    servable = Servable(exported / "tagged" / "1", tags=tags)
    assert set(servable.signatures) == signatures
    assert servable.run("serving_default", {"x": np.array([3.0], np.float32)})["y"].tolist() == [y]
    servable.close()


@pytest.mark.parametrize(
    ("tags", "shown"), [(["plus_one"], "plus_one"), ([""], ""), (["serve", "tpu"], "(serve tpu|tpu serve)")]
)
def test_without_such_a_graph_there_is_no_model(exported: Path, tags: list[str], shown: str) -> None:
    wanted = rf"Could not find meta graph def matching supplied tags: \{{ {shown} \}}"
    with pytest.raises(LoadError, match=wanted) as error:
        Servable(exported / "tagged" / "1", tags=tags)
    assert error.value.code is grpc.StatusCode.NOT_FOUND


def test_a_tf2_model_is_found_by_its_tags_too(exported: Path, tmp_path: Path) -> None:
    shutil.copytree(exported / "scale" / "1", tmp_path / "1")
    written = tmp_path / "1" / "saved_model.pb"
    model = SavedModel.FromString(written.read_bytes())
    model.meta_graphs[0].meta_info_def.tags.append("gpu")
    written.write_bytes(model.SerializeToString())
    servable = Servable(tmp_path / "1", tags=["serve", "gpu"])
    inputs = {"x": np.array([4.0], np.float32), "text": np.array(["a"], object)}
    assert servable.run("serving_default", inputs)["y"].tolist() == [8.0]
    servable.close()
    with pytest.raises(LoadError, match=r"matching supplied tags: \{ serve \}"):
        Servable(tmp_path / "1")


def test_the_ops_of_tf_text_and_scann_are_known() -> None:
    assert load_op_libraries() == ["tensorflow_text", "scann"]


def save_rouge(path: Path) -> None:
    """A text's similarity with itself, by an op that TF Text keeps beside its others."""
    import tensorflow_text

    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def same(text: tf.Tensor) -> dict[str, tf.Tensor]:
        words = tf.strings.split(text)
        return {"similarity": tensorflow_text.metrics.rouge_l(words, words).f_measure}

    tf.saved_model.save(module, str(path), {"serving_default": same})


ROUGE = """
import sys
from pathlib import Path
import numpy as np
from serving.servable import Servable

outputs = Servable(Path(sys.argv[1])).run("serving_default", {"text": np.array([b"red dress"], object)})
print(outputs["similarity"].tolist(), "tensorflow_text" in sys.modules)
"""


def test_the_ops_of_tf_text_s_metrics_are_known_without_its_python(tmp_path: Path) -> None:
    save_rouge(tmp_path / "1")
    command = [sys.executable, "-c", ROUGE, str(tmp_path / "1")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.stdout.split("\n")[0] == "[1.0] False", done.stderr[-2000:]


def test_a_package_without_its_ops_or_with_broken_ones_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folders = {"tensorflow_text": None, "scann": tmp_path}
    monkeypatch.setattr("serving.servable.package_folder", folders.get)
    with pytest.raises(ArtifactError, match=r"expected scann_ops/cc/_scann_ops\.so in .*; install the version"):
        load_op_libraries.__wrapped__()
    library = tmp_path / "scann_ops" / "cc" / "_scann_ops.so"
    library.parent.mkdir(parents=True)
    library.write_bytes(b"cut off")
    with pytest.raises(ArtifactError, match=r"_scann_ops\.so.*; install the version of scann in requirements\.lock"):
        load_op_libraries.__wrapped__()
    monkeypatch.setattr("serving.servable.package_folder", lambda name: None)
    assert load_op_libraries.__wrapped__() == []
