"""docs/deployment.md and docs/troubleshooting.md: what they name exists, and what they compute is right."""

import re
import subprocess
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import typer
import yaml
from stock_flags import STOCK_FLAGS

from catalog.files import read_json, write_json
from pipelines import s09_release
from pipelines.cli import app
from pipelines.config import PipelineConfig, ReleaseConfig
from pipelines.publish import PUBLISH_ORDER, latest_release, next_release, publish
from pipelines.workspace import Stage, Workspace, finished_inputs, open_workspace, run_stages
from rerank.config import LexicalConfig, RerankConfig
from serving.auth import read_token
from towers.config import TowersConfig

ROOT = Path(__file__).parents[2]
PAGES = ("docs/deployment.md", "docs/troubleshooting.md", "serving_config/README.md")
GUIDE = (ROOT / PAGES[0]).read_text(encoding="utf-8")
GIB = 2**30
ROLLBACK, PRUNING = map(textwrap.dedent, re.findall(r"^    models=.*?^    done$", GUIDE, re.S | re.M))

# Of commands and programs other than tensorflow_model_server.
OTHER_FLAGS = {
    "auth_token_file", "build-arg", "ca", "cert", "config", "detach", "force", "from-file", "host", "init", "json",
    "key", "max-age-days", "max-p99-ms", "models", "namespace", "out", "profile", "read-only", "rest_api_host",
    "selector", "tmpfs", "wait", "wait_for_versions",
}  # fmt: skip


@pytest.mark.parametrize("page", PAGES)
def test_files_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    for name in re.findall(r"\b(?:serving_config|docs)/[\w.-]*\w", text):
        assert (ROOT / name).exists(), name
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
    for name in re.findall(r"`([\w.-]+\.(?:config|yaml|sh|txt))`", text):
        known = name in ("models.config", "certificates/ssl.config")
        assert known or (ROOT / "serving_config" / name).exists(), name


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_flags_that_are_named_exist(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name in re.findall(r"\btandem ([a-z]+(?:-[a-z]+)*)", "\n".join(re.findall(r"`[^`]+`|^    .*$", text, re.M))):
        assert name in commands, name
    for flag in re.findall(r"(?<![\w-])--([a-z][\w-]*)", text):
        assert flag in STOCK_FLAGS | OTHER_FLAGS, flag


def block(key: str) -> dict[str, Any]:
    """The YAML block of the guide that has `key` at its top."""
    texts = re.findall(r"^( *)```yaml\n(.*?)^ *```$", GUIDE, re.S | re.M)
    blocks = [yaml.safe_load(textwrap.dedent(text)) for _, text in texts]
    (found,) = [each for each in blocks if key in each]
    return found


def kubernetes(kind: str) -> dict[str, Any]:
    items = yaml.safe_load_all((ROOT / "serving_config/kubernetes.yaml").read_text(encoding="utf-8"))
    (found,) = [item for item in items if item["kind"] == kind]
    return found


def test_the_first_apply_makes_the_claim_alone() -> None:
    ((key, value),) = re.findall(r"kubectl apply .* --selector (\S+)=(\S+)$", GUIDE, re.M)
    items = yaml.safe_load_all((ROOT / "serving_config/kubernetes.yaml").read_text(encoding="utf-8"))
    chosen = [item["kind"] for item in items if item["metadata"].get("labels", {}).get(key) == value]
    assert chosen == ["PersistentVolumeClaim"]


def test_the_init_container_is_a_container() -> None:
    (container,) = block("initContainers")["initContainers"]
    assert set(container) == {"name", "image", "command", "volumeMounts"}
    assert container["volumeMounts"] == [{"name": "models", "mountPath": "/models"}]


def test_the_parts_for_tls_fit_the_deployment() -> None:
    deployment, parts = kubernetes("Deployment"), block("volumes")
    pod = deployment["spec"]["template"]["spec"]
    ((container,), (added,)) = (pod["containers"], parts["containers"])
    assert added["name"] == container["name"]
    container["volumeMounts"] += added["volumeMounts"]
    pod["volumes"] += parts["volumes"]
    (flag,) = re.findall(r"`--ssl_config_file=(/etc/tandem-tls/[^`]+)`", GUIDE)
    container["args"].append(f"--ssl_config_file={flag}")
    (probe,) = re.findall(r"`httpGet: (\{.+?\})`", GUIDE)
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        del container[name]["grpc"]
        container[name]["httpGet"] = yaml.safe_load(probe)
    kubernetes_validate.validate(deployment, "1.37", strict=True)
    (secret, namespace, file) = re.findall(
        r"kubectl create secret generic (\S+) --namespace (\S+) --from-file=(\S+)", GUIDE
    )[0]
    assert parts["volumes"] == [{"name": added["volumeMounts"][0]["name"], "secret": {"secretName": secret}}]
    assert flag == f"{added['volumeMounts'][0]['mountPath']}/{Path(file).name}"
    assert f"kubectl apply --namespace {namespace} -k" in GUIDE
    assert container[name]["httpGet"]["port"] in [port["name"] for port in container["ports"]]


def test_the_parts_for_a_token_are_what_the_server_asks_for(tmp_path: Path) -> None:
    deployment, added = kubernetes("Deployment"), block("httpHeaders")
    (probe,) = re.findall(r"`httpGet: (\{.+?\})`", GUIDE)
    (container,) = deployment["spec"]["template"]["spec"]["containers"]
    container["readinessProbe"] = {"httpGet": yaml.safe_load(probe) | added}
    kubernetes_validate.validate(deployment, "1.37", strict=True)
    ((header,),) = added.values()
    file = tmp_path / "token"
    file.write_text("TOKEN\n", encoding="ascii")
    assert header["name"] == "Authorization"
    read_token(file).check(header["value"])
    assert set(block("authorization")["authorization"]) == {"credentials_file"}  # whose type is Bearer


def test_the_parts_for_tls_fit_the_compose_file() -> None:
    compose = yaml.safe_load((ROOT / "serving_config/docker-compose.yaml").read_text(encoding="utf-8"))
    parts = block("services")
    ((name, service),) = parts["services"].items()
    assert name in compose["services"]
    ((use,), (made,)) = (service["configs"], parts["configs"].items())
    assert use["source"] == made[0]
    assert use["source"] not in compose["configs"]
    assert f"`--ssl_config_file={use['target']}`" in GUIDE
    # Where make_certificates.sh puts it from the repository's root, seen from the compose file's folder.
    assert (ROOT / "serving_config" / made[1]["file"]).resolve() == (ROOT / "certificates/ssl.config").resolve()
    (user,) = set(re.findall(r"`chown (\d+) certificates/ssl.config`", GUIDE))
    assert all(each["user"].split(":") == [user, user] for each in compose["services"].values())


def test_the_scrape_job_is_the_one_that_the_alerts_ask_for() -> None:
    (job,) = block("scrape_configs")["scrape_configs"]
    alerts = (ROOT / "serving_config/alerts.yaml").read_text(encoding="utf-8")
    assert set(re.findall(r'job="([^"]+)"', alerts)) == {job["job_name"]}
    assert f'path: "{job["metrics_path"]}"' in (ROOT / "serving_config/monitoring.config").read_text(encoding="utf-8")
    service, (found,) = kubernetes("Service"), job["dns_sd_configs"]
    ports = {port["name"]: port["port"] for port in service["spec"]["ports"]}
    assert found == {"names": [f"{service['metadata']['name']}.search.svc"], "type": "A", "port": ports["rest"]}
    (fixed,) = re.findall(r"`static_configs: (\[.+?\])`", GUIDE)
    assert yaml.safe_load(fixed) == [{"targets": [f"localhost:{ports['rest']}"]}]


def test_a_rollback_withdraws_from_where_a_release_was_copied_to() -> None:
    (target,) = re.findall(r"copy_release.sh saved_models VERSION (\S+?)`", GUIDE)
    for loop, also in ((ROLLBACK, []), (PRUNING, ["releases"])):
        assert re.match(rf"models={target} ", loop)
        (order,) = re.findall(r"for model in (.+); do", loop)
        assert order.split() == [*reversed(PUBLISH_ORDER), *also]


def run_in(models: Path, script: str) -> None:
    subprocess.run(["sh", "-euc", re.sub(r"^models=\S+", f"models={models}", script)], check=True)


def contents(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def stand_in_release(workspace: Workspace) -> None:
    """The release stage with models of one small file."""
    with next_release(workspace.config.models_dir) as (release, staging):
        for name in PUBLISH_ORDER:
            (staging / name).mkdir()
            (staging / name / "saved_model.pb").write_text(name)
        publish(release, staging, {"name": workspace.config.name}, [])
    write_json(workspace / "release.json", {"version": release.version})


RELEASE = Stage("release", stand_in_release, (), s09_release.settings, s09_release.outputs)


def test_the_next_run_does_not_undo_a_rollback(tmp_path: Path) -> None:
    models = tmp_path / "models"
    (models / "search" / "6").mkdir(parents=True)
    config = PipelineConfig(name="shop", workspace=tmp_path / "run", models_dir=models)
    workspace = open_workspace(config)
    run_stages(workspace, (RELEASE,), None, set())
    assert run_stages(workspace, (RELEASE,), None, {"release"}) == ["release"]
    assert latest_release(models).version == 8
    run_in(models, ROLLBACK)
    assert run_stages(workspace, (RELEASE,), None, set()) == []
    assert finished_inputs(workspace, (RELEASE, replace(RELEASE, name="evaluate", after=("release",))), "evaluate")
    assert contents(models / "search") == [".withdrawn.8", "6", "7"]
    assert latest_release(models).version == 7
    judged = s09_release.workspace_release(workspace)
    assert (judged.version, judged.kept("search").name) == (8, ".withdrawn.8")
    other = replace(workspace, config=config.model_copy(update={"release": ReleaseConfig(results=7)}))
    assert run_stages(other, (RELEASE,), None, set()) == ["release"]
    assert latest_release(models).version == 9  # its manifest stayed, so 8 never means something else


def test_pruning_keeps_the_newest_two_and_what_is_on_its_way(tmp_path: Path) -> None:
    """8 is withdrawn, 10 is being published; 5 was deleted in part before. The newest two that are whole: 9 and 7."""
    for name in ("releases", *PUBLISH_ORDER):
        for version in (4, 5, 6, 7, 8, 9, 10):
            (tmp_path / name / str(version)).mkdir(parents=True)
    for version in (5, 8, 10):
        (tmp_path / "search" / str(version)).rmdir()
    for name in ("search", "rerank"):
        (tmp_path / name / ".withdrawn.6").mkdir()
        (tmp_path / name / ".withdrawn.8").mkdir()
    run_in(tmp_path, PRUNING)
    assert contents(tmp_path / "search") == [".withdrawn.8", "7", "9"]
    assert contents(tmp_path / "rerank") == [".withdrawn.8", "10", "7", "8", "9"]
    assert contents(tmp_path / "releases") == ["10", "7", "8", "9"]


def test_pruning_leaves_a_single_release_alone(tmp_path: Path) -> None:
    for name in ("releases", *PUBLISH_ORDER):
        (tmp_path / name / "1").mkdir(parents=True)
    run_in(tmp_path, PRUNING)
    assert all((tmp_path / name / "1").is_dir() for name in ("releases", *PUBLISH_ORDER))


def test_the_age_that_is_alerted_on_is_a_number_of_the_doctor() -> None:
    ((check, key),) = re.findall(r'select\(\.check == "(\w+)"\) \| \.numbers\.(\w+)', GUIDE)
    doctor = (ROOT / "serving/doctor.py").read_text(encoding="utf-8")
    assert f'{{"{key}": ' in doctor
    assert f'Finding("{check}", SERVER, "warning"' in doctor  # too old is no failure: the exit code stays 0


def test_the_bytes_of_a_product_are_those_of_the_default_config() -> None:
    """The table's sizes that a config sets; counters and attributes depend on the shop."""
    dim, lexical = TowersConfig().dim, LexicalConfig()
    words = lexical.title_words + lexical.attribute_words + lexical.long_words
    rows = dict(re.findall(r"^\| ([a-z][^|]*?) \| [^|]+ \| (\d+) \|$", GUIDE, re.M))
    for name in ("index vectors", "content vectors, for histories", "product vectors, for the reranker"):
        assert int(rows[name]) == 4 * dim
    assert int(rows["words of title, attributes, long text"]) == 4 * words
    assert int(rows["tokens"]) == 4 * lexical.product_tokens
    assert int(rows["looks, from pictures"]) == 4 * RerankConfig().picture_dim
    assert int(rows["embeddings of the values, summed"]) == 4 * RerankConfig().value_dim
    assert sum(int(size) for size in rows.values()) == 1608
    assert "| **together** | | **1,608** |" in GUIDE
    assert "1,702 bytes exact and 1,990 with ScaNN" in GUIDE  # + 94 for ids; + 4 D + D / 2
    assert 1608 + 94 + 4 * dim + dim // 2 == 1990


@pytest.mark.parametrize(
    ("name", "products"), [("100,000 products", 100_000), ("one million", 1_000_000), ("ten million", 10_000_000)]
)
def test_the_memory_table_is_what_its_formula_gives(name: str, products: int) -> None:
    version = [1.2 * (0.13 + products * size / GIB) for size in (1702, 1990)]

    def cell(values: list[float]) -> str:
        return " / ".join(f"{value:.1f}" for value in values)

    two, three = ([0.55 + count * size for size in version] for count in (2, 3))
    disk = (0.29e9 + 5700 * products) / GIB
    row = re.search(rf"^\| {name} \| (.+) \|$", GUIDE, re.M)
    assert row is not None
    versions, kept, changing, limit, stored = row[1].split(" | ")
    assert (versions, kept, changing, stored) == (cell(version), cell(two), cell(three), f"{disk:.1f}")
    assert float(limit) > max(three)


def test_what_batching_brings_and_a_core_answers_is_what_was_measured() -> None:
    measured = read_json(ROOT / "benchmarks/results/serving-fashion.json")
    gain = f"{measured['batched_over_unbatched']:.2f} times the"
    rows = f"{measured['qps']['in_process_16']:,.0f} rows a second in batches of 16"
    sixteen = f"{measured['qps']['16']:,.0f}"
    for name, text in (
        ("docs/deployment.md", f"16 clients {gain} requests"),
        ("docs/deployment.md", f"{sixteen} a second on two cores"),
        ("README.md", f"sixteen {sixteen} times a second"),
        ("serving_config/docker-compose.yaml", f"{gain} throughput with 16 clients"),
        ("serving_config/kubernetes.yaml", f"{gain} throughput with 16 clients"),
        ("serving_config/batching_parameters.txt", rows),
    ):
        assert text in (ROOT / name).read_text(encoding="utf-8"), name
