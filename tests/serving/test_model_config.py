from pathlib import Path

import grpc
import pytest

from catalog.errors import ConfigError
from serving.errors import Rejection
from serving.messages import ModelServerConfig
from serving.model_config import (
    check_model_list,
    parse_model_config,
    read_model_config,
    render_config,
    single_model_config,
)

NAMES = ["embedded.config", "recall.config", "stock.config"]
TEMPLATES = sorted((Path(__file__).parents[2] / "serving_config").glob("*.config"))
MODEL_TEMPLATES = [path for path in TEMPLATES if path.name in NAMES]


def model(name: str, path: str = "/models/m", platform: str = 'model_platform: "tensorflow"') -> str:
    return f'config {{ name: "{name}" base_path: "{path}" {platform} }}'


def config(*models: str) -> ModelServerConfig:
    return parse_model_config(f"model_config_list {{ {' '.join(models)} }}", "test")


def test_there_are_three_templates() -> None:
    assert [path.name for path in MODEL_TEMPLATES] == NAMES


@pytest.mark.parametrize("template", MODEL_TEMPLATES, ids=lambda path: path.name)
def test_templates_render_to_absolute_paths_that_the_server_takes(template: Path, tmp_path: Path) -> None:
    parsed = parse_model_config(render_config(template, tmp_path / "models"), "rendered")
    check_model_list(parsed)
    for entry in parsed.model_config_list.config:
        assert entry.base_path == str(tmp_path / "models" / entry.name)
        assert entry.model_version_policy.latest.num_versions == 2  # a release is never seen half


@pytest.mark.parametrize("template", MODEL_TEMPLATES, ids=lambda path: path.name)
def test_a_template_is_not_served_as_it_is(template: Path) -> None:
    with pytest.raises(ConfigError, match=r"is a template.*render-config"):
        read_model_config(template)


def test_a_version_can_be_pinned(tmp_path: Path) -> None:
    text = render_config(MODEL_TEMPLATES[0], tmp_path, {"search": 7})
    policies = {
        entry.name: entry.model_version_policy for entry in parse_model_config(text, "x").model_config_list.config
    }
    assert list(policies["search"].specific.versions) == [7]
    with pytest.raises(ConfigError, match="lists no model 'other'"):
        render_config(MODEL_TEMPLATES[0], tmp_path, {"other": 7})


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("model_config_list { config { nam: 'a' } }", "not a ModelServerConfig"),
        ("custom_model_config { }", "custom_model_config is not served"),
    ],
)
def test_an_unusable_config_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        parse_model_config(text, "models.config")


@pytest.mark.parametrize(("text", "kind"), [("", None), ("model_config_list { }", "model_config_list")])
def test_a_config_may_list_no_model_and_a_template_may_not(text: str, kind: str | None, tmp_path: Path) -> None:
    parsed = parse_model_config(text, "models.config")
    check_model_list(parsed)
    assert parsed.WhichOneof("config") == kind
    template = tmp_path / "template.config"
    template.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match="no model in it"):
        render_config(template, tmp_path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"absent\.config: the model config cannot be read"):
        read_model_config(tmp_path / "absent.config")


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (config(model("m"), model("m")), "Illegal to list model m multiple times in config list"),
        (
            config(model("m", "models/m")),
            "Expected model m to have an absolute path or URI; got base_path()=models/m",
        ),
        (
            config(model("m", platform="")),
            "Illegal setting neither ModelServerConfig::model_type (deprecated) nor "
            "ModelServerConfig::model_platform, model name is m",
        ),
        (
            config(model("m", platform='model_type: TENSORFLOW model_platform: "tensorflow"')),
            "Illegal setting both ModelServerConfig::model_type (deprecated) and ModelServerConfig::model_platform, "
            "model name is m",
        ),
        (config(model("m", platform="model_type: OTHER")), "ModelServerConfig::model_type choice 2 not supported."),
        (config(model("m", platform='model_platform: "p"')), "Model m requests unsupported platform p"),
        (
            config(model("m", "gs://bucket/m")),
            "the base path of model m, gs://bucket/m, is a URI, and this server reads folders alone; mount the models, "
            "or copy them",
        ),
        (config(model("m", "/models/\0m")), "the base path of model m holds a null byte; no path does"),
    ],
    ids=["twice", "relative", "no-platform", "type-and-platform", "other-type", "other-platform", "uri", "null-byte"],
)
def test_model_lists_are_refused_in_tf_servings_words(bad: ModelServerConfig, message: str) -> None:
    with pytest.raises(Rejection) as error:
        check_model_list(bad)
    assert (error.value.code, error.value.message) == (grpc.StatusCode.INVALID_ARGUMENT, message)


def test_a_model_that_is_served_keeps_its_platform() -> None:
    with pytest.raises(Rejection) as error:
        check_model_list(config(model("m", platform='model_platform: "p"')), ["m"])
    assert error.value.message == (
        "Illegal to change a model's platform. For model m platform was tensorflow and new platform requested is p"
    )
    check_model_list(config(model("m", platform="model_type: TENSORFLOW")), ["m"])


def test_a_single_model_is_a_config(tmp_path: Path) -> None:
    check_model_list(single_model_config("search", tmp_path))


def test_a_symlink_stays_one_that_may_point_elsewhere_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "current").symlink_to(tmp_path / "first")
    monkeypatch.chdir(tmp_path)
    (model,) = single_model_config("search", Path("current")).model_config_list.config
    assert model.base_path == str(tmp_path / "current")
    rendered = parse_model_config(render_config(MODEL_TEMPLATES[0], Path("current")), "rendered")
    assert {Path(entry.base_path).parent for entry in rendered.model_config_list.config} == {tmp_path / "current"}
