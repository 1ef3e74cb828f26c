"""The ablations: what each variant changes, differences worked by hand, and a whole run on a tiny shop that goes on."""

import json
import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import yaml

from benchmarks import ablations as command
from benchmarks.ablation_masks import UNCHANGED
from benchmarks.ablation_scores import Kept, key
from benchmarks.ablation_tables import answer, tables
from benchmarks.ablation_variants import VARIANTS, preset_variants
from catalog.config import parse_config
from catalog.errors import ArtifactError, ConfigError, TandemError
from catalog.files import write_json
from catalog.progress import console
from catalog.schema import PRODUCTS_SCHEMA, ShopData
from pipelines.config import PipelineConfig, load_config
from pipelines.fingerprints import code_digest
from pipelines.run import STAGES
from pipelines.workspace import Workspace, open_workspace, run_stages
from tests.shallow_network import shallow_network

TINY = {
    "name": "tiny",
    "source": {"kind": "made_up"},
    "simulate": {"products": 120, "shoppers": 120, "days": 16, "judged_queries": 20, "picture_pixels": 48},
    "ingest": {"image_size": 32, "user_columns": ["language"]},
    "splits": {"rerank_days": 3, "validation_days": 2, "test_days": 2},
    "images": {"size": 32, "pretrain_epochs": 0},
    "towers": {
        "dim": 16,
        "text": {"vocab_size": 600, "product_tokens": 16, "query_tokens": 8},
        "history": {"length": 8, "search_length": 8, "blocks": 1},
        "profile_columns": ["language"],
        "training": {
            "epochs": 1,
            "steps_per_epoch": 2,
            "search_examples": 16,
            "next_items": 16,
            "catalogue_queries": 16,
            "mixed_negatives": 16,
        },
    },
    "rerank": {"history_length": 8, "profile_columns": ["language"]},
    "evaluate": {"requests": 40},
}
PARTS = [f"{name} {task}" for name in ("validation", "test") for task in ("search", "recommendation")]
METRICS = ("ndcg@10", "recall@100", "clicks recall@10", "clicks recall@100", "recall@100 of new products")
REPOSITORY = Path(command.__file__).parent.parent


def test_every_variant_changes_what_it_says_and_nothing_else() -> None:
    config = parse_config(PipelineConfig, TINY, "the test")
    whole = json.loads(config.model_dump_json())
    for variant in VARIANTS:
        changed = json.loads(variant.configure(config, {"epochs": 3}).model_dump_json())
        assert changed["towers"]["training"].pop("epochs") == 3
        expected = json.loads(json.dumps(whole))
        for name, value in json.loads(json.dumps(dict(variant.towers))).items():
            expected["towers"][name] = expected["towers"][name] | value if isinstance(value, dict) else value
        expected["towers"]["training"] |= variant.training
        expected["images"] |= variant.images
        del expected["towers"]["training"]["epochs"]
        assert changed == expected, variant.name
    assert len({variant.name for variant in VARIANTS}) == len(VARIANTS)
    assert len({command._slug(variant) for variant in VARIANTS}) == len(VARIANTS)
    assert {variant.against for variant in VARIANTS} <= {variant.name for variant in VARIANTS}


def test_what_a_variant_is_compared_with_is_trained_before_it() -> None:
    def chosen(*asked: str) -> list[str]:
        return [variant.name for variant in command.with_references(asked)]

    assert chosen("without picture") == [UNCHANGED, "without picture"]
    assert chosen("small batches, finetuned") == [UNCHANGED, "small batches", "small batches, finetuned"]
    assert chosen(*command.names()) == command.names()


@pytest.mark.parametrize(
    ("name", "section", "expected"),
    [
        ("no time", ("towers", "history"), {"gaps": False, "kinds": True, "norm": "pre", "length": 8, "blocks": 1}),
        ("no kinds", ("towers", "history"), {"gaps": True, "kinds": False, "norm": "pre", "length": 8, "blocks": 1}),
        ("post-norm", ("towers", "history"), {"gaps": True, "kinds": True, "norm": "post", "length": 8, "blocks": 1}),
        ("long texts", ("towers", "text"), {"product_tokens": 160, "vocab_size": 600, "query_tokens": 8}),
        ("no logQ", ("towers", "training"), {"logq": False, "mixed_negatives": 16}),
        ("no mixed negatives", ("towers", "training"), {"logq": True, "mixed_negatives": 0}),
        ("no pseudo-queries", ("towers", "training"), {"catalogue_queries": 0, "search_examples": 16}),
        ("fixed temperature", ("towers", "training"), {"learn_temperature": False, "temperature": 0.05}),
        ("temperature .1", ("towers", "training"), {"learn_temperature": False, "temperature": 0.1}),
        ("labels alone", ("images",), {"looks_weight": 0, "augment": True, "size": 32, "pretrain_epochs": 0}),
        ("pictures not augmented", ("images",), {"looks_weight": 0.15, "augment": False, "size": 32}),
    ],
)
def test_a_variant_keeps_what_the_run_sets_beside_it(
    name: str, section: tuple[str, ...], expected: dict[str, Any]
) -> None:
    config = parse_config(PipelineConfig, TINY, "the test")
    variant = next(variant for variant in VARIANTS if variant.name == name)
    settings = variant.configure(config, {}).model_dump()
    for part in section:
        settings = settings[part]
    assert settings.items() >= expected.items()


def test_a_blank_column_is_empty_and_the_others_are_as_they_were() -> None:
    words = {"title": ["lamp", "cup"], "review_text": ["It broke after a week.", ""], "price": [1.0, 2.0]}
    schema = pa.schema([PRODUCTS_SCHEMA.field(name) for name in words])
    shop = ShopData(pa.table(words, schema=schema), Path(), None, None, np.zeros((0, 32, 32, 3), np.uint8))
    variant = next(variant for variant in VARIANTS if variant.name == "without reviews")
    read = variant.read(shop).products
    assert read.to_pydict() == {"title": ["lamp", "cup"], "review_text": ["", ""], "price": [1.0, 2.0]}
    assert read.schema == schema
    assert VARIANTS[0].read(shop).products is shop.products


def test_reviews_may_be_read_as_words_before_the_description() -> None:
    columns = {"description": ["", "A cup."], "review_text": ["", "Fine cup."], "rating_average": [4.0, 5.0]}
    schema = pa.schema([PRODUCTS_SCHEMA.field(name) for name in columns])
    products = pa.concat_tables([pa.table(columns, schema=schema)] * 10)
    shop = ShopData(products, Path(), None, None, np.zeros((0, 32, 32, 3), np.uint8))
    variant = next(variant for variant in VARIANTS if variant.name == "reviews as topics")
    read = variant.read(shop).products
    assert set(read["review_text"].to_pylist()) == {""}
    lamp, cup = read["description"].to_pylist()[:2]
    assert lamp == ""
    assert re.fullmatch(r"sentiment5 topic\d\d A cup\.", cup)


@pytest.fixture
def no_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ablations of a run without tables."""
    monkeypatch.setattr(command, "Judge", lambda workspace: SimpleNamespace(shop=None, features=None))


def made_ablations(folder: Path, truth: str = "a", **sections: Any) -> command.Ablations:
    config = parse_config(PipelineConfig, TINY | sections, "the test")
    for stage in ("source", "ingest", "features", "images"):
        outputs = {"truth/world.npz": truth} if stage == "source" else {f"{stage}/file": "b"}
        write_json(folder / "stages" / f"{stage}.json", {"fingerprint": stage, "outputs": outputs})
    return command.Ablations(Workspace(config, folder), folder / "out.json", {})


@pytest.mark.usefixtures("no_judge")
def test_scores_are_kept_by_what_they_depend_on(tmp_path: Path) -> None:
    ablations = made_ablations(tmp_path, images={"size": 32})  # pictures that are trained
    keys = [ablations._key(variant) for variant in VARIANTS]
    assert len(set(keys)) == len(VARIANTS)
    assert keys == [ablations._key(variant) for variant in VARIANTS]
    ablations.length = {"epochs": 7}
    assert not set(keys) & {ablations._key(variant) for variant in VARIANTS}


def test_presets_are_compared_frozen_and_with_updates() -> None:
    presets = preset_variants(["folder/pretrained", "xlm_roberta_base_multi"])
    assert [variant.name for variant in presets] == [
        "pretrained, frozen",
        "pretrained, rank 8",
        "xlm_roberta_base_multi, frozen",
        "xlm_roberta_base_multi, rank 8",
    ]
    assert command.with_references(["pretrained, rank 8"], (*VARIANTS, *presets)) == [VARIANTS[0], presets[1]]
    text = presets[1].configure(parse_config(PipelineConfig, TINY, "the test"), {}).towers.text
    assert (text.preset, text.lora_rank, text.product_tokens) == ("folder/pretrained", 8, 16)
    with pytest.raises(ConfigError, match="two are alike"):
        preset_variants(["one/pretrained", "another/pretrained"])
    with pytest.raises(ConfigError, match="there is no variant 'pretrained, rank 8'"):
        command.with_references(["pretrained, rank 8"])


@pytest.mark.parametrize("option", [["--epochs", "0"], ["--presets", "nowhere", "--only", "nowhere, rank 8"]])
def test_what_cannot_be_trained_is_found_before_anything_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: list[str]
) -> None:
    config = tmp_path / "tiny.yaml"
    config.write_text(yaml.safe_dump(TINY | {"workspace": str(tmp_path / "run")}))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["ablations", "--config", str(config), "--out", "result.json", *option])
    expected = (
        r"variant 'unchanged' .*\s+towers.training.epochs: received 0" if "0" in option else r"error: text\.preset"
    )
    with pytest.raises(SystemExit, match=expected):
        command.main()
    assert not (tmp_path / "run").exists()


@pytest.mark.usefixtures("no_judge")
def test_another_preset_of_the_same_name_is_trained_anew(tmp_path: Path) -> None:
    ablations, weights = made_ablations(tmp_path), tmp_path / "pretrained" / "model.weights.h5"
    weights.parent.mkdir()
    keys = []
    for content in (b"one", b"two", b"one"):
        weights.write_bytes(content)
        keys.append(ablations._training_key(preset_variants([str(weights.parent)])[0]))
    assert keys[0] == keys[2] != keys[1]


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize("changed", [{"evaluate": {"requests": 200}}, {"truth": "another"}])
def test_other_requests_or_truth_are_scored_anew_and_not_trained(tmp_path: Path, changed: dict[str, Any]) -> None:
    one, two = made_ablations(tmp_path), made_ablations(tmp_path, **changed)
    assert one._training_key(VARIANTS[0]) == two._training_key(VARIANTS[0])
    assert one._key(VARIANTS[0]) != two._key(VARIANTS[0])


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize(
    "changed",
    [
        {"images": {**TINY["images"], "checkpoint_seconds": 5.0}},
        {"towers": {**TINY["towers"], "device": {"memory_growth": False}}},
    ],
)
def test_how_a_run_goes_about_it_changes_no_key(tmp_path: Path, changed: dict[str, Any]) -> None:
    one, two = made_ablations(tmp_path), made_ablations(tmp_path, **changed)
    assert one._key(VARIANTS[0]) == two._key(VARIANTS[0])


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize("stage", ["ingest", "features", "images"])
def test_stages_are_known_by_what_they_wrote(tmp_path: Path, stage: str) -> None:
    def key(fingerprint: str, digest: str) -> str:
        ablations = made_ablations(tmp_path)
        outputs = {f"{stage}/file": digest} if digest else {}
        write_json(tmp_path / "stages" / f"{stage}.json", {"fingerprint": fingerprint, "outputs": outputs})
        return command.Ablations(ablations.workspace, ablations.out, {})._training_key(VARIANTS[0])

    assert key("one", "a") == key("other", "a") != key("one", "b")
    assert key("one", "") != key("other", "")  # where a record is of before digests were kept


@pytest.mark.usefixtures("no_judge")
@pytest.mark.parametrize(
    ("module", "name", "trains", "scores"),
    [
        ("towers.training_step", UNCHANGED, True, True),
        ("towers.image_pretraining", UNCHANGED, True, True),
        ("benchmarks.ablation_texts", UNCHANGED, False, False),
        ("benchmarks.ablation_texts", "without reviews", True, True),
        ("benchmarks.review_topics", UNCHANGED, False, False),
        ("benchmarks.review_topics", "reviews as topics", True, True),
        ("benchmarks.ablation_variants", UNCHANGED, False, False),
        ("benchmarks.ablation_masks", "no time", False, True),
        ("benchmarks.ablation_scores", "no time", False, True),
        ("benchmarks.ablation_weights", UNCHANGED, False, True),
        ("benchmarks.ablation_weights", "no time", False, False),
        ("benchmarks.ablation_tables", UNCHANGED, False, False),
    ],
)
def test_other_code_makes_other_keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, name: str, trains: bool, scores: bool
) -> None:
    variant = next(variant for variant in VARIANTS if variant.name == name)
    before = made_ablations(tmp_path)
    keys = before._training_key(variant), before._key(variant)
    code = tree_with_other_code(tmp_path / "code", module)
    monkeypatch.setattr(command, "code_digest", lambda name: code_digest(name, code))
    after = made_ablations(tmp_path)
    assert (after._training_key(variant) != keys[0]) is trains
    assert (after._key(variant) != keys[1]) is scores
    assert (before._training_key(variant), before._key(variant)) == keys  # what it began with


def tree_with_other_code(root: Path, module: str) -> Path:
    """The packages, with one more constant in the module."""
    root.mkdir()
    package, name = module.split(".")
    for other in ("catalog", "towers", "rerank", "evaluation", "serving", "pipelines", "benchmarks"):
        if other != package:
            (root / other).symlink_to(REPOSITORY / other)
    shutil.copytree(REPOSITORY / package, root / package, ignore=shutil.ignore_patterns("__pycache__", "results"))
    with (root / package / f"{name}.py").open("a") as handle:
        handle.write("ONE_MORE = 1\n")
    return root


@pytest.mark.usefixtures("no_judge")
def test_pictures_of_other_code_are_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant = next(variant for variant in VARIANTS if variant.name == "labels alone")
    left = ("state.json", "pretraining.npz", "cache/1.npz")
    met = []

    def prepare(shop: Any, config: Any, folder: Path) -> None:
        met.append([(folder / name).exists() for name in left])
        for name in left:
            write_json(folder / name, {})

    monkeypatch.setattr("towers.image.prepare_images", prepare)
    for code in ("old", "old", "new", "new", "old"):
        monkeypatch.setattr(command, "code_digest", lambda module, code=code: code)
        ablations = made_ablations(tmp_path)
        ablations._images(variant, ablations._config(variant))
    assert met == [[False] * 3, [True] * 3, [False] * 3, [True] * 3, [False] * 3]


@pytest.mark.usefixtures("no_judge")
def test_a_killed_training_goes_on_with_the_same_code_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variant, met = VARIANTS[1], []

    def killed(shop: Any, features: Any, images: Path, config: Any, folder: Path) -> None:
        checkpoint = folder / "checkpoints" / "epoch-0001"
        met.append(checkpoint.exists())
        checkpoint.mkdir(parents=True, exist_ok=True)
        raise KeyboardInterrupt

    monkeypatch.setattr("towers.train.train", killed)
    monkeypatch.setattr("towers.prepared_text.training_key", lambda *read: "the same")
    for code in ("old", "old", "new", "new"):
        monkeypatch.setattr(command, "code_digest", lambda module, code=code: code)
        ablations = made_ablations(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            ablations._train(variant, ablations._config(variant), ablations.judge.shop, tmp_path)
    assert met == [False, True, False, True]


@pytest.mark.usefixtures("no_judge")
def test_scores_that_were_cut_off_are_made_again(tmp_path: Path) -> None:
    ablations = made_ablations(tmp_path)
    path = ablations._scores_file(VARIANTS[0])
    scores = {"a|test search|ndcg@10": np.arange(1000.0)}
    np.savez_compressed(path, key=ablations._key(VARIANTS[0]), info=json.dumps({"seconds": 1}), **scores)
    kept = ablations.kept(VARIANTS[0])
    assert kept is not None
    assert (kept.info, kept.scores["a|test search|ndcg@10"].sum()) == ({"seconds": 1}, 499_500)
    path.write_bytes(path.read_bytes()[:-20])
    assert ablations.kept(VARIANTS[0]) is None


def made_up(scores: dict[str, list[float]]) -> dict[str, np.ndarray]:
    """The same four numbers for every metric of a system on every part."""
    return {
        key(system, part, metric): np.array(values)
        for system, values in scores.items()
        for part in PARTS
        for metric in METRICS
    }


def fake_judge() -> Any:
    requests = SimpleNamespace(clusters=(np.array([0, 1, 2, 3]),))
    parts = [SimpleNamespace(name=part, slice=part.split()[0], requests=requests) for part in PARTS]
    halves = {"late": np.array([False, False, True, True])}
    return SimpleNamespace(parts=parts, request_slices=lambda part: halves)


def test_differences_are_paired_by_request_and_by_slice() -> None:
    nan = float("nan")
    masks = {f"{name} masked": [0.1, 0.2, 0.3, nan] for name in ("text", "picture", "behaviour", "history")}
    info = {"weights": {"products": {"text": 1.0}}}
    finished = {
        UNCHANGED: Kept(info, made_up({UNCHANGED: [0.1, 0.4, 0.7, nan], **masks})),
        "without text": Kept({}, made_up({"without text": [0.0, 0.0, 0.5, nan]})),
        "small batches, finetuned": Kept({}, made_up({"small batches, finetuned": [1.0] * 4})),
    }
    result = answer(finished, fake_judge())
    # -0.1, -0.4 and -0.2 over three requests; of the late ones -0.2 alone
    whole = result["variants"]["without text"]["parts"]["test search"]["ndcg@10"]
    assert whole["mean"] == pytest.approx(0.5 / 3)
    assert whole["difference"] == pytest.approx(-0.7 / 3)
    assert -0.41 <= whole["low"] <= whole["difference"] <= whole["high"] <= -0.09
    late = result["variants"]["without text"]["slices"]["late"]["test search"]["ndcg@10"]
    assert (late["difference"], late["requests"]) == (pytest.approx(-0.2), 1)
    masked = result["masked"]["text"]["parts"]["test search"]["recall@100"]
    assert masked["difference"] == pytest.approx((0.0 - 0.2 - 0.4) / 3)
    assert "small batches, finetuned" not in result["variants"]  # what it is compared with is not trained
    cells = [list(column.cells) for table in tables(result) for column in table.columns]
    assert any("-0.233 [" in cell for column in cells for cell in column)


def test_without_the_unchanged_towers_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(ArtifactError, match="'unchanged' is not trained yet"):
        answer({"without text": Kept({}, {})}, fake_judge())


@pytest.mark.parametrize("kept", [set(), {"small batches, finetuned"}])
def test_what_is_compared_with_a_failed_training_is_left_out(kept: set[str]) -> None:
    asked = command.with_references(["without text", "small batches, finetuned"])
    ran: list[str] = []

    def train(variant: Any) -> None:
        ran.append(variant.name)
        if variant.name == "small batches":
            raise TandemError("the loss is not a number")

    found: Any = SimpleNamespace(kept=lambda variant: {} if variant.name in kept else None, run=train)
    with console.capture() as capture:
        command.train_missing(found, asked)
    assert ran == [UNCHANGED, "without text", "small batches"]
    said = " ".join(capture.get().split())
    assert "small batches, finetuned: left out, as 'small batches' failed, which it is compared with" in said


@pytest.mark.usefixtures("eagerly")
def test_a_tiny_shop_is_ablated_and_a_second_run_trains_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from towers.train import TrainingError  # with TensorFlow, as the command's own trainings

    config, out = tmp_path / "tiny.yaml", tmp_path / "result.json"
    config.write_text(
        yaml.safe_dump(TINY | {"workspace": str(tmp_path / "run"), "models_dir": str(tmp_path / "models")})
    )
    words = ["ablations", "--config", str(config)]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out), "--only", "without picture"])
    with shallow_network():
        command.main()
    first = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert list(first["variants"]) == [UNCHANGED, "without picture"]
    assert first == json.loads(out.read_text())
    unchanged = first["variants"][UNCHANGED]["parts"]["test search"]["ndcg@10"]
    assert unchanged["difference"] == unchanged["low"] == unchanged["high"] == 0
    for weights in first["weights"].values():
        assert sum(weights.values()) == pytest.approx(1.0, abs=0.01)
    assert first["weights"]["products"]["behaviour"] > 0

    folder = tmp_path / "run" / "ablations"
    trained = (folder / "without-picture" / "towers.weights.h5").stat().st_mtime_ns
    command.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["variants"] == first["variants"]
    assert (folder / "without-picture" / "towers.weights.h5").stat().st_mtime_ns == trained

    # Towers that the run trained need no training again.
    own_towers = replace(
        next(stage for stage in STAGES if stage.name == "towers"),
        run=lambda workspace: (folder / "unchanged").rename(workspace / "towers"),
    )
    stages = tuple(own_towers if stage.name == "towers" else stage for stage in STAGES)
    assert run_stages(open_workspace(load_config(config)), stages, "towers", set()) == ["towers"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "own.json"), "--only", UNCHANGED])
    command.main()
    own = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert own["variants"][UNCHANGED]["parts"] == first["variants"][UNCHANGED]["parts"]
    assert not (folder / "unchanged" / "towers.weights.h5").exists()

    def failing(*read: Any) -> None:
        raise TrainingError("the loss is not a number")

    monkeypatch.setattr("towers.train.train", failing)
    asked = ["without picture", "without text", "small batches, finetuned"]
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(out), "--only", *asked])
    failed = "without text, small batches, small batches, finetuned"
    with pytest.raises(SystemExit, match=rf"^error: not finished, as told above: {failed}$"):
        command.main()
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["variants"] == first["variants"]

    # Towers that other code trained are none of this run's.
    monkeypatch.setattr(
        "pipelines.workspace.code_digest",
        lambda module: "other" if module == "pipelines.s05_towers" else code_digest(module),
    )
    monkeypatch.setattr(sys, "argv", [*words, "--out", str(tmp_path / "anew.json"), "--only", UNCHANGED])
    with pytest.raises(SystemExit, match=r"^error: the loss is not a number$"):
        command.main()
