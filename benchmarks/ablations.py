"""What each part of the towers is worth: the same training with one thing changed, retrieval judged beside it.

    .venv/bin/python -m benchmarks.ablations --config pipelines/configs/fashion-small.yaml --source ZIP --out FILE

Runs first what `tandem run` has not finished up to the pictures, which all variants share. Then trains each variant
(benchmarks/ablation_variants.py), or `--only` some of them, unless the run's own towers are what is asked for, and asks
their retrieval at the requests of the test days by exact search. Weights stay in the run's folder, scores of every
request beside `--out`: a run that was killed goes on, and tables hold every variant that is finished. Where a training
fails the others go on, but for those compared with it, and the command ends with an error. What to keep is for the
validation days to say; the test days only tell what it came to. The reranker takes no part.

    .venv/bin/python -m benchmarks.ablations ... --presets build/presets/pretrained --only "pretrained, rank 8"

compares pretrained text encoders (`towers.text.preset`) as well; `benchmarks.text_preset` makes one without a download.
"""

import os

os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import hashlib
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np
from rich.console import Console

from benchmarks.ablation_masks import UNCHANGED
from benchmarks.ablation_scores import Judge, Kept
from benchmarks.ablation_tables import answer, tables
from benchmarks.ablation_variants import VARIANTS, Variant, preset_variants
from benchmarks.outcome import finish
from catalog.errors import ConfigError, TandemError
from catalog.files import atomic_path, read_json, write_json
from catalog.progress import console
from catalog.schema import ShopData
from pipelines.config import PipelineConfig, load_config
from pipelines.fingerprints import code_digest
from pipelines.run import STAGES, run_pipeline, towers_settings
from pipelines.s04_images import prepare_into
from pipelines.workspace import Workspace, is_finished

_PICTURES, _TOWERS, _TEXTS, _SCORES, _WEIGHTS = _CODE = (
    "pipelines.s04_images",
    "pipelines.s05_towers",
    "benchmarks.ablation_texts",
    "benchmarks.ablation_scores",
    "benchmarks.ablation_weights",
)
_READ = ("ingest", "features", "images")  # the stages whose files every variant reads


class Ablations:
    """The variants of one run.

    Args:
        workspace: finished up to its pictures.
        out: the result's file; the scores of each variant are kept beside it.
        length: epochs and steps_per_epoch of every training, where they are not the run's own.
    """

    def __init__(self, workspace: Workspace, out: Path, length: dict[str, int]) -> None:
        self.workspace, self.out, self.length = workspace, out, length
        # As the command begins: what is changed while it trains is not what it trains with.
        self._code = {module: code_digest(module) for module in _CODE}
        records = {name: read_json(workspace / "stages" / f"{name}.json") for name in ("source", *_READ)}
        written = {name: record.get("outputs", {}) for name, record in records.items()}
        self._stages = [written[name] or records[name]["fingerprint"] for name in _READ]
        self._truth = {name: digest for name, digest in written["source"].items() if name.startswith("truth/")}
        self.judge = Judge(workspace)
        self._suffix = "".join(f".{value}-{name.replace('_', '-')}" for name, value in sorted(length.items()))

    def kept(self, variant: Variant) -> Kept | None:
        """The variant's result, if it is finished with these very settings."""
        path = self._scores_file(variant)
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as stored:
                if str(stored["key"]) != self._key(variant):
                    return None
                scores = {name: stored[name] for name in stored.files if name not in ("key", "info")}
                return Kept(json.loads(str(stored["info"])), scores)
        except (OSError, ValueError, KeyError, EOFError, BadZipFile):
            return None  # it is made again

    def run(self, variant: Variant) -> None:
        """Train the variant where it is not trained yet, score it, and keep the scores."""
        from towers.trained import load, pictures_dir

        config = self._config(variant)
        shop = variant.read(self.judge.shop)
        images = self._images(variant, config)
        key = self._key(variant)  # with the preset as the training finds it
        folder = self._train(variant, config, shop, images)
        towers = load(folder, shop, self.judge.features, images)
        scores = self.judge.scores(towers, variant.name, masked=variant.name == UNCHANGED)
        trained = read_json(folder / "metrics.json")
        info = {
            "seconds": sum(epoch["seconds"] for epoch in trained["epochs"]),
            "best_epoch": trained["best_epoch"],
            "epochs": len(trained["epochs"]),
            "validation": trained["recall"],
        }
        if variant.name == UNCHANGED:
            from benchmarks.ablation_weights import saved_weights

            pictures = pictures_dir(folder, images, config.towers)
            info["weights"] = saved_weights(towers, self.judge, pictures, self._folder(variant) / "saved_models")
        with atomic_path(self._scores_file(variant)) as temporary, temporary.open("wb") as handle:
            arrays: dict[str, Any] = {"key": key, "info": json.dumps(info), **scores}
            np.savez_compressed(handle, **arrays)

    def _train(self, variant: Variant, config: PipelineConfig, shop: ShopData, images: Path) -> Path:
        """The folder of the trained towers: the run's own, if they are what the variant asks for."""
        from towers.checkpoints import checkpoints_folder
        from towers.prepared_text import training_key
        from towers.train import train

        own = self.workspace / "towers"
        asked = training_key(shop, self.judge.features, images, config.towers)
        if _holds(own / "training.json", asked) and is_finished(self.workspace, STAGES, "towers"):
            return own
        folder, key = self._folder(variant), self._training_key(variant)
        begun, done = folder / "begun.json", folder / "trained.json"
        if not _holds(done, key):
            if not _holds(begun, key):  # what lies there is of other code or of another preset
                done.unlink(missing_ok=True)
                if checkpoints_folder(folder).exists():
                    shutil.rmtree(checkpoints_folder(folder))
                write_json(begun, {"key": key})
            train(shop, self.judge.features, images, config.towers, folder)
            write_json(done, {"key": key})
        return folder

    def _images(self, variant: Variant, config: PipelineConfig) -> Path:
        """The pictures' embeddings: the run's own, or made anew where the variant changes how."""
        if not variant.images:
            return self.workspace / "images"
        folder = self._folder(variant) / "images"
        prepare_into(folder, self.judge.shop, config.images, self._code[_PICTURES])
        return folder

    def _config(self, variant: Variant) -> PipelineConfig:
        return variant.configure(self.workspace.config, self.length)

    def _folder(self, variant: Variant) -> Path:
        return self.workspace / "ablations" / f"{_slug(variant)}{self._suffix}"

    def _scores_file(self, variant: Variant) -> Path:
        return self.out.with_name(f"{self.out.stem}.{_slug(variant)}{self._suffix}.npz")

    def _training_key(self, variant: Variant) -> str:
        """Of everything that the variant's weights depend on."""
        config = self._config(variant)
        code = [self._code[module] for module in (_PICTURES, _TOWERS, *([_TEXTS] if variant.changes_texts else []))]
        settings = [towers_settings(config), config.images, variant.blank, variant.review_topics]
        return _digest([self._stages, *settings, code])

    def _key(self, variant: Variant) -> str:
        """Of everything that the variant's scores depend on."""
        settings = self.workspace.config.evaluate
        code = [self._code[module] for module in (_SCORES, *([_WEIGHTS] if variant.name == UNCHANGED else []))]
        return _digest([self._training_key(variant), settings, code, self._truth])


def _holds(path: Path, key: str) -> bool:
    """Whether the file is there and holds this key."""
    return path.exists() and bool(read_json(path) == {"key": key})


def _digest(parts: list[Any]) -> str:
    text = json.dumps(parts, default=lambda section: section.decisive(), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def names(variants: Sequence[Variant] = VARIANTS) -> list[str]:
    """Of all variants."""
    return [variant.name for variant in variants]


def with_references(chosen: Sequence[str], variants: Sequence[Variant] = VARIANTS) -> list[Variant]:
    """The variants of these names, and before them all that they are compared with.

    Raises:
        ConfigError: if there is no variant of one of the names.
    """
    by_name = {variant.name: variant for variant in variants}
    unknown = [name for name in chosen if name not in by_name]
    if unknown:
        raise ConfigError(f"--only: there is no variant {unknown[0]!r}; expected some of {', '.join(by_name)}")
    wanted = {UNCHANGED}
    for name in chosen:
        while name not in wanted:
            wanted.add(name)
            name = by_name[name].against
    return [variant for variant in variants if variant.name in wanted]


def check(config: PipelineConfig, variants: Sequence[Variant], length: dict[str, int]) -> None:
    """Find before anything trains what no training can begin with.

    Raises:
        ConfigError: if the settings of a variant do not go together, or its preset cannot be read.
    """
    texts = [variant.configure(config, length).towers.text for variant in variants]
    for preset in sorted({text.preset for text in texts} - {""}):
        from towers.preset_text import PresetTextEncoder, preset_tokenizer

        preset_tokenizer(preset)
        PresetTextEncoder(preset, config.towers.dim)


def train_missing(ablations: Ablations, variants: Sequence[Variant]) -> None:
    """Train and score what is not kept; where one fails, those go on that are not compared with it.

    Raises:
        TandemError: where it is the unchanged one that fails.
    """
    failed: set[str] = set()
    for variant in variants:
        if variant.against in failed:
            failed.add(variant.name)
            told = f"{variant.name}: left out, as {variant.against!r} failed, which it is compared with"
            console.print(told, soft_wrap=True, markup=False)
            continue
        if ablations.kept(variant) is not None:
            continue
        console.print(f"[bold]{variant.name}[/bold]")
        try:
            ablations.run(variant)
        except TandemError as error:
            if variant.name == UNCHANGED:
                raise
            failed.add(variant.name)
            console.print(f"{variant.name}: {error}; the others go on", soft_wrap=True, markup=False)


def _slug(variant: Variant) -> str:
    return variant.name.replace(", ", "-").replace(" ", "-")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True, help="the run's YAML file")
    parser.add_argument("--source", type=Path, help="overrides source.path")
    parser.add_argument("--out", type=Path, required=True, help="where the JSON goes; scores are kept beside it")
    parser.add_argument("--epochs", type=int, help="epochs of every training, at most; the run's own by default")
    parser.add_argument("--steps", type=int, help="steps of an epoch; the run's own by default")
    told = f"variants to train, with what they are compared with, of: {', '.join(names())}"
    parser.add_argument("--only", nargs="+", metavar="NAME", help=told)
    presets = "pretrained text encoders, each a variant 'NAME, frozen' and one 'NAME, rank 8'; names or folders"
    parser.add_argument("--presets", nargs="+", metavar="PRESET", default=[], help=presets)
    return parser.parse_args()


def main() -> None:
    """Train what is not trained yet, print the tables and the line of JSON; exit code 1 if a training failed."""
    arguments = _arguments()
    try:
        variants = (*VARIANTS, *preset_variants(arguments.presets))
        asked = with_references(arguments.only or names(variants), variants)
        config = load_config(arguments.config, arguments.source)
        given = {"epochs": arguments.epochs, "steps_per_epoch": arguments.steps}
        length = {name: value for name, value in given.items() if value is not None}
        check(config, asked, length)
        ablations = Ablations(run_pipeline(config, until="images"), arguments.out, length)
        train_missing(ablations, asked)
        finished = {variant.name: kept for variant in variants if (kept := ablations.kept(variant)) is not None}
        result = answer(finished, ablations.judge, variants)
    except TandemError as error:
        sys.exit(f"error: {error}")
    for table in tables(result):
        Console(stderr=True, width=160).print(table)
    finish("ablations", {**result, "config": config.name, "length": length}, arguments.out)
    failed = [variant.name for variant in asked if variant.name not in result["variants"]]
    if failed:
        sys.exit(f"error: not finished, as told above: {', '.join(failed)}")


if __name__ == "__main__":
    main()
