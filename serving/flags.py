"""The command line of tensorflow_model_server (main.cc), read into a ServerConfig.

`--flag=value`, `--flag value`, and switches as `--flag` or `--flag=true|false|1|0`. The last of a repeated flag counts.
An empty text means that the flag was not given, as it does there.
"""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any, Literal

from catalog.config import parse_config
from catalog.errors import ConfigError
from serving.server_config import ServerConfig

Kind = Literal["whole number", "number", "switch", "text"]

DEFAULT_MODELS = Path("saved_models")

_SWITCH = {"true": True, "1": True, "false": False, "0": False}


@dataclass(frozen=True)
class Flag:
    """One flag.

    Attributes:
        kind: how its value is read.
        setting: the field of ServerConfig it sets; empty for what is no field.
        note: why it has no effect here, where it has none.
        own: not a flag of tensorflow_model_server.
    """

    kind: Kind
    setting: str = ""
    note: str = ""
    own: bool = False


_NO_GPU_POOL = "TensorFlow's own defaults hold"
_NO_LITE = "SavedModels only, no TensorFlow Lite"
_NO_XLA = "graphs run as they were exported"

FLAGS: dict[str, Flag] = {
    "port": Flag("whole number", "port"),
    "host": Flag("text", "host", own=True),
    "rest_api_port": Flag("whole number", "rest_api_port"),
    "rest_api_host": Flag("text", "rest_api_host", own=True),
    "models": Flag("text", own=True),
    "model_name": Flag("text", "model_name"),
    "model_base_path": Flag("text", "model_base_path"),
    "model_config_file": Flag("text", "model_config_file"),
    "model_config_file_poll_wait_seconds": Flag("number", "model_config_file_poll_wait_seconds"),
    "file_system_poll_wait_seconds": Flag("number", "file_system_poll_wait_seconds"),
    "wait_for_versions": Flag("switch", "wait_for_versions", own=True),
    "allow_version_labels_for_unavailable_models": Flag("switch", "allow_version_labels_for_unavailable_models"),
    "enable_batching": Flag("switch", "enable_batching"),
    "batching_parameters_file": Flag("text", "batching_parameters_file"),
    "enable_model_warmup": Flag("switch", "enable_model_warmup"),
    "num_request_iterations_for_warmup": Flag("whole number", "num_request_iterations_for_warmup"),
    "num_load_threads": Flag("whole number", "num_load_threads"),
    "max_num_load_retries": Flag("whole number", "max_num_load_retries"),
    "load_retry_interval_micros": Flag("whole number", "load_retry_interval_micros"),
    "saved_model_tags": Flag("text", "saved_model_tags"),
    "tensorflow_session_parallelism": Flag("whole number"),
    "tensorflow_intra_op_parallelism": Flag("whole number", "tensorflow_intra_op_parallelism"),
    "tensorflow_inter_op_parallelism": Flag("whole number", "tensorflow_inter_op_parallelism"),
    "rest_api_num_threads": Flag("whole number", "rest_api_num_threads"),
    "rest_api_timeout_in_ms": Flag("whole number", "rest_api_timeout_in_ms"),
    "rest_api_enable_cors_support": Flag("switch", "rest_api_enable_cors_support"),
    "grpc_socket_path": Flag("text", "grpc_socket_path"),
    "grpc_channel_arguments": Flag("text", "grpc_channel_arguments"),
    "grpc_max_threads": Flag("whole number", "grpc_threads"),
    "enable_grpc_healthcheck_service": Flag("switch", "enable_grpc_healthcheck_service"),
    "ssl_config_file": Flag("text", "ssl_config_file"),
    "auth_token_file": Flag("text", "auth_token_file", own=True),
    "monitoring_config_file": Flag("text", "monitoring_config_file"),
    "max_message_bytes": Flag("whole number", "max_message_bytes", own=True),
    "drain_seconds": Flag("number", "drain_seconds", own=True),
    "log_format": Flag("text", "log_format", own=True),
    "max_queued_requests": Flag("whole number", "max_queued_requests", own=True),
    "log_requests": Flag("switch", "log_requests", own=True),
    "use_alts_credentials": Flag("switch"),
    "version": Flag("switch"),
    "enable_per_model_batching_parameters": Flag("switch", "enable_per_model_batching_parameters"),
    "enable_serialization_as_tensor_content": Flag("switch", "enable_serialization_as_tensor_content"),
    "enable_signature_method_name_check": Flag("switch", "enable_signature_method_name_check"),
    "enable_profiler": Flag("switch", note="there is no profiler service"),
    "flush_filesystem_caches": Flag("switch", note="file caches are the kernel's"),
    "mixed_precision": Flag("text", note=_NO_XLA),
    "num_tflite_interpreters_per_pool": Flag("whole number", note=_NO_LITE),
    "num_tflite_pools": Flag("whole number", note=_NO_LITE),
    "num_unload_threads": Flag("whole number", note="versions are unloaded one after the other"),
    "per_process_gpu_memory_fraction": Flag("number", note=_NO_GPU_POOL),
    "platform_config_file": Flag("text", note="the platform is tensorflow"),
    "prefer_tflite_model": Flag("switch", note=_NO_LITE),
    "remove_unused_fields_from_bundle_metagraph": Flag("switch", note="a version keeps its signatures only"),
    "skip_initialize_tpu": Flag("switch", note="there is no TPU"),
    "tensorflow_session_config_file": Flag("text", note="sessions are set by the parallelism flags"),
    "thread_pool_factory_config_file": Flag("text", note=_NO_GPU_POOL),
    "xla_cpu_compilation_enabled": Flag("switch", note=_NO_XLA),
    "xla_gpu_compilation_enabled": Flag("switch", note=_NO_XLA),
}


_NEGATIVE_IS_ZERO = (
    "rest_api_timeout_in_ms",
    "model_config_file_poll_wait_seconds",
    "num_request_iterations_for_warmup",
    "tensorflow_intra_op_parallelism",
    "tensorflow_inter_op_parallelism",
)
"""Settings that the real server heeds from 1 on, and takes for unset below."""


@dataclass(frozen=True)
class Flags:
    """What a command line says.

    Attributes:
        settings: fields of ServerConfig.
        models: the folder of releases, for a server that is given no model otherwise.
        notes: a line for each flag that has no effect here.
        question: `help` or `version`, where that is all that is asked.
    """

    settings: dict[str, Any]
    models: Path = DEFAULT_MODELS
    notes: list[str] = field(default_factory=list)
    question: str = ""

    @property
    def name_models(self) -> bool:
        """Whether the flags say which models to load."""
        return bool(self.settings.keys() & {"model_config_file", "model_base_path"})


def parse_flags(arguments: Sequence[str]) -> Flags:
    """Read a command line.

    Raises:
        ConfigError: for a flag that is unknown or lacks its value, and for flags that contradict each other.
    """
    given: dict[str, Any] = {}
    rest = list(arguments)
    while rest:
        name, value = _next(rest)
        if name == "help":
            return Flags({}, question="help")
        given[name] = _read(name, value)
    if given.get("version"):
        return Flags({}, question="version")
    given = {name: value for name, value in given.items() if value != ""}
    notes = [f"--{name} has no effect: {FLAGS[name].note}" for name in given if FLAGS[name].note]
    models = Path(given["models"]) if "models" in given else DEFAULT_MODELS
    return Flags(_settings(given, notes), models, notes)


def server_config(flags: Flags, model_config_file: Path | None = None) -> ServerConfig:
    """The config that the flags stand for; `model_config_file` where they name no model.

    Raises:
        ConfigError: naming each setting that cannot be used.
    """
    settings = dict(flags.settings)
    if model_config_file is not None:
        settings["model_config_file"] = model_config_file
    return parse_config(ServerConfig, settings, "the command line")


def usage() -> str:
    """The flags and what each does, for `--help`."""
    lines = ["usage: tandem serve [--flag=value ...]", ""]
    unused = []
    for name, flag in FLAGS.items():
        if flag.note:
            unused.append(f"--{name}")
            continue
        form = f"--{name}" if flag.kind == "switch" else f"--{name}=VALUE"
        lines += [f"  {form}", textwrap.indent(textwrap.fill(_help(name, flag), 100), " " * 8)]
    lines += ["", "Accepted from scripts for tensorflow_model_server, without an effect:"]
    lines.append(textwrap.indent(textwrap.fill(", ".join(unused), 100, break_on_hyphens=False), "  "))
    return "\n".join(lines)


_OTHER_HELP = {
    "models": f"The folder of releases, where no flag names a model. Default: {DEFAULT_MODELS}.",
    "tensorflow_session_parallelism": "Threads for both parallelism settings below.",
    "use_alts_credentials": "Refused: there is no ALTS. Use --ssl_config_file.",
    "version": "Print the version and end.",
}


def _help(name: str, flag: Flag) -> str:
    if not flag.setting:
        return _OTHER_HELP[name]
    described = ServerConfig.model_fields[flag.setting]
    default = described.default
    if default is None or default == "":
        return str(described.description)
    return f"{described.description} Default: {str(default).lower() if isinstance(default, bool) else default}."


def _next(rest: list[str]) -> tuple[str, str | None]:
    """Take one flag, and its value if it comes as an argument of its own."""
    argument = rest.pop(0)
    if not argument.startswith("--") or argument == "--":
        raise ConfigError(f"received {argument!r}; expected flags of the form --name=value")
    written, equals, value = argument[2:].partition("=")
    name = written.replace("-", "_")
    if name == "help":
        return name, None
    if name not in FLAGS:
        near = get_close_matches(name, FLAGS, n=1, cutoff=0.5)
        hint = f"did you mean --{near[0]}?" if near else "`tandem serve --help` lists the flags"
        raise ConfigError(f"unknown flag --{written}; {hint}")
    if equals:
        return name, value
    switch = FLAGS[name].kind == "switch"
    if rest and (rest[0].lower() in _SWITCH if switch else not rest[0].startswith("--")):
        return name, rest.pop(0)
    return name, None


def _read(name: str, value: str | None) -> Any:
    kind = FLAGS[name].kind
    if value is None:
        if kind == "switch":
            return True
        raise ConfigError(f"--{name} lacks its {kind}; write --{name}=VALUE")
    try:
        if kind == "switch":
            return _SWITCH[value.lower()]
        if kind != "text" and "_" in value:  # Python reads 1_000
            raise ValueError
        if kind == "whole number":
            return int(value)
        return float(value) if kind == "number" else value
    except (KeyError, ValueError):
        expected = "true, false, 1 or 0" if kind == "switch" else f"a {kind}"
        raise ConfigError(f"--{name}: received {value!r}, expected {expected}") from None


def _settings(given: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """The fields of ServerConfig, with the rules of main.cc and server.cc on flags that concern each other."""
    settings = {FLAGS[name].setting: value for name, value in given.items() if FLAGS[name].setting}
    if given.get("use_alts_credentials"):
        raise ConfigError("--use_alts_credentials: there is no ALTS here; give certificates by --ssl_config_file")
    if "model_config_file" in settings:
        for name in ("model_name", "model_base_path"):
            if settings.pop(name, None) is not None:
                notes.append(f"--{name} has no effect: --model_config_file names the models")
    elif "model_base_path" in settings:
        settings.setdefault("model_name", "default")
    elif "model_name" in settings:
        raise ConfigError("--model_name names a model, --model_base_path must say where its versions are")
    if not settings.get("rest_api_port"):
        settings.pop("rest_api_port", None)  # 0 means none there
        if "monitoring_config_file" in settings:
            notes.append(
                "--monitoring_config_file has no effect: metrics are shown on --rest_api_port, which is not set"
            )
    for name in _NEGATIVE_IS_ZERO:
        if settings.get(name, 0) < 0:
            settings[name] = 0
    if settings.get("port") == 0 and "grpc_socket_path" in settings:
        settings["port"] = None
    if settings.get("model_config_file_poll_wait_seconds") and "model_config_file" not in settings:
        del settings["model_config_file_poll_wait_seconds"]
        notes.append("--model_config_file_poll_wait_seconds has no effect: --model_config_file is not set")
    _share_threads(max(given.get("tensorflow_session_parallelism", 0), 0), settings)
    return settings


def _share_threads(session: int, settings: dict[str, Any]) -> None:
    single = ("tensorflow_intra_op_parallelism", "tensorflow_inter_op_parallelism")
    if session and all(settings.get(name) for name in single):
        raise ConfigError(
            f"--tensorflow_session_parallelism stands for --{single[0]} and --{single[1]}: set it or them"
        )
    if session and not any(settings.get(name) for name in single):
        settings.update(dict.fromkeys(single, session))
