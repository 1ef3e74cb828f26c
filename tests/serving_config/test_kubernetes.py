"""kubernetes.yaml and kustomization.yaml: Kubernetes' own schemas, and that the objects fit each other."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from google.protobuf import text_format
from serving_protos import MESSAGES
from stock_flags import parse_stock_flags

from serving.model_config import read_model_config
from serving.server_config import ServerConfig

FOLDER = Path(__file__).parents[2] / "serving_config"
OBJECTS: list[dict[str, Any]] = list(yaml.safe_load_all((FOLDER / "kubernetes.yaml").read_text(encoding="utf-8")))
BY_KIND = {item["kind"]: item for item in OBJECTS}
KUSTOMIZATION: dict[str, Any] = yaml.safe_load((FOLDER / "kustomization.yaml").read_text(encoding="utf-8"))
POD = BY_KIND["Deployment"]["spec"]["template"]
(CONTAINER,) = POD["spec"]["containers"]
PORTS = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
FLAGS = parse_stock_flags(CONTAINER["args"])


def config_files() -> dict[str, Path]:
    """Path in the container -> file of this folder, through the ConfigMap."""
    (generator,) = KUSTOMIZATION["configMapGenerator"]
    (volume,) = [volume for volume in POD["spec"]["volumes"] if "configMap" in volume]
    assert volume["configMap"]["name"] == generator["name"]
    (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == volume["name"]]
    pairs = [entry.rpartition("=") for entry in generator["files"]]
    return {f"{mount['mountPath']}/{key or file}": FOLDER / file for key, _, file in pairs}


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: str(item["kind"]))
@pytest.mark.parametrize("version", ["1.27", "1.37"])
def test_objects_follow_the_schema(item: dict[str, Any], version: str) -> None:
    kubernetes_validate.validate(item, version, strict=True)


def test_a_misspelt_key_does_not_pass_the_schema() -> None:
    wrong = yaml.safe_load(yaml.safe_dump(BY_KIND["Deployment"]))
    wrong["spec"]["template"]["spec"]["containers"][0]["readynessProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, "1.37", strict=True)


def test_there_is_one_of_each() -> None:
    kinds = ["PersistentVolumeClaim", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget"]
    assert [item["kind"] for item in OBJECTS] == [*kinds, "NetworkPolicy"]
    assert KUSTOMIZATION["resources"] == ["kubernetes.yaml"]


def test_every_selector_matches_the_pods() -> None:
    labels = POD["metadata"]["labels"].items()
    selectors = [
        BY_KIND["Deployment"]["spec"]["selector"]["matchLabels"],
        BY_KIND["Service"]["spec"]["selector"],
        BY_KIND["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"],
        BY_KIND["NetworkPolicy"]["spec"]["podSelector"]["matchLabels"],
        POD["spec"]["topologySpreadConstraints"][0]["labelSelector"]["matchLabels"],
    ]
    assert all(selector and selector.items() <= labels for selector in selectors)


def test_the_autoscaler_scales_the_deployment_on_a_resource_that_is_requested() -> None:
    scaler = BY_KIND["HorizontalPodAutoscaler"]["spec"]
    deployment = BY_KIND["Deployment"]
    target = {"apiVersion": deployment["apiVersion"], "kind": "Deployment", "name": deployment["metadata"]["name"]}
    assert scaler["scaleTargetRef"] == target
    assert "replicas" not in deployment["spec"]  # an apply would undo the scaling
    assert 2 <= scaler["minReplicas"] < scaler["maxReplicas"]
    metric, requests = scaler["metrics"][0]["resource"], CONTAINER["resources"]["requests"]
    assert metric["name"] in requests
    # One batch at a time of search_exact keeps a core busy at its limit: a target at or above it is never reached.
    cores = float(requests["cpu"]) * metric["target"]["averageUtilization"] / 100
    assert 1.1 * cores < 0.7 * 1.0  # the autoscaler acts from a tenth above its target
    assert BY_KIND["PodDisruptionBudget"]["spec"]["maxUnavailable"] < scaler["minReplicas"]


def test_ports_exist_wherever_they_are_named() -> None:
    assert {"grpc": int(FLAGS["port"]), "rest": int(FLAGS["rest_api_port"])} == PORTS
    for port in BY_KIND["Service"]["spec"]["ports"]:
        assert PORTS[port["targetPort"]] == port["port"]
    allowed = [port["port"] for rule in BY_KIND["NetworkPolicy"]["spec"]["ingress"] for port in rule["ports"]]
    assert sorted(allowed) == sorted(PORTS)


def test_clients_see_every_pod() -> None:
    assert BY_KIND["Service"]["spec"]["clusterIP"] == "None"  # headless
    arguments = dict(pair.split("=") for pair in FLAGS["grpc_channel_arguments"].split(","))
    grace = int(arguments["grpc.max_connection_age_grace_ms"])
    assert 0 < grace < int(arguments["grpc.max_connection_age_ms"])


def test_probes_ask_the_grpc_port_of_a_server_that_answers_them() -> None:
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert CONTAINER[probe]["grpc"]["port"] == PORTS["grpc"]
    assert FLAGS["enable_grpc_healthcheck_service"] == "true"
    startup, liveness = CONTAINER["startupProbe"], CONTAINER["livenessProbe"]
    waited = startup["periodSeconds"] * startup["failureThreshold"]
    assert waited == 300  # "Five minutes to load"
    assert waited < BY_KIND["Deployment"]["spec"]["progressDeadlineSeconds"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] == 120  # "after two minutes only"


def test_a_pod_that_ends_has_time_for_what_is_in_flight() -> None:
    command = CONTAINER["lifecycle"]["preStop"]["exec"]["command"]
    assert command[0] == "sleep"
    assert POD["spec"]["terminationGracePeriodSeconds"] >= 2 * int(command[1])
    assert POD["spec"]["shareProcessNamespace"]  # or the server would be PID 1 and ignore SIGTERM


def test_the_command_runs_the_server_on_files_that_are_mounted() -> None:
    assert CONTAINER["image"] == "tensorflow/serving:2.20.0"
    assert CONTAINER["command"] == ["tensorflow_model_server"]
    files = config_files()
    used = {value for flag, value in FLAGS.items() if flag.endswith("_file")}
    assert used == set(files)
    assert all(path.is_file() for path in files.values())
    claim = BY_KIND["PersistentVolumeClaim"]["metadata"]["name"]
    (volume,) = [volume for volume in POD["spec"]["volumes"] if "persistentVolumeClaim" in volume]
    assert volume["persistentVolumeClaim"] == {"claimName": claim, "readOnly": True}
    (mount,) = [mount for mount in CONTAINER["volumeMounts"] if mount["name"] == volume["name"]]
    for model in read_model_config(files[FLAGS["model_config_file"]]).model_config_list.config:
        assert model.base_path == f"{mount['mountPath']}/{model.name}"


def test_every_mount_has_its_volume() -> None:
    volumes = [volume["name"] for volume in POD["spec"]["volumes"]]
    assert sorted(mount["name"] for mount in CONTAINER["volumeMounts"]) == sorted(volumes)


def test_resources_are_set_and_memory_is_not_promised_twice() -> None:
    resources = CONTAINER["resources"]
    assert resources["requests"]["memory"] == resources["limits"]["memory"]
    assert "cpu" not in resources["limits"]
    text = (FOLDER / "batching_parameters.txt").read_text(encoding="utf-8")
    threads = text_format.Parse(text, MESSAGES["BatchingParameters"]()).num_batch_threads.value
    assert int(resources["requests"]["cpu"]) == 2 * threads
    assert FLAGS["tensorflow_inter_op_parallelism"] == resources["requests"]["cpu"]
    embedded = ServerConfig.model_fields["tensorflow_intra_op_parallelism"].default
    assert int(FLAGS["tensorflow_intra_op_parallelism"]) == embedded


def test_pods_run_without_rights() -> None:
    pod, container = POD["spec"]["securityContext"], CONTAINER["securityContext"]
    assert pod["runAsNonRoot"]
    assert pod["runAsUser"] > 0
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert POD["spec"]["automountServiceAccountToken"] is False


def test_nothing_but_backends_and_prometheus_comes_in_and_nothing_goes_out() -> None:
    policy = BY_KIND["NetworkPolicy"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    assert all(rule["from"] for rule in policy["ingress"])  # an empty list would let everybody in
    by_port = {rule["ports"][0]["port"]: rule["from"] for rule in policy["ingress"]}
    assert by_port["grpc"] == [{"podSelector": {"matchLabels": {"tandem-client": "true"}}}]
    assert by_port["rest"] == [{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "monitoring"}}}]
