"""The flags of tensorflow_model_server 2.20 (model_servers/main.cc) and the checks that its own parser makes."""

_NAMES = """
allow_version_labels_for_unavailable_models batching_parameters_file enable_batching enable_grpc_healthcheck_service
enable_model_warmup enable_per_model_batching_parameters enable_profiler enable_serialization_as_tensor_content
enable_signature_method_name_check file_system_poll_wait_seconds flush_filesystem_caches grpc_channel_arguments
grpc_max_threads grpc_socket_path load_retry_interval_micros max_num_load_retries mixed_precision model_base_path
model_config_file model_config_file_poll_wait_seconds model_name monitoring_config_file num_load_threads
num_request_iterations_for_warmup num_tflite_interpreters_per_pool num_unload_threads
per_process_gpu_memory_fraction platform_config_file port prefer_tflite_model
remove_unused_fields_from_bundle_metagraph rest_api_enable_cors_support rest_api_num_threads rest_api_port
rest_api_timeout_in_ms saved_model_tags skip_initialize_tpu ssl_config_file tensorflow_inter_op_parallelism
tensorflow_intra_op_parallelism tensorflow_session_config_file tensorflow_session_parallelism
thread_pool_factory_config_file use_alts_credentials version xla_cpu_compilation_enabled xla_gpu_compilation_enabled
"""

STOCK_FLAGS = frozenset(_NAMES.split())

_NUMBERS = frozenset({"port", "rest_api_port", "max_num_load_retries"}) | {
    f"tensorflow_{pool}_op_parallelism" for pool in ("inter", "intra")
}
_SWITCHES = frozenset({"enable_batching", "enable_grpc_healthcheck_service"})


def parse_stock_flags(arguments: list[str]) -> dict[str, str]:
    """--name=value arguments by name, each one that a stock server takes; AssertionError for any other."""
    flags: dict[str, str] = {}
    for argument in arguments:
        name, equals, value = argument.removeprefix("--").partition("=")
        assert argument.startswith("--"), f"{argument!r} is no flag: TF Serving takes --name=value alone"
        assert equals, f"{argument!r} has no value: TF Serving takes --name=value alone"
        assert name in STOCK_FLAGS, f"tensorflow_model_server has no flag --{name}"
        assert name not in flags, f"--{name} is given twice"
        assert name not in _NUMBERS or value.isdecimal(), f"--{name}={value} is no number"
        assert name not in _SWITCHES or value in ("true", "false"), f"--{name}={value} is no switch"
        flags[name] = value
    return flags
