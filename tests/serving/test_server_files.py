from pathlib import Path

import pytest

from catalog.errors import ConfigError
from serving.server_files import (
    METRICS_PATH,
    SslConfig,
    read_batching_parameters,
    read_metrics_path,
    read_ssl_config,
)

PEM = "-----BEGIN X-----"


def written(folder: Path, text: str) -> Path:
    path = folder / "a.config"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('prometheus_config: {\n  enable: true,\n  path: "/metrics"\n}', "/metrics"),
        ("prometheus_config { enable: true }", METRICS_PATH),
        ('prometheus_config { path: "/metrics" }', None),
        ("", None),
    ],
)
def test_where_metrics_are_shown(tmp_path: Path, text: str, path: str | None) -> None:
    assert read_metrics_path(written(tmp_path, text)) == path


def test_the_config_that_ships_is_one() -> None:
    assert read_metrics_path(Path(__file__).parents[2] / "serving_config" / "monitoring.config") == METRICS_PATH


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("prometheus_config { enabled: true }", "not a MonitoringConfig in text form, at line 1, column 21"),
        ('prometheus_config { enable: true path: "metrics" }', "expected a URL path that begins with /"),
        ("prometheus_config {", "not a MonitoringConfig in text form"),
    ],
)
def test_a_monitoring_config_that_is_none(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_metrics_path(written(tmp_path, text))


def test_tls_texts_are_read(tmp_path: Path) -> None:
    text = f'server_key: "{PEM}\\nkey" server_cert: "{PEM}\\n" "cert" custom_ca: "{PEM}" client_verify: true'
    assert read_ssl_config(written(tmp_path, text)) == SslConfig(f"{PEM}\nkey", f"{PEM}\ncert", PEM, True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (f'server_key: "server.key" server_cert: "{PEM}"', "server_key must hold the text of a PEM file, not its name"),
        (f'server_key: "{PEM}"', "server_cert must hold the text"),
        (f'server_key: "{PEM}" server_cert: "{PEM}" client_verify: true', "client_verify needs custom_ca"),
    ],
)
def test_a_tls_config_that_lacks_something(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_ssl_config(written(tmp_path, text))


def test_a_key_is_never_in_an_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        read_ssl_config(written(tmp_path, 'server_key: "SECRET" "SECRET" oops'))
    assert "SECRET" not in str(error.value)
    with pytest.raises(ConfigError, match="the file cannot be read"):
        read_ssl_config(tmp_path / "absent")


def test_batching_parameters_are_read_and_the_rest_has_defaults(tmp_path: Path) -> None:
    text = "max_batch_size { value: 8 } allowed_batch_sizes: 4 allowed_batch_sizes: 8 thread_pool_name { value: 'a' }"
    found = read_batching_parameters(written(tmp_path, text))
    assert (found.max_batch_size, found.allowed_batch_sizes, found.batch_timeout_micros) == (8, (4, 8), 0)
    assert (found.max_enqueued_batches, found.pad_variable_length_inputs) == (10, False)
    assert read_batching_parameters(written(tmp_path, "pad_variable_length_inputs: true")).pad_variable_length_inputs


def test_how_large_requests_run_is_read(tmp_path: Path) -> None:
    text = (
        "max_batch_size { value: 8 } max_execution_batch_size { value: 2 } enable_large_batch_splitting { value: %s }"
    )
    split = read_batching_parameters(written(tmp_path, text % "true"))
    assert (split.max_batch_size, split.execution_batch_size) == (8, 2)
    assert read_batching_parameters(written(tmp_path, text % "false")).execution_batch_size == 8
    assert read_batching_parameters(written(tmp_path, "max_batch_size { value: 8 }")).execution_batch_size == 8


def test_the_batching_parameters_that_ship_are_some() -> None:
    found = read_batching_parameters(Path(__file__).parents[2] / "serving_config" / "batching_parameters.txt")
    assert found.max_batch_size == 32
