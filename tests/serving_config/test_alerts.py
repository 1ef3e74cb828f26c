"""alerts.yaml: the form of a Prometheus rule file over metrics of TF Serving, and what rules on shares say."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from serving.call_record import Call
from serving.monitoring import Monitoring

FOLDER = Path(__file__).parents[2] / "serving_config"
GROUPS: list[dict[str, Any]] = yaml.safe_load((FOLDER / "alerts.yaml").read_text(encoding="utf-8"))["groups"]
RULES: list[dict[str, Any]] = [rule for group in GROUPS for rule in group["rules"]]

# Of servables/tensorflow/util.cc and batching/batching_session.cc, and the labels each carries.
METRICS = {
    ":tensorflow:serving:request_count": {"model_name", "status"},
    ":tensorflow:serving:request_latency_bucket": {"model_name", "API", "entrypoint", "le"},
    ":tensorflow:serving:batching_session:queuing_latency_bucket": {"thread_pool_name", "le"},
    "up": {"job"},
}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_has_prometheus_form(rule: dict[str, Any]) -> None:
    assert set(rule) == {"alert", "expr", "for", "labels", "annotations"}
    assert re.fullmatch(r"[A-Z][A-Za-z]+", rule["alert"])
    assert re.fullmatch(r"\d+[smh]", rule["for"])
    assert rule["labels"]["severity"] in ("page", "ticket")
    assert rule["expr"].count("(") == rule["expr"].count(")")


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["alert"]))
def test_a_rule_asks_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    expression = rule["expr"]
    named = set(re.findall(r":[a-z_:]+[a-z]", expression)) | ({"up"} if re.search(r"\bup\b", expression) else set())
    assert named
    assert named <= set(METRICS)
    labels = set().union(*(METRICS[name] for name in named))
    grouped = {label.strip() for group in re.findall(r"by \(([^)]*)\)", expression) for label in group.split(",")}
    selected = set(re.findall(r"(\w+)\s*[!=]~?=?\"", expression))
    assert grouped | selected <= labels
    assert set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"])) <= grouped
    assert (expression.find("histogram_quantile") >= 0) == ("_bucket" in expression)


def test_names_are_given_once_and_files_that_are_referred_to_exist() -> None:
    names = [rule["alert"] for rule in RULES]
    assert len(set(names)) == len(names)
    for rule in RULES:
        for page in re.findall(r"docs/\w+\.md", rule["annotations"]["action"]):
            assert (FOLDER.parent / page).is_file()


def total(term: str, page: str) -> dict[str, float]:
    """`sum by (label) (rate(counter{...}[5m]))` of counters that were at 0 before, by label; by "" without `by`."""
    form = r"sum\s*(?:by \((\w+)\)\s*)?\(rate\(([\w:]+)(?:\{(.*)\})?\[5m\]\)\)"
    match = re.fullmatch(form, term.strip())
    assert match is not None, term
    by, counter, selector = match.groups()
    wanted = re.findall(r'(\w+)(!?=)"(\w*)"', selector or "")
    sums: dict[str, float] = {}
    for series, value in re.findall(rf"^{counter}\{{(.*)\}} (\S+)$", page, re.MULTILINE):
        labels = dict(re.findall(r'(\w+)="(\w*)"', series))
        if all((labels[name] == text) == (sign == "=") for name, sign, text in wanted):
            group = labels[by] if by else ""
            sums[group] = sums.get(group, 0.0) + float(value)
    return sums


def firing(page: str) -> dict[str, list[str]]:
    """The rules on shares of requests that fire, and for which models."""
    found = {}
    for rule in RULES:
        if " / " in rule["expr"]:
            share, limit = rule["expr"].split(" > ")
            failed, all_of_them = (total(term, page) for term in share.split(" / "))
            models = [model for model, count in failed.items() if count / all_of_them[model] > float(limit)]
            if models:
                found[rule["alert"]] = models
    return found


@pytest.mark.parametrize(
    ("failed", "refused", "fires"),
    [
        (0, 0, {}),
        (5, 5, {}),
        (20, 0, {"TandemErrors": ["search"]}),
        (0, 20, {"TandemRefusals": [""]}),
    ],
    ids=["none", "half a percent", "a model's", "overload"],
)
def test_one_in_a_hundred_is_reported_of_models_and_of_refusals_each(
    failed: int, refused: int, fires: dict[str, list[str]]
) -> None:
    """Of 1,000 answered requests for `search`, so many failed ones, and refused ones that name no model."""
    monitoring = Monitoring(lambda: ["search"])
    for model, status, times in (
        ("search", "OK", 1000),
        ("search", "INTERNAL", failed),
        ("", "UNAVAILABLE", refused),
    ):
        for _ in range(times):
            monitoring.record(Call(entrypoint="GRPC", api="Predict", model=model, status=status))
    assert firing(monitoring.page()) == fires
