import numpy as np
import pytest
from google.protobuf import text_format
from PIL import Image
from tensorboard.plugins.projector import ProjectorConfig

from evaluation.projector import write_projector

VECTORS = np.array([[1, 0.5], [0, -2], [3, 4]], np.float32)
METADATA = {"product_id": ["a", "b", "c"], "title": ["Red\tdress", "帽子\n新", None]}


def read(folder):
    return text_format.Parse((folder / "projector_config.pbtxt").read_text(), ProjectorConfig()).embeddings[0]


def test_tensorboard_reads_the_configuration(tmp_path):
    write_projector(tmp_path / "projector", VECTORS, METADATA)
    config = read(tmp_path / "projector")
    assert (config.tensor_path, config.metadata_path) == ("tensors.tsv", "metadata.tsv")
    assert not config.HasField("sprite")
    assert {path.name for path in (tmp_path / "projector").iterdir()} == {
        "tensors.tsv", "metadata.tsv", "projector_config.pbtxt",
    }  # fmt: skip


def test_vectors_and_words_stand_on_the_same_lines(tmp_path):
    write_projector(tmp_path / "projector", VECTORS, METADATA)
    assert np.loadtxt(tmp_path / "projector" / "tensors.tsv", delimiter="\t") == pytest.approx(VECTORS)
    lines = (tmp_path / "projector" / "metadata.tsv").read_text(encoding="utf-8").split("\n")
    assert lines == ["product_id\ttitle", "a\tRed dress", "b\t帽子 新", "c\t", ""]


def test_the_sprite_has_each_picture_at_its_place(tmp_path):
    images = np.stack([np.full((64, 64, 3), value, np.uint8) for value in (0, 255)])
    write_projector(tmp_path / "projector", VECTORS, METADATA, np.array([1, -1, 0]), images)
    sprite = read(tmp_path / "projector").sprite
    assert list(sprite.single_image_dim) == [32, 32]
    sheet = np.asarray(Image.open(tmp_path / "projector" / sprite.image_path))
    # Three pictures take a square of two by two, row by row.
    assert sheet.shape == (64, 64, 3)
    assert (sheet[:32, :32] == 255).all()
    assert (sheet[:32, 32:] == 200).all(), "grey where there is no picture"
    assert (sheet[32:, :32] == 0).all()


def test_at_most_so_many_products_are_written(tmp_path):
    write_projector(tmp_path / "projector", VECTORS, METADATA, points=2)
    assert len((tmp_path / "projector" / "metadata.tsv").read_text(encoding="utf-8").splitlines()) == 3
    assert len((tmp_path / "projector" / "tensors.tsv").read_text(encoding="utf-8").splitlines()) == 2


@pytest.mark.parametrize("metadata", [{"title": ["a", "b", "c"]}, {"title": ["a"], "brand": ["b"]}])
def test_metadata_that_the_projector_could_not_read_is_an_error(tmp_path, metadata):
    with pytest.raises(ValueError, match="two columns or more of 3 values"):
        write_projector(tmp_path / "projector", VECTORS, metadata)
    assert not (tmp_path / "projector").exists()
