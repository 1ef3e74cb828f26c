"""TF Serving's config messages that its wheel leaves out, from the field numbers of its .proto files.

Sources: servables/tensorflow/session_bundle_config.proto (BatchingParameters), config/monitoring_config.proto and
config/ssl_config.proto of release 2.20.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, wrappers_pb2
from google.protobuf.message import Message

_Field = descriptor_pb2.FieldDescriptorProto
_INT64 = ".google.protobuf.Int64Value"

# message -> (number, name, type: a scalar's or a message's full name, repeated)
_MESSAGES: dict[str, list[tuple[int, str, int | str, bool]]] = {
    "BatchingParameters": [
        (1, "max_batch_size", _INT64, False),
        (2, "batch_timeout_micros", _INT64, False),
        (3, "max_enqueued_batches", _INT64, False),
        (4, "num_batch_threads", _INT64, False),
        (5, "thread_pool_name", ".google.protobuf.StringValue", False),
        (6, "allowed_batch_sizes", _Field.TYPE_INT64, True),
        (7, "pad_variable_length_inputs", _Field.TYPE_BOOL, False),
        (8, "enable_large_batch_splitting", ".google.protobuf.BoolValue", False),
        (9, "max_execution_batch_size", _INT64, False),
    ],
    "PrometheusConfig": [(1, "enable", _Field.TYPE_BOOL, False), (2, "path", _Field.TYPE_STRING, False)],
    "MonitoringConfig": [(1, "prometheus_config", ".tensorflow.serving.PrometheusConfig", False)],
    "SSLConfig": [
        (1, "server_key", _Field.TYPE_STRING, False),
        (2, "server_cert", _Field.TYPE_STRING, False),
        (3, "custom_ca", _Field.TYPE_STRING, False),
        (4, "client_verify", _Field.TYPE_BOOL, False),
    ],
}


def _build() -> dict[str, type[Message]]:
    file = descriptor_pb2.FileDescriptorProto(
        name="tandem_tests/serving_configs.proto",
        package="tensorflow.serving",
        syntax="proto3",
        dependency=[wrappers_pb2.DESCRIPTOR.name],
    )
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, field_name, kind, repeated in fields:
            field = message.field.add(name=field_name, number=number)
            field.label = _Field.LABEL_REPEATED if repeated else _Field.LABEL_OPTIONAL
            if isinstance(kind, str):
                field.type, field.type_name = _Field.TYPE_MESSAGE, kind
            else:
                field.type = kind
    pool = descriptor_pool.DescriptorPool()  # of its own: another part may know these names one day
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"tensorflow.serving.{name}"))
        for name in _MESSAGES
    }


MESSAGES = _build()
"""The message classes by name."""
