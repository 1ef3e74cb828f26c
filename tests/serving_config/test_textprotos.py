"""Every text file that TF Serving reads is a message of the kind its flag wants, with values it accepts."""

import re
from pathlib import Path

import pytest
from google.protobuf import text_format
from serving_protos import MESSAGES

from catalog.errors import ConfigError
from pipelines.export import _WARM_BATCHES
from pipelines.publish import PUBLISH_ORDER
from serving.errors import Rejection
from serving.messages import ModelServerConfig
from serving.model_config import PLACEHOLDER, check_model_list, parse_model_config, read_model_config

FOLDER = Path(__file__).parents[2] / "serving_config"
KINDS = {
    "batching_parameters.txt": "BatchingParameters",
    "monitoring.config": "MonitoringConfig",
    "ssl.config": "SSLConfig",
}
TEMPLATES = ("embedded.config", "recall.config", "stock.config")
CONTAINER = ("container.config", "container-candidates.config")


def parse(name: str) -> object:
    return text_format.Parse((FOLDER / name).read_text(encoding="utf-8"), MESSAGES[KINDS[name]]())


def test_no_text_file_is_left_unchecked() -> None:
    files = {path.name for path in FOLDER.iterdir() if path.suffix == ".config" or path.name.endswith("parameters.txt")}
    assert files == {*KINDS, *TEMPLATES, *CONTAINER}


def test_batching_parameters_are_what_tf_serving_takes() -> None:
    parameters = parse("batching_parameters.txt")
    sizes = list(parameters.allowed_batch_sizes)
    assert sizes == sorted(set(sizes))
    assert not sizes or sizes[-1] == parameters.max_batch_size.value  # else the server refuses to start
    assert parameters.num_batch_threads.value >= 1
    assert parameters.batch_timeout_micros.value >= 0
    assert parameters.max_enqueued_batches.value >= parameters.num_batch_threads.value
    assert not parameters.pad_variable_length_inputs  # it would pad a list of products with its first product


def test_a_warm_up_request_fits_into_a_batch() -> None:
    assert max(_WARM_BATCHES) <= parse("batching_parameters.txt").max_batch_size.value
    (named,) = re.findall(r"Not below (\d+):", (FOLDER / "batching_parameters.txt").read_text(encoding="utf-8"))
    assert int(named) == max(_WARM_BATCHES)


def test_metrics_are_on_at_the_path_that_prometheus_is_told() -> None:
    assert parse("monitoring.config").prometheus_config.enable
    assert parse("monitoring.config").prometheus_config.path == "/monitoring/prometheus/metrics"


def test_the_ssl_form_is_complete_mutual_and_holds_no_key() -> None:
    form = parse("ssl.config")
    assert form.client_verify
    for text, block in (
        (form.server_key, "PRIVATE KEY"),
        (form.server_cert, "CERTIFICATE"),
        (form.custom_ca, "CERTIFICATE"),
    ):
        assert text == f"-----BEGIN {block}-----\nPLACEHOLDER\n-----END {block}-----\n"


@pytest.mark.parametrize("name", CONTAINER)
def test_container_configs_list_models_of_a_release_in_the_mounted_folder(name: str) -> None:
    config = read_model_config(FOLDER / name)
    check_model_list(config)
    for model in config.model_config_list.config:
        assert model.name in PUBLISH_ORDER
        assert model.base_path == f"/models/{model.name}"
        assert model.model_version_policy.latest.num_versions == 2
        assert model.name not in ("search", "retrieval")  # ScaNN's ops are not in a stock server


@pytest.mark.parametrize("name", TEMPLATES)
def test_templates_parse_once_they_are_rendered(name: str) -> None:
    text = (FOLDER / name).read_text(encoding="utf-8")
    check_model_list(parse_model_config(text.replace(PLACEHOLDER, "/models"), name))
    with pytest.raises(ConfigError, match="is a template"):
        read_model_config(FOLDER / name)


def test_the_config_for_the_doctor_lists_the_index_and_what_it_is_held_against() -> None:
    text = (FOLDER / "recall.config").read_text(encoding="utf-8").replace(PLACEHOLDER, "/models")
    models = parse_model_config(text, "recall.config").model_config_list.config
    assert {model.name for model in models} == {"retrieval", "retrieval_exact"}


def test_the_labels_in_the_comments_of_the_container_config_are_a_config() -> None:
    lines = (FOLDER / "container.config").read_text(encoding="utf-8").splitlines()
    example = "\n".join(line.strip().removeprefix("#") for line in lines if line.strip().startswith("#     "))
    text = f'config {{ name: "search_exact" base_path: "/models/search_exact" model_platform: "tensorflow" {example} }}'
    config = text_format.Parse(f"model_config_list {{ {text} }}", ModelServerConfig())
    (model,) = config.model_config_list.config
    assert set(model.version_labels.values()) == set(model.model_version_policy.specific.versions)
    assert set(model.version_labels) == {"stable", "canary"}


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("batching_parameters.txt", "max_batchsize { value: 1 }"),
        ("batching_parameters.txt", "max_batch_size: 1"),
        ("monitoring.config", "prometheus_config { enabled: true }"),
        ("ssl.config", "client_verify: maybe"),
    ],
)
def test_a_wrong_field_does_not_parse(name: str, wrong: str) -> None:
    with pytest.raises(text_format.ParseError):
        text_format.Parse(wrong, MESSAGES[KINDS[name]]())


def test_a_model_that_is_listed_twice_is_refused() -> None:
    text = (FOLDER / "container.config").read_text(encoding="utf-8")
    config = parse_model_config(text, "container.config")
    config.model_config_list.config.append(config.model_config_list.config[0])
    with pytest.raises(Rejection, match="multiple times"):
        check_model_list(config)
