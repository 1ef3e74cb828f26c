"""Where numbers come from: machine, versions, configuration, seeds."""

import os
import platform
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

PACKAGES = (
    *("tensorflow", "keras", "tensorflow-text", "tensorflow-recommenders", "scann", "numpy", "duckdb"),
    *("bm25s", "scipy", "scikit-learn", "implicit", "lightgbm"),
)


@dataclass(frozen=True)
class Provenance:
    """All one needs to make the numbers again.

    Args:
        created: ISO 8601, UTC. machine, versions: see `describe_machine` and `package_versions`.
        config_fingerprint, data_fingerprint, release: of the run that is judged; "" if not known.
        seeds: name -> seed.
    """

    created: str
    machine: dict[str, str]
    versions: dict[str, str]
    config_fingerprint: str = ""
    data_fingerprint: str = ""
    release: str = ""
    seeds: dict[str, int] = field(default_factory=dict)


def provenance(
    config_fingerprint: str = "", data_fingerprint: str = "", release: str = "", seeds: dict[str, int] | None = None
) -> Provenance:
    """The provenance of numbers made here and now."""
    created = datetime.now(UTC).isoformat(timespec="seconds")
    return Provenance(
        created,
        describe_machine(),
        package_versions(),
        config_fingerprint,
        data_fingerprint,
        release,
        seeds or {},
    )


def describe_machine() -> dict[str, str]:
    """Processor, cores that this process may use, memory, system."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {
        "processor": _processor(),
        "cores": str(cores),
        "memory": f"{memory:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
    }


def package_versions() -> dict[str, str]:
    """Python's version and those of the installed packages that move the numbers."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "unknown"
