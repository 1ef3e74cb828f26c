"""A command line for tensorflow_model_server is one for `tandem serve`."""

from pathlib import Path

import pytest

from catalog.errors import ConfigError
from serving.flags import FLAGS, parse_flags, server_config, usage
from serving.server_config import ServerConfig

MODELS = "--model_config_file=/m.config"
COMMAND_LINE = """
--port=9000 --rest_api_port=9001 --model_config_file=/m.config --model_config_file_poll_wait_seconds=60
--file_system_poll_wait_seconds=5 --enable_batching=true --batching_parameters_file=/b.txt
--monitoring_config_file=/mon.config --ssl_config_file=/ssl.config --grpc_socket_path=/run/s.sock
--grpc_channel_arguments=grpc.max_connection_age_ms=2000 --allow_version_labels_for_unavailable_models
--enable_model_warmup=1 --num_load_threads=2 --max_num_load_retries=1 --load_retry_interval_micros=-1
--tensorflow_intra_op_parallelism=2 --tensorflow_inter_op_parallelism=3 --rest_api_num_threads=16
--rest_api_timeout_in_ms=5000 --grpc_max_threads=8 --enable_grpc_healthcheck_service=false
--saved_model_tags=serve,tpu --model_name= --flush_filesystem_caches=false
--enable_signature_method_name_check --enable_serialization_as_tensor_content=true
"""


def config_of(*arguments: str) -> ServerConfig:
    return server_config(parse_flags(arguments))


def test_a_real_server_s_command_line_is_read_as_it_is() -> None:
    flags = parse_flags(COMMAND_LINE.split())
    config = server_config(flags)
    assert config == ServerConfig(
        port=9000,
        rest_api_port=9001,
        model_config_file="/m.config",
        model_config_file_poll_wait_seconds=60,
        file_system_poll_wait_seconds=5,
        enable_batching=True,
        batching_parameters_file="/b.txt",
        monitoring_config_file="/mon.config",
        ssl_config_file="/ssl.config",
        grpc_socket_path="/run/s.sock",
        grpc_channel_arguments="grpc.max_connection_age_ms=2000",
        allow_version_labels_for_unavailable_models=True,
        num_load_threads=2,
        max_num_load_retries=1,
        load_retry_interval_micros=-1,
        saved_model_tags="serve,tpu",
        tensorflow_intra_op_parallelism=2,
        tensorflow_inter_op_parallelism=3,
        rest_api_num_threads=16,
        rest_api_timeout_in_ms=5000,
        grpc_threads=8,
        enable_grpc_healthcheck_service=False,
        enable_signature_method_name_check=True,
        enable_serialization_as_tensor_content=True,
    )
    assert flags.notes == ["--flush_filesystem_caches has no effect: file caches are the kernel's"]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (["--enable_model_warmup"], True),
        (["--enable_model_warmup", "false"], False),
        (["--enable_model_warmup", "0"], False),
        (["--enable_model_warmup=FALSE"], False),
        (["--enable-model-warmup=1"], True),
        (["--enable_model_warmup=0", "--enable_model_warmup=1"], True),
    ],
)
def test_the_forms_of_a_switch(written: list[str], value: bool) -> None:
    config = config_of(*written, "--port", "1", MODELS)
    assert (config.enable_model_warmup, config.port) == (value, 1)


def test_a_value_may_stand_apart_and_negative() -> None:
    config = config_of("--model_name", "m", "--model_base_path", "/models/m", "--load_retry_interval_micros", "-1")
    assert (config.model_name, config.model_base_path) == ("m", Path("/models/m"))
    assert config.load_retry_interval_micros == -1


def test_what_zero_and_absence_mean_is_as_in_the_real_server() -> None:
    assert config_of("--model_base_path=/m").model_name == "default"
    assert config_of(MODELS, "--saved_model_tags=").saved_model_tags == "serve"
    assert config_of(MODELS, "--rest_api_port=0").rest_api_port is None
    assert config_of(MODELS, "--port=0", "--grpc_socket_path=/s").port is None
    for name in (
        "rest_api_timeout_in_ms",
        "model_config_file_poll_wait_seconds",
        "num_request_iterations_for_warmup",
        "tensorflow_intra_op_parallelism",
        "tensorflow_inter_op_parallelism",
    ):
        assert getattr(config_of(MODELS, f"--{name}=-1"), name) == 0
    assert config_of(MODELS, "--tensorflow_session_parallelism=-1").tensorflow_intra_op_parallelism == 1
    assert config_of(MODELS, "--port=0").port == 0, "a free one: the real server needs a socket then"
    both = config_of(MODELS, "--tensorflow_session_parallelism=3")
    assert (both.tensorflow_intra_op_parallelism, both.tensorflow_inter_op_parallelism) == (3, 3)
    one = config_of(MODELS, "--tensorflow_session_parallelism=3", "--tensorflow_intra_op_parallelism=2")
    assert (one.tensorflow_intra_op_parallelism, one.tensorflow_inter_op_parallelism) == (2, 0)


def test_a_config_file_wins_over_a_single_model_and_says_so() -> None:
    flags = parse_flags([MODELS, "--model_name=m", "--model_base_path=/m"])
    assert server_config(flags).model_name == ""
    assert flags.notes == [f"--model_{name} has no effect: --model_config_file names the models" for name in
                           ("name", "base_path")]  # fmt: skip


def test_flags_that_need_another_say_so() -> None:
    notes = parse_flags(["--monitoring_config_file=/m", "--model_config_file_poll_wait_seconds=1"]).notes
    assert [note.split(":")[0] for note in notes] == [
        "--monitoring_config_file has no effect",
        "--model_config_file_poll_wait_seconds has no effect",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--modle_name=m"], "unknown flag --modle_name; did you mean --model_name?"),
        (["--zzz"], "unknown flag --zzz; `tandem serve --help` lists the flags"),
        (["models"], "received 'models'; expected flags of the form --name=value"),
        (["--port=http"], "--port: received 'http', expected a whole number"),
        (["--port=1_000"], "--port: received '1_000', expected a whole number"),
        (["--drain_seconds=1_0.5"], "--drain_seconds: received '1_0.5', expected a number"),
        (["--port="], "--port: received '', expected a whole number"),
        (["--drain_seconds=soon"], "--drain_seconds: received 'soon', expected a number"),
        (["--enable_batching=yes"], "--enable_batching: received 'yes', expected true, false, 1 or 0"),
        (["--port"], "--port lacks its whole number"),
        (["--model_name", "--port=1"], "--model_name lacks its text"),
        (["--model_name=m"], "--model_base_path must say where its versions are"),
        ([MODELS, "--use_alts_credentials"], "there is no ALTS here"),
        (
            [MODELS, *(f"--tensorflow_{kind}_parallelism=1" for kind in ("session", "intra_op", "inter_op"))],
            "set it or them",
        ),
        ([MODELS, "--port=70000"], "port: received 70000"),
        (["--model_base_path=gs://b/m"], "gs://b/m is a URI, and"),
        (["--model_base_path=s3://b/m"], "this server reads folders alone; mount the models, or copy them"),
        ([MODELS, "--file_system_poll_wait_seconds=-1"], "file_system_poll_wait_seconds: received -1"),
        ([MODELS, "--log_format=xml"], "log_format: received 'xml'"),
        ([MODELS, "--batching_parameters_file=/b"], "without enable_batching"),
        ([MODELS, "--port=8500", "--rest_api_port=8500"], "must differ"),
    ],
)
def test_what_is_wrong_is_named(arguments: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config_of(*arguments)
    assert message in str(error.value)


def test_every_flag_does_something_or_says_why_not() -> None:
    special = {"models", "tensorflow_session_parallelism", "use_alts_credentials", "version"}
    for name, flag in FLAGS.items():
        assert bool(flag.setting) + bool(flag.note) == (name not in special), name
        assert flag.setting == "" or flag.setting in ServerConfig.model_fields, name
    assert set(ServerConfig.model_fields) == {flag.setting for flag in FLAGS.values() if flag.setting}


def test_help_and_version_need_no_models() -> None:
    assert parse_flags(["--port=1", "--help", "--whatever"]).question == "help"
    assert parse_flags(["--version"]).question == "version"
    text = usage()
    for name in FLAGS:
        assert f"--{name}" in text
    said = " ".join(text.split())
    for name, default in (
        ("max_num_load_retries", "0"),
        ("port", "8500"),
        ("enable_batching", "false"),
        ("models", "saved_models"),
    ):
        about = said.split(f"--{name}", 1)[1].split(" --", 1)[0]
        assert about.endswith(f"Default: {default}."), about
