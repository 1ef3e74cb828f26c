"""Examine a running server, any that speaks TF Serving's gRPC API, as a client sees it."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

import grpc

from serving.doctor_connection import check_health, check_reachable
from serving.doctor_requests import Clock, Prober, Sample
from serving.doctor_signatures import (
    MODELS,
    REQUEST_MODELS,
    Signatures,
    embedding_size,
    history_length,
    signature_faults,
)
from serving.findings import SERVER, Finding
from serving.messages import (
    GetModelMetadataRequest,
    GetModelStatusRequest,
    ModelServiceStub,
    ModelVersionStatus,
    PredictionServiceStub,
    SignatureDefMap,
)

_DAY = 86_400.0


@dataclass(frozen=True)
class Standards:
    """What a server is held to.

    Attributes:
        timeout: seconds a call may take.
        calls: requests a model's latency is measured over.
        p99_ms: most that is good; None for any.
        recall: share of the exact first products that the index must find; sampling noise is allowed for.
        age_days: age of the catalogue's snapshot that is worth a warning.
    """

    timeout: float = 5.0
    calls: int = 200
    p99_ms: float | None = None
    recall: float = 0.97
    age_days: float = 14.0


@dataclass(frozen=True)
class Released:
    """The newest release under the models' folder, where that is known.

    Attributes:
        version: its number.
        snapshots: version -> when its catalogue was taken, seconds since the epoch.
    """

    version: int
    snapshots: Mapping[int, int]


@dataclass
class _Seen:
    """What the server told: versions AVAILABLE by model, newest first, and signatures of the newest."""

    versions: dict[str, list[int]] = field(default_factory=dict)
    signatures: dict[str, Signatures] = field(default_factory=dict)


def examine(
    channel: grpc.Channel,
    standards: Standards,
    samples: Sequence[Sample] = (),
    released: Released | None = None,
    clock: Clock = time.perf_counter,
    now: Callable[[], float] = time.time,
) -> list[Finding]:
    """Every check, in the order in which one failure explains the next.

    Args:
        channel: to the server.
        standards: what it is held to.
        samples: logged requests of the release; strangers' are made up without.
        released: what the server should be serving.
        clock, now: seconds of a stopwatch, and since the epoch.
    """
    findings = [check_reachable(channel, standards.timeout, clock)]
    if findings[0].status == "failure":
        return findings
    seen = _Seen()
    findings.append(check_health(channel, standards.timeout))
    findings += _models(channel, standards.timeout, seen)
    if not seen.versions:
        return findings
    findings += _agreement(seen)
    findings += _signatures(channel, standards.timeout, seen)
    if released is not None:
        findings += _release(seen, released, standards.age_days, now())
    return findings + _requests(Prober(channel, standards.timeout, samples, clock), standards, seen)


def _models(channel: grpc.Channel, timeout: float, seen: _Seen) -> list[Finding]:
    """Which models are there, in which versions and states."""
    stub, findings = ModelServiceStub(channel), []
    for model in MODELS:
        request = GetModelStatusRequest()
        request.model_spec.name = model
        try:
            response = stub.GetModelStatus(request, timeout=timeout)
        except grpc.RpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                detail = f"{error.code().name}: {error.details()}"
                findings.append(Finding("served", model, "failure", detail, "Ask again; see the server's log."))
            continue
        findings.append(_states(model, list(response.model_version_status), seen))
    if not findings:
        advice = "Look at its --model_config_file: names must be those of a release, and base paths absolute."
        detail = f"none of {', '.join(MODELS)} is served"
        findings.append(Finding("served", SERVER, "failure", detail, advice))
    return findings


def _states(model: str, statuses: list[ModelVersionStatus], seen: _Seen) -> Finding:
    available = [each.version for each in statuses if each.state == ModelVersionStatus.AVAILABLE]
    if available:
        seen.versions[model] = sorted(available, reverse=True)
    texts = [f"{each.version} {ModelVersionStatus.State.Name(each.state)}" for each in statuses]
    detail = ", ".join(texts)
    broken = [each for each in statuses if each.status.error_code]
    if broken and broken[0].version < max(available, default=0):  # newest first; a server tells of each until it ends
        detail += f"; version {broken[0].version}: {broken[0].status.error_message}"
        advice = "It did not load. A newer one answers, so that this matters only to clients that pin it."
        return Finding("served", model, "warning", detail, advice)
    if broken:
        detail += f"; version {broken[0].version}: {broken[0].status.error_message}"
        advice = (
            "The version did not load. `Op type not registered` with ScaNN: a stock server runs the *_exact models "
            "alone. A missing file: copy with copy_release.sh. Memory: see sizing in docs/deployment.md."
        )
        return Finding("served", model, "failure", detail, advice)
    if not available:
        return Finding("served", model, "failure", detail or "no version", "Wait until it has loaded; see its log.")
    moving = (ModelVersionStatus.START, ModelVersionStatus.LOADING, ModelVersionStatus.UNLOADING)
    if any(each.state in moving for each in statuses):
        return Finding("served", model, "warning", detail, "A version is on its way: ask again when it has settled.")
    return Finding("served", model, "ok", detail)


def _agreement(seen: _Seen) -> list[Finding]:
    """One version over all models, or at least a reranker for what retrieval answers with."""
    newest = {model: versions[0] for model, versions in seen.versions.items()}
    for retrieval in ("retrieval", "retrieval_exact"):
        if retrieval in newest and "rerank" in newest and newest[retrieval] not in seen.versions["rerank"]:
            detail = f"{retrieval} answers with version {newest[retrieval]}, which rerank does not have"
            advice = (
                "Clients get products in retrieval's order. Publish rerank in that version, and let servers keep two "
                "versions: model_version_policy { latest { num_versions: 2 } }."
            )
            return [Finding("versions", "rerank", "failure", detail, advice)]
    if len(set(newest.values())) == 1:
        return [Finding("versions", SERVER, "ok", f"every model's newest is {next(iter(newest.values()))}")]
    detail = ", ".join(f"{model} {version}" for model, version in newest.items())
    advice = "A release is on its way, or was copied in part: run copy_release.sh again, and ask again."
    return [Finding("versions", SERVER, "warning", f"the newest versions differ: {detail}", advice)]


def _signatures(channel: grpc.Channel, timeout: float, seen: _Seen) -> list[Finding]:
    stub, findings = PredictionServiceStub(channel), []
    for model, versions in seen.versions.items():
        request = GetModelMetadataRequest(metadata_field=["signature_def"])
        request.model_spec.name = model
        request.model_spec.version.value = versions[0]
        advice = "The model is not one of this release's form: look at the base path, and release again."
        try:
            response = stub.GetModelMetadata(request, timeout=timeout)
        except grpc.RpcError as error:
            detail = f"{error.code().name}: {error.details()}"
            findings.append(Finding("signatures", model, "failure", detail, "Ask again; see the server's log."))
            continue
        unpacked = SignatureDefMap()
        response.metadata["signature_def"].Unpack(unpacked)
        faults = signature_faults(model, unpacked.signature_def)
        if faults:
            findings.append(Finding("signatures", model, "failure", "; ".join(faults), advice))
        else:
            seen.signatures[model] = unpacked.signature_def
            findings.append(Finding("signatures", model, "ok", ", ".join(_public(unpacked.signature_def))))
    return findings + _shapes(seen)


def _public(signatures: Signatures) -> list[str]:
    """Names of signatures; TensorFlow adds one of its own, which starts the model."""
    return sorted(name for name in signatures if not name.startswith("__"))


def _shapes(seen: _Seen) -> list[Finding]:
    """Whether models that are used together have one history length and one embedding size."""
    findings = []
    sizes = {
        "history length": {model: history_length(each) for model, each in seen.signatures.items()},
        "embedding size": {model: embedding_size(model, each) for model, each in seen.signatures.items()},
    }
    for what, by_model in sizes.items():
        known = {model: size for model, size in by_model.items() if size is not None}
        if len(set(known.values())) > 1:
            detail = f"the {what} differs: " + ", ".join(f"{model} {size}" for model, size in known.items())
            advice = "Models of different configs are served side by side: release all of them from one run."
            findings.append(Finding("signatures", SERVER, "failure", detail, advice))
    return findings


def _release(seen: _Seen, released: Released, age_days: float, now: float) -> list[Finding]:
    """Whether the newest release is served, and how old its catalogue is."""
    findings = []
    newest = max(versions[0] for versions in seen.versions.values())
    if newest == released.version:
        findings.append(Finding("release", SERVER, "ok", f"version {newest}, the newest one released, is served"))
    else:
        detail = f"version {newest} is served, {released.version} is the newest one released"
        advice = "Copy it to where the server reads (copy_release.sh), or point --models at the server's own folder."
        findings.append(Finding("release", SERVER, "warning", detail, advice))
    if newest not in released.snapshots:
        return findings
    taken = released.snapshots[newest]
    days = (now - taken) / _DAY
    detail = f"the catalogue is of {datetime.fromtimestamp(taken, UTC):%Y-%m-%d}, {days:.1f} days ago"
    numbers = {"snapshot_age_days": days}
    if days < 0:
        advice = "The snapshot lies in the future: this machine's clock is wrong, or the log's timestamps are."
        findings.append(Finding("age", SERVER, "failure", detail, advice, numbers))
    elif days > age_days:
        advice = "Counters and new products stand still since: `tandem retrain` with what the shop logged."
        findings.append(Finding("age", SERVER, "warning", detail, advice, numbers))
    else:
        findings.append(Finding("age", SERVER, "ok", detail, "", numbers))
    return findings


def _requests(prober: Prober, standards: Standards, seen: _Seen) -> list[Finding]:
    """Ask every model that answers requests, then the reranker with candidates, then compare the indexes."""
    findings: list[Finding] = []
    known = seen.signatures
    for model in REQUEST_MODELS:
        if model in known:
            version = seen.versions[model][0]
            findings += prober.latency(model, version, known[model], standards.calls, standards.p99_ms)
    source = next((model for model in ("retrieval", "retrieval_exact") if model in known), None)
    if "rerank" in known and source is not None:
        version = seen.versions[source][0]
        if version in seen.versions["rerank"]:
            candidates = (source, version, known[source])
            findings += prober.latency(
                "rerank", version, known["rerank"], standards.calls, standards.p99_ms, candidates
            )
    return findings + _recall(prober, standards, seen)


def _recall(prober: Prober, standards: Standards, seen: _Seen) -> list[Finding]:
    """What the index finds of the exact products, or that nobody knows; nothing for exact models, which miss none."""
    pair, known = ("retrieval", "retrieval_exact"), seen.signatures
    if "search" not in known and "retrieval" not in known:
        return []
    missing = [model for model in pair if model not in seen.versions]
    common = set(seen.versions.get(pair[0], ())) & set(seen.versions.get(pair[1], ()))
    if missing or not common:
        reason = f"without {' and '.join(missing)}" if missing else f"{' and '.join(pair)} share no version"
        advice = (
            "For the number, ask a server beside that lists retrieval and retrieval_exact, as "
            "serving_config/recall.config does."
        )
        return [Finding("recall", "retrieval", "warning", f"not measured: {reason}", advice)]
    if any(model not in known for model in pair):
        return []  # the check `signatures` says why
    return [prober.recall(max(common), known[pair[0]], known[pair[1]], standards.calls, standards.recall)]
