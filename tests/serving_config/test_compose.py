"""docker-compose.yaml: the keys and forms of the Compose specification that it uses, and everything it refers to."""

import re
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from google.protobuf import text_format
from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from serving_protos import MESSAGES
from stock_flags import parse_stock_flags

from serving.model_config import read_model_config
from serving.server_config import ServerConfig

FOLDER = Path(__file__).parents[2] / "serving_config"

Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(h|m|s|ms|us))+$")]
Size = Annotated[str, StringConstraints(pattern=r"^\d+[KMG]$")]
Published = Annotated[str, StringConstraints(pattern=r"^127\.0\.0\.1:\d+:\d+$")]


class Strict(BaseModel):
    """A mapping of the Compose specification; a key it does not have is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Mount(Strict):
    type: Literal["bind", "volume", "tmpfs"]
    source: str
    target: str
    read_only: bool


class ConfigUse(Strict):
    source: str
    target: str


class HealthCheck(Strict):
    test: list[str]
    interval: Duration
    timeout: Duration
    retries: int = Field(gt=0)
    start_period: Duration


class Limits(Strict):
    cpus: str = Field(pattern=r"^\d+(\.\d+)?$")
    memory: Size


class Resources(Strict):
    limits: Limits


class Deploy(Strict):
    resources: Resources


class Logging(Strict):
    driver: str
    options: dict[str, str]


class Build(Strict):
    context: str
    dockerfile: str


class Service(Strict):
    image: str
    build: Build | None = None
    profiles: list[str] = []
    entrypoint: list[str] | None = None
    command: list[str] | None = None
    ports: list[Published]
    configs: list[ConfigUse] = []
    volumes: list[Mount]
    healthcheck: HealthCheck | None = None
    init: bool
    user: str
    read_only: bool
    tmpfs: list[str]
    cap_drop: list[str]
    security_opt: list[str]
    ulimits: dict[str, int] = {}
    restart: Literal["no", "always", "on-failure", "unless-stopped"]
    deploy: Deploy
    logging: Logging


class ConfigFile(Strict):
    file: str


class Compose(Strict):
    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    services: dict[str, Service]
    configs: dict[str, ConfigFile]


def load() -> Compose:
    raw: dict[str, Any] = yaml.safe_load((FOLDER / "docker-compose.yaml").read_text(encoding="utf-8"))
    return Compose.model_validate({key: value for key, value in raw.items() if not key.startswith("x-")})


COMPOSE = load()
STOCK = {name: service for name, service in COMPOSE.services.items() if service.command is not None}


def files(service: Service) -> dict[str, Path]:
    return {use.target: FOLDER / COMPOSE.configs[use.source].file for use in service.configs}


def test_the_services_are_the_ones_its_head_names() -> None:
    head = (FOLDER / "docker-compose.yaml").read_text(encoding="utf-8").split("name: tandem")[0]
    assert set(COMPOSE.services) == {"search", "candidates", "embedded"}
    for name, service in COMPOSE.services.items():
        (line,) = [line for line in head.splitlines() if re.match(rf"#     {name} ", line)]
        assert service.ports[0].rsplit(":", 1)[0] in line
        assert all(f"--profile {profile}" in line for profile in service.profiles)


@pytest.mark.parametrize("name", STOCK)
def test_stock_services_are_started_with_flags_that_exist_on_files_that_are_mounted(name: str) -> None:
    service = STOCK[name]
    assert service.image == "tensorflow/serving:2.20.0"
    assert service.entrypoint == ["tensorflow_model_server"]
    flags = parse_stock_flags(service.command or [])
    mounted = files(service)
    for flag, value in flags.items():
        if flag.endswith("_file"):
            assert mounted[value].is_file()
    assert {published.split(":")[-1] for published in service.ports} == {flags["port"], flags["rest_api_port"]}
    assert "rest_api_port" in flags  # where monitoring_config_file shows its metrics
    for model in read_model_config(mounted[flags["model_config_file"]]).model_config_list.config:
        assert model.base_path.startswith(f"{service.volumes[0].target}/")


@pytest.mark.parametrize("name", STOCK)
def test_each_batch_thread_gets_two_cores(name: str) -> None:
    text = (FOLDER / "batching_parameters.txt").read_text(encoding="utf-8")
    threads = text_format.Parse(text, MESSAGES["BatchingParameters"]()).num_batch_threads.value
    assert float(STOCK[name].deploy.resources.limits.cpus) == 2 * threads


@pytest.mark.parametrize("name", STOCK)
def test_threads_are_those_of_the_embedded_server_in_the_quota(name: str) -> None:
    flags = parse_stock_flags(STOCK[name].command or [])
    embedded = ServerConfig.model_fields["tensorflow_intra_op_parallelism"].default
    assert int(flags["tensorflow_intra_op_parallelism"]) == embedded
    assert float(flags["tensorflow_inter_op_parallelism"]) == float(STOCK[name].deploy.resources.limits.cpus)


@pytest.mark.parametrize("name", COMPOSE.services)
def test_services_can_write_nothing_and_gain_no_rights(name: str) -> None:
    service = COMPOSE.services[name]
    assert service.read_only
    assert service.cap_drop == ["ALL"]
    assert service.security_opt == ["no-new-privileges:true"]
    assert service.user.split(":")[0] not in ("0", "root")
    assert all(mount.read_only for mount in service.volumes)
    assert service.init


def test_ports_of_the_machine_are_taken_once() -> None:
    published = [port.rsplit(":", 1)[0] for service in COMPOSE.services.values() for port in service.ports]
    assert len(set(published)) == len(published)


def test_every_file_and_folder_is_there_and_every_config_used() -> None:
    assert all((FOLDER / entry.file).is_file() for entry in COMPOSE.configs.values())
    used = {use.source for service in COMPOSE.services.values() for use in service.configs}
    assert used == set(COMPOSE.configs)
    for service in COMPOSE.services.values():
        assert all((FOLDER / mount.source).is_dir() for mount in service.volumes)
        if service.build is not None:
            assert (FOLDER / service.build.context / service.build.dockerfile).is_file()


class Status(BaseHTTPRequestHandler):
    """The REST status of two models: one AVAILABLE, one that ended."""

    def do_GET(self) -> None:
        states = {"/v1/models/search_exact": "AVAILABLE", "/v1/models/rerank": "AVAILABLE", "/v1/models/gone": "END"}
        body = f'{{"model_version_status": [{{"version": "1", "state": "{states[self.path]}"}}]}}'.encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *values: Any) -> None:
        """Nothing on stderr."""


@pytest.fixture(scope="module")
def rest_port() -> Iterator[int]:
    server = HTTPServer(("127.0.0.1", 0), Status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("name", STOCK)
def test_the_health_check_sees_a_model_that_is_served_and_one_that_is_not(name: str, rest_port: int) -> None:
    service = STOCK[name]
    assert service.healthcheck is not None
    how, *command = service.healthcheck.test
    assert how == "CMD"
    flags = parse_stock_flags(service.command or [])
    (path,) = re.findall(r"/v1/models/(\w+)", command[-1])
    served = read_model_config(files(service)[flags["model_config_file"]]).model_config_list.config
    assert path in [model.name for model in served]
    assert f"127.0.0.1/{flags['rest_api_port']}" in command[-1]
    asked = command[-1].replace(f"127.0.0.1/{flags['rest_api_port']}", f"127.0.0.1/{rest_port}")
    assert subprocess.run([*command[:-1], asked], check=False, timeout=20).returncode == 0
    ended = asked.replace(f"models/{path}", "models/gone")
    assert subprocess.run([*command[:-1], ended], check=False, timeout=20).returncode != 0


def test_the_embedded_server_may_raise_the_priority_of_what_loads() -> None:
    # RLIMIT_NICE 20 allows nice 0, and with it the way out of SCHED_IDLE (sched(7), setrlimit(2)).
    assert COMPOSE.services["embedded"].ulimits == {"nice": 20}
