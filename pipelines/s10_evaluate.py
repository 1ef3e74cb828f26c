"""Judge the release: its SavedModels beside the baselines, on the test days, against the log and the simulator's truth.

    tandem evaluate --config pipelines/configs/demo.yaml

Writes report.json, report.html and projector/ (for TensorBoard). Reads the truth, which no other stage may; does not
train or tune anything but the baselines.
"""

import hashlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from catalog.errors import ConfigError, DataError
from catalog.feature_store import FeatureStore
from catalog.files import read_json, read_npy
from catalog.progress import console, output_console
from catalog.schema import ShopData
from catalog.truth import Truth
from evaluation.aligned_truth import AlignedTruth
from evaluation.answers import Answer, make_answer
from evaluation.attribute_queries import AttributeQueries
from evaluation.boards import Board, Curve
from evaluation.provenance import provenance
from evaluation.report import Answers, Report, Section, headline_tables, write_report
from evaluation.requests import Requests, Task, made_up_requests, sample_requests
from pipelines.attribute_part import attribute_board, attribute_claims, attribute_queries
from pipelines.baselines import Baselines
from pipelines.config import EvaluateConfig, PipelineConfig
from pipelines.counted_once import without_repeats
from pipelines.index_part import index_blocks, space_blocks, write_space
from pipelines.judging import Shop, masked_rankings, our_rankings, product_vectors
from pipelines.product_fields import raw_fields
from pipelines.publish import Release
from pipelines.report_claims import calibration_claims, examination_claims, log_loss_claims, measured_claims
from pipelines.report_parts import TaskReport, eligible_mask
from pipelines.report_reranker import Pages, judge_heads, read_pages, reranker_tables, told_by_position
from pipelines.s09_release import workspace_release
from pipelines.scoring import ReleasedModels
from pipelines.search_part import search_claims
from pipelines.snapshot import eligible_rows, snapshot_day, snapshot_time
from pipelines.workspace import Workspace

_SHOWN = 4


def run(workspace: Workspace) -> None:
    """saved_models/, features/, truth/ -> report.json, report.html."""
    config = workspace.config
    release = workspace_release(workspace)
    manifest = release.manifest()
    if manifest["config"]["release"]["snapshot"] != "test":
        raise ConfigError(
            "release.snapshot is 'latest': those counters have seen the test days, so a report would flatter. "
            "Judge a release with snapshot: test, then release with `tandem run --until release`."
        )
    data = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    day = snapshot_day(features, "test")
    eligible = eligible_mask(eligible_rows(data, features, day), data.products.num_rows)
    shop = Shop(data, features, eligible, snapshot_time(features, day), config.release.candidates)
    made = attribute_queries(shop, config.evaluate)
    truth = Truth.load(workspace / "truth") if config.simulate is not None else None
    with ReleasedModels(release, features, shop.product_ids, config.towers.history.length) as models:
        report = _judge(workspace, shop, truth, made, models, release, manifest)
    write_report(report, workspace.root)
    for table in headline_tables(report):
        output_console().print(table)


def _judge(
    workspace: Workspace,
    shop: Shop,
    truth: Truth | None,
    made: AttributeQueries | None,
    models: ReleasedModels,
    release: Release,
    manifest: dict[str, Any],
) -> Report:
    from towers.trained import pictures_dir

    config = workspace.config
    settings = config.evaluate
    pictures = pictures_dir(workspace / "towers", workspace / "images", config.towers)
    fields = raw_fields(shop.data, shop.features, snapshot_day(shop.features, "test"), pictures)
    vectors = product_vectors(models, fields, settings.modality_masks)
    aligned = AlignedTruth(truth, shop.product_ids) if truth is not None else None
    baselines = Baselines(shop, settings.seed, settings.stemmer)
    reports = []
    for requests in _test_requests(shop, settings):
        task = requests.task
        rankings = our_rankings(models, shop, requests) | baselines.rank(requests)
        if config.release.collapse_duplicates:
            rankings = without_repeats(rankings, shop)
        masked = masked_rankings(models, shop, requests, vectors) if settings.modality_masks else {}
        facts = truth.query_facts(requests.queries.tolist()) if truth is not None and task == "search" else None
        reports.append(TaskReport(shop, aligned, facts, requests, rankings, masked, settings.seed))
    write_space(workspace / "projector", shop, vectors["nothing"], settings.seed)
    examination = read_npy(workspace / "rerank" / "examination.npy")
    pages = _logged_pages(models, shop, reports, vectors["nothing"], examination, config)
    collapsed = config.release.collapse_duplicates
    attributes = attribute_board(made, shop, models, baselines, collapsed, settings) if made is not None else None
    tables = reranker_tables(workspace, shop, pages, vectors["nothing"], aligned, examination)
    by_place = told_by_position(shop.features, pages)
    heads = judge_heads(pages, by_place)
    bias = _examination(examination, truth) if shop.features.pages_logged else None
    sections = [
        *map(_task_section, reports),
        _modalities(reports),
        Section(
            "The reranker",
            "The same candidates, reranked and in the order that retrieval returned them in.",
            (
                *(report.reranking for report in reports),
                *([heads] if heads is not None else []),
                *tables,
                *([bias] if bias else []),
            ),
        ),
        Section("The index", "", index_blocks(read_json(workspace / "index" / "tuning.json"))),
        Section("The vectors", "", space_blocks(shop, vectors["nothing"], settings.seed)),
    ]
    if attributes is not None:
        sections.append(Section("Queries that nobody tuned to", "", (attributes,)))
    sections.append(_answers(shop, models, reports))
    return Report(
        title=config.name,
        lead="Two towers retrieve, a cross network reranks; judged as the SavedModels that are served.",
        facts=_facts(shop, reports, truth, collapsed),
        claims=(
            *measured_claims(reports),
            *calibration_claims(tables),
            *log_loss_claims(pages, by_place, settings.seed),
            *(examination_claims(bias) if bias else []),
            *(attribute_claims(attributes) if attributes is not None else []),
            *search_claims(models, shop, [report.requests for report in reports], collapsed, settings.seed),
        ),
        sections=tuple(section for section in sections if section.blocks),
        headline=tuple(report.headline[0].key for report in reports),
        provenance=provenance(
            config_fingerprint=hashlib.sha256(config.model_dump_json().encode()).hexdigest()[:16],
            data_fingerprint=manifest["data_fingerprint"],
            release=str(release.version),
            seeds={"evaluate": settings.seed, "towers": config.towers.seed, "rerank": config.rerank.seed},
        ),
    )


def _logged_pages(
    models: ReleasedModels,
    shop: Shop,
    reports: Sequence[TaskReport],
    vectors: npt.NDArray[np.float32],
    examination: npt.NDArray[np.float32],
    config: PipelineConfig,
) -> list[Pages]:
    """Test pages of each task; none of a log without impressions, which does not say what was left unclicked."""
    if not shop.features.pages_logged:
        return []
    settings, length = config.evaluate, config.release.candidates
    asked = (sample_requests(shop.features, part.task, settings.pages, settings.seed) for part in reports)
    found = (read_pages(models, shop, requests, vectors, examination, length) for requests in asked)
    return [part for part in found if part is not None]


def _task_section(report: TaskReport) -> Section:
    blocks = [
        *report.headline,
        report.judged(),
        report.taught(),
        report.counted_once(),
        report.slices(),
        report.cold_start(),
        report.languages(),
        *report.curves(),
        report.history_gap(),
    ]
    lead = "What the shopper in fact wants, and what was clicked." if report.true is not None else "What was clicked."
    return Section(report.task.capitalize(), lead, tuple(block for block in blocks if block is not None))


def _test_requests(shop: Shop, settings: EvaluateConfig) -> list[Requests]:
    """The test slice's searches and recommendations; a task that nobody asked for is left out.

    Raises:
        DataError: when the slice holds neither.
    """
    tasks: list[Task] = ["search", "recommendation"]
    found = []
    for task in tasks:
        try:
            found.append(sample_requests(shop.features, task, settings.requests, settings.seed))
        except DataError as error:
            console.print(f"evaluate: {error}; the report leaves {task} out")
    if not found:
        raise DataError("the test slice holds neither a search nor a recommendation to judge by; make it longer")
    return found


def _modalities(reports: list[TaskReport]) -> Section:
    boards: list[Board] = [board for report in reports if (board := report.masks()) is not None]
    return Section("What each modality is worth", "One modality hidden at a time.", tuple(boards))


def _examination(learned: npt.NDArray[np.float32], truth: Truth | None) -> Curve:
    series = {"learned": tuple(learned.tolist())}
    if truth is not None:
        positions = min(len(learned), len(truth.examination))
        series = {
            "learned": tuple(learned[:positions].tolist()),
            "truth": tuple(truth.examination[:positions].tolist()),
        }
    x = tuple(float(position) for position in range(1, len(series["learned"]) + 1))
    title, note = "Position bias: P(examined) by position", "Relative to position 1."
    return Curve("examination", title, note, "position", "P(examined)", x, series, dashed=("truth",))


def _answers(shop: Shop, models: ReleasedModels, reports: list[TaskReport]) -> Section:
    blocks = []
    for report in reports:
        names = "searches" if report.task == "search" else "recommendations"
        for kind, answers in zip(("best", "worst"), report.extremes(_SHOWN), strict=True):
            blocks.append(_block(f"{kind}_{names}", f"{kind.capitalize()} {names}", answers))
    blocks.append(_block("pictures", "Pictures as queries", _picture_answers(shop, models, _SHOWN)))
    shown = tuple(block for block in blocks if block.answers)
    return Section("Answers to look at", "Real answers of the released models.", shown)


def _block(key: str, title: str, answers: list[Answer]) -> Answers:
    return Answers(f"answers_{key}", title, "", tuple(answers))


def _picture_answers(shop: Shop, models: ReleasedModels, count: int) -> list[Answer]:
    """Pictures of products that are not in the index, as a shopper's own photo would be; else of some that are."""
    pictured = shop.data.products.column("image_row").to_numpy() >= 0
    pool = np.flatnonzero(pictured & ~shop.eligible)
    pool = pool if len(pool) else np.flatnonzero(pictured)
    if not len(pool):
        return []
    chosen = np.random.default_rng(0).choice(pool, min(count, len(pool)), replace=False)
    image_rows = shop.data.products.column("image_row").to_numpy()[chosen]
    pictures = np.asarray(shop.data.images)[image_rows]
    requests = made_up_requests([""] * len(chosen), shop.snapshot)
    rows = models.search_by_picture(models.inputs(requests), pictures)["rows"]
    titles = shop.data.products.column("title")
    return [
        make_answer(
            "", {"Tandem": rows[place]}, shop.data.products, shop.data.images,
            note=f"the picture is of: {titles[int(product)].as_py()}", picture=pictures[place],
        )
        for place, product in enumerate(chosen)
    ]  # fmt: skip


def _facts(shop: Shop, reports: list[TaskReport], truth: Truth | None, collapsed: bool) -> dict[str, str | int | float]:
    facts: dict[str, str | int | float] = {
        "products": shop.data.products.num_rows,
        "in the index": int(shop.eligible.sum()),
        "users": len(shop.features.user_ids),
        "interactions": len(shop.features.interaction_user),
        "impressions": len(shop.features.impression_product) if shop.features.pages_logged else 0,
        **{f"{report.task} requests judged": len(report.requests) for report in reports},
    }
    if collapsed:
        facts["titles in an answer"] = "each once"
    return facts | ({"simulator version": truth.version} if truth is not None else {})
