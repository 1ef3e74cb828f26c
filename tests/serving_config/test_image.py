"""The Dockerfile, without Docker: what it copies is laid out as it says, and its commands are run there."""

import importlib.metadata
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from serving.health import main as check_health

ROOT = Path(__file__).parents[2]
DOCKERFILE = ROOT / "serving_config" / "Dockerfile"
START_SECONDS = 120.0

# Puts the packages that the image does not have out of reach, and a model's toy in place of the shop's.
BLOCK = """
import json, os, sys
from importlib.abc import MetaPathFinder

class Absent(MetaPathFinder):
    names = frozenset(json.loads(os.environ["ABSENT_MODULES"]))
    def find_spec(self, name, path=None, target=None):
        if name in self.names:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())

from importlib import metadata
from_name = metadata.Distribution.from_name

def present(name):
    if name == "tandem-search":
        raise metadata.PackageNotFoundError(name)
    return from_name(name)

metadata.Distribution.from_name = present
"""

TOY = """
import sys
import tensorflow as tf
function = tf.function(lambda query: {"product_id": query})
signature = function.get_concrete_function(tf.TensorSpec([None], tf.string, "query"))
tf.saved_model.save(tf.Module(), sys.argv[1], signatures=signature)
"""


@dataclass
class Stage:
    """One FROM of the Dockerfile: its instructions in order, joined lines, comments left out."""

    image: str
    copies: list[tuple[list[str], str]] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    instructions: dict[str, str] = field(default_factory=dict)


def read_stages() -> list[Stage]:
    lines = [line for line in DOCKERFILE.read_text(encoding="utf-8").splitlines() if not line.strip().startswith("#")]
    stages: list[Stage] = []
    for line in re.sub(r"\\\n\s*", " ", "\n".join(lines)).splitlines():
        word, _, rest = line.strip().partition(" ")
        if word == "FROM":
            stages.append(Stage(rest.split()[0]))
        elif word == "COPY" and not rest.startswith("--from"):
            *sources, target = rest.split()
            stages[-1].copies.append((sources, target))
        elif word == "ENV":
            stages[-1].environment |= dict(pair.split("=", 1) for pair in shlex.split(rest))
        elif word:
            stages[-1].instructions[word] = rest
    return stages


STAGES = read_stages()
FINAL = STAGES[-1]


def runtime_requirements() -> list[str]:
    lines = (ROOT / "serving_config" / "requirements-serve.txt").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_closure(names: list[str]) -> set[str]:
    """What pip installs for these names in this environment."""
    found: set[str] = set()
    waiting = [(canonical(name), "") for name in names]
    seen = set()
    while waiting:
        name, extra = waiting.pop()
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        found.add(name)
        for text in importlib.metadata.distribution(name).requires or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
                waiting += [(canonical(requirement.name), each) for each in ("", *requirement.extras)]
    return found


def absent_modules() -> list[str]:
    """Top-level modules of this environment that the image would not have."""
    kept = installed_closure(runtime_requirements()) | {"tandem-search"}
    owners = importlib.metadata.packages_distributions()
    return sorted(name for name, owner in owners.items() if not {canonical(each) for each in owner} & kept)


def test_every_source_of_a_copy_exists_and_is_not_ignored() -> None:
    ignored = (DOCKERFILE.parent / "Dockerfile.dockerignore").read_text(encoding="utf-8").splitlines()
    let_in = [line.removeprefix("!") for line in ignored if line.startswith("!")]
    assert "*" in ignored
    sources = [source for stage in STAGES for copied, _ in stage.copies for source in copied]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(fnmatch(source, pattern) for pattern in let_in), source
    assert sorted(let_in) == sorted(sources)


def test_the_base_is_the_python_of_the_project_in_every_stage() -> None:
    assert {stage.image for stage in STAGES} == {"python:3.11-slim-bookworm"}
    assert 'requires-python = ">=3.11,<3.12"' in (ROOT / "pyproject.toml").read_text(encoding="utf-8")


def test_it_runs_as_a_user_without_rights() -> None:
    assert FINAL.instructions["USER"].isdecimal()
    assert int(FINAL.instructions["USER"]) > 0
    assert f"--uid {FINAL.instructions['USER']}" in FINAL.instructions["RUN"]


def test_requirements_are_locked_dependencies_of_the_project() -> None:
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    locked = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    for name in runtime_requirements():
        assert re.search(rf"^{re.escape(name)}==", locked, re.MULTILINE | re.IGNORECASE), name
        assert f'"{name}' in project or name == "filelock", name


def test_what_only_training_and_tests_need_is_left_out() -> None:
    absent = absent_modules()
    trained = ("keras_rs", "tensorflow_recommenders", "ibis", "duckdb", "matplotlib", "bm25s")
    for name in (*trained, "tf_keras", "pytest", "mypy"):
        assert name in absent
    for name in ("tensorflow", "tensorflow_text", "scann", "grpc", "pydantic", "typer"):
        assert name not in absent


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models")
    subprocess.run([sys.executable, "-c", TOY, str(folder / "search" / "1")], check=True, capture_output=True)
    return folder


@pytest.fixture
def container(tmp_path: Path) -> Path:
    """/app as the image has it."""
    app = tmp_path / "app"
    for sources, target in FINAL.copies:
        for source in sources:
            place = app / target / Path(source).name if target.endswith("/") else app / target
            place.parent.mkdir(parents=True, exist_ok=True)
            if (ROOT / source).is_dir():
                shutil.copytree(ROOT / source, place, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / source, place)
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(BLOCK)
    return app


@pytest.fixture
def environment(container: Path, tmp_path: Path) -> dict[str, str]:
    """The image's environment, with what it lacks out of reach."""
    theirs = {name: value.replace("/app", str(container)) for name, value in FINAL.environment.items()}
    blocked = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": f"{container}:{tmp_path / 'site'}",
        "ABSENT_MODULES": json.dumps(absent_modules()),
    }
    return os.environ | theirs | blocked


@pytest.fixture
def server(
    container: Path, environment: dict[str, str], models: Path, tmp_path: Path
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The image's entry point and command, with a free port and this test's models; it, and where it listens."""
    command = [*json.loads(FINAL.instructions["ENTRYPOINT"]), *json.loads(FINAL.instructions["CMD"])]
    swapped = {"python": sys.executable, "/models": str(models), "8500": "0"}
    log = tmp_path / "log"
    with log.open("w") as output:
        process = subprocess.Popen(
            [swapped.get(part, part) for part in command], cwd=container, env=environment, stderr=output, text=True
        )
    try:
        yield process, _address(process, log)
    finally:
        process.kill()
        process.wait()


def _address(process: subprocess.Popen[str], log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        if found := re.search(r"listening on \S*?:(\d+)", log.read_text()):
            return f"127.0.0.1:{found[1]}"
        time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text()}")


def test_the_image_s_server_starts_is_healthy_and_ends_on_sigterm(server: tuple[subprocess.Popen[str], str]) -> None:
    process, address = server
    options, _, command = FINAL.instructions["HEALTHCHECK"].partition(" CMD ")
    assert re.findall(r"--(\w+(?:-\w+)?)=\w+", options) == ["interval", "timeout", "start-period", "retries"]
    program, module_flag, module, asked = json.loads(command)
    assert (program, module_flag, module, asked) == ("python", "-m", "serving.health", "127.0.0.1:8500")
    check_health([address])  # raises SystemExit if it is not healthy
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 0
    with pytest.raises(SystemExit):
        check_health([address])


def test_the_image_s_server_tells_its_version(container: Path, environment: dict[str, str]) -> None:
    _, *module = json.loads(FINAL.instructions["ENTRYPOINT"])
    command = [sys.executable, *module, "serve", "--version"]

    def told(env: dict[str, str]) -> str:
        done = subprocess.run(command, cwd=container, env=env, capture_output=True, text=True, check=True)
        return done.stdout.splitlines()[0]

    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    (version,) = re.findall(r'^version = "(.+)"$', project, re.MULTILINE)
    assert told(environment) == f"Tandem ModelServer: {version}"
    del environment["TANDEM_VERSION"]
    assert told(environment) == "Tandem ModelServer: unknown"
