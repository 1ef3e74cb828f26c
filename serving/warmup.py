"""Warm-up requests inside a SavedModel: written at release, run by every server before a version takes traffic."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from google.protobuf.message import DecodeError

from catalog.errors import ArtifactError
from catalog.files import atomic_path
from serving.messages import PredictionLog
from serving.records import RecordError, read_records, write_records
from serving.tensors import Array, TensorError, make_proto, to_array

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
MAX_RECORDS = 1000
"""TF Serving refuses to load a model with more (WarmupConsts::kMaxNumRecords)."""

WarmupRequest = tuple[str, Mapping[str, Any]]
"""A signature's name and its inputs."""


def write_warmup(export_dir: Path, model_name: str, requests: Iterable[WarmupRequest]) -> None:
    """Write the requests that a server runs before this version takes traffic.

    Args:
        export_dir: the version's folder.
        model_name: as the server will know it.
        requests: (signature, {input: array}) pairs; text as str or bytes.

    Raises:
        ArtifactError: if there are none or more than MAX_RECORDS.
    """
    records = []
    for signature, inputs in requests:
        log = PredictionLog()
        request = log.predict_log.request
        request.model_spec.name = model_name
        request.model_spec.signature_name = signature
        for name, values in inputs.items():
            request.inputs[name].CopyFrom(make_proto(values))
        records.append(log.SerializeToString())
    if not 1 <= len(records) <= MAX_RECORDS:
        raise ArtifactError(f"{export_dir}: {len(records)} warm-up requests; TF Serving takes 1 to {MAX_RECORDS}")
    with atomic_path(export_dir / WARMUP_FILE) as temporary:
        write_records(temporary, records)


def read_warmup(export_dir: Path) -> list[tuple[str, dict[str, Array]]]:
    """The warm-up requests of a version as (signature, inputs); an empty list when it has none.

    Raises:
        ArtifactError: if the file is broken or holds what is not a Predict request.
    """
    requests = []
    for log in read_warmup_logs(export_dir):
        request = log.predict_log.request
        try:
            inputs = {name: to_array(proto) for name, proto in request.inputs.items()}
        except TensorError as error:
            raise ArtifactError(f"{WARMUP_FILE}: a request's tensor cannot be read: {error}") from error
        requests.append((request.model_spec.signature_name, inputs))
    return requests


def read_warmup_logs(export_dir: Path) -> list[PredictionLog]:
    """The warm-up records of a version; an empty list when it has none.

    Raises:
        ArtifactError: if the file is broken or holds more than MAX_RECORDS.
    """
    path = export_dir / WARMUP_FILE
    if not path.exists():
        return []
    logs = []
    try:
        for record in read_records(path):
            logs.append(PredictionLog.FromString(record))
            if len(logs) > MAX_RECORDS:
                raise ArtifactError(f"Number of warmup records exceeds the maximum ({MAX_RECORDS}) at {WARMUP_FILE}")
    except (OSError, RecordError, DecodeError) as error:
        raise ArtifactError(f"{WARMUP_FILE}: record {len(logs) + 1} cannot be read: {error}") from error
    return logs
