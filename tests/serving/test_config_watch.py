"""The model config file while the server runs."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from serving.config_watch import ConfigWatch
from serving.loading import Loader
from serving.manager import ModelManager
from serving.messages import ModelConfig, ModelConfigList, ModelServerConfig
from serving.model_config import read_model_config
from serving.monitoring import Monitoring
from serving.server_config import ServerConfig
from serving.version_table import State

AddVersion = Callable[[Path, str, int, int], None]
NEVER = 3600.0


class Shop:
    """A manager, its config file, and a watch that looks when told."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.path = root / "models.config"
        self.write("a")
        load = Loader(ServerConfig(model_config_file=self.path), Monitoring(list))
        self.manager = ModelManager(load, poll_seconds=0)
        self.manager.start(read_model_config(self.path))
        self.watch = ConfigWatch(self.path, self.manager, NEVER)

    def write(self, *names: str, extra: str = "") -> None:
        models = (
            f'config {{ name: "{name}" base_path: "{self.root / name}" model_platform: "tensorflow" {extra} }}'
            for name in names
        )
        self.path.write_text(f"model_config_list {{ {' '.join(models)} }}", encoding="utf-8")

    def available(self) -> list[str]:
        names = ("a", "b")
        return [name for name in names if any(v.state is State.AVAILABLE for v in self.manager.states(name))]


@pytest.fixture
def shop(tmp_path: Path, add_version: AddVersion) -> Iterator[Shop]:
    for name in ("a", "b"):
        add_version(tmp_path / name, "scale", 1, 1)
    shop = Shop(tmp_path)
    yield shop
    shop.watch.stop()
    shop.manager.close()


def test_a_changed_file_is_taken_over(shop: Shop) -> None:
    shop.write("a", "b")
    shop.watch.look()
    assert shop.available() == ["a", "b"]
    shop.write("b")
    shop.watch.look()
    assert shop.available() == ["b"]


def test_an_empty_list_unloads_every_model_and_an_empty_file_none(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """A file is empty, too, while it is written anew."""
    shop.path.write_text("", encoding="utf-8")
    shop.watch.look()
    assert shop.available() == ["a"]
    assert "must hold an empty model_config_list" in caplog.text
    shop.write()
    shop.watch.look()
    assert shop.available() == []
    assert caplog.text.count("lists no model") == 1
    shop.write("a")
    shop.watch.look()
    assert shop.available() == ["a"]


def test_a_broken_or_refused_file_keeps_the_old_and_is_logged_once(
    shop: Shop, caplog: pytest.LogCaptureFixture
) -> None:
    shop.path.write_text("model_config_list { oops", encoding="utf-8")
    for _ in range(2):
        shop.watch.look()
    shop.write("a", "a")
    shop.watch.look()
    shop.path.unlink()
    shop.watch.look()
    assert shop.available() == ["a"]
    errors = [record.getMessage() for record in caplog.records if record.levelname == "ERROR"]
    assert len(errors) == 3
    for error, reason in zip(errors, ("not a ModelServerConfig", "multiple times", "cannot be read"), strict=True):
        assert reason in error


def test_each_change_is_logged_once_however_often_it_is_refused(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """The label's version is not there. Refused twice, changed elsewhere and refused twice again: two lines of each."""
    caplog.set_level("INFO")
    label = 'model_version_policy { all {} } version_labels { key: "new" value: 2 }'
    for names in (("a",), ("a", "b")):
        shop.write(*names, extra=label)
        for _ in range(2):
            shop.watch.look()
    lines = [record.getMessage() for record in caplog.records if record.name == "serving.config_watch"]
    assert [line.partition(":")[0] for line in lines] == [
        f"{shop.path} has changed",
        "the model config is not taken over, what is served stays as it is",
    ] * 2


def test_reading_goes_on_after_what_nobody_thought_of(
    shop: Shop, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    shop.write("b")
    with monkeypatch.context() as broken:
        broken.setattr(shop.manager, "reload", lambda config: {}["nothing"])
        for _ in range(2):
            shop.watch.look()
    assert shop.available() == ["a"]
    assert [record.levelname for record in caplog.records].count("ERROR") == 1
    assert "KeyError" in caplog.text
    shop.watch.look()
    assert shop.available() == ["b"]


def test_a_label_that_waits_for_its_version_is_tried_again(shop: Shop, add_version: AddVersion) -> None:
    """The first look refuses a label on version 2, which is not there; the second one, when it is, takes it."""
    label = 'model_version_policy { all {} } version_labels { key: "new" value: 2 }'
    shop.write("a", extra=label)
    shop.watch.look()
    assert not shop.manager.config.model_config_list.config[0].version_labels
    add_version(shop.root / "a", "scale", 2, 2)
    shop.manager.reload(read_model_config_without_label(shop))
    shop.watch.look()
    assert shop.manager.config.model_config_list.config[0].version_labels["new"] == 2


def read_model_config_without_label(shop: Shop) -> ModelServerConfig:
    config = read_model_config(shop.path)
    config.model_config_list.config[0].version_labels.clear()
    return config


def test_reading_seldom_is_reading_all_the_same(shop: Shop) -> None:
    watch = ConfigWatch(shop.path, shop.manager, 1e10)  # a wait is of 292 years at most
    watch._thread.join(0.1)
    assert watch._thread.is_alive()
    watch.stop()
    assert not watch._thread.is_alive()


def test_the_file_wins_over_a_reload(shop: Shop) -> None:
    other = ModelConfig(name="b", base_path=str(shop.root / "b"), model_platform="tensorflow")
    shop.manager.reload(ModelServerConfig(model_config_list=ModelConfigList(config=[other])))
    assert shop.available() == ["b"]
    shop.watch.look()
    assert shop.available() == ["a"]
