"""What a study of `tandem tune` is of: a search space, and a folder for each config, data, space and code."""

import hashlib
import json
from pathlib import Path
from typing import Any

from catalog.errors import ConfigError
from catalog.feature_store import FeatureStore
from catalog.files import clear_leftovers, read_json, write_json
from catalog.progress import console
from pipelines.fingerprints import code_digest
from pipelines.search_space import OneOf, Part, Range, Space, read_space, space_for, with_present
from pipelines.trial import PARTS
from pipelines.workspace import Workspace


def searched_space(workspace: Workspace, part: Part, space_file: Path | None) -> Space:
    """The space to search, every list of the reranker's long enough for the pages that it is measured on.

    Raises:
        ConfigError: when the file's space cannot be searched.
    """
    config = workspace.config
    if space_file is None:
        space = space_for(config, part)
    else:
        spaces = read_space(space_file, config)
        if part not in spaces:
            raise ConfigError(f"{space_file}: no section {part}; give one, or tune {', '.join(spaces)}")
        space = spaces[part]
    space = with_present(space, config, part)
    lists = space.get("list_length") if part == "rerank" else None
    if lists is None:
        return space
    problem, remedy = _incomparable(FeatureStore.load(workspace / "features"), lists)
    if not problem:
        return space
    if space_file is not None:
        raise ConfigError(f"{space_file}: rerank.list_length: {problem}; {remedy}")
    console.print(f"tune: list_length is not searched: {problem}")
    return {name: dimension for name, dimension in space.items() if name != "list_length"}


def study_folder(workspace: Workspace, part: Part, space: Space, inputs: dict[str, str]) -> Path:
    """The folder of the study of this data, these settings, this space and the code that trains; another of them is
    another study."""
    facts: dict[str, Any] = {
        "data": inputs,
        "settings": getattr(workspace.config, part).model_dump(mode="json"),
        "space": {name: dimension.model_dump(mode="json") for name, dimension in sorted(space.items())},
        "code": code_digest(PARTS[part].train.__module__),
    }
    if part == "towers":
        facts["preset"] = workspace.config.towers.text.preset_fingerprint()
    text = {name: json.dumps(fact, sort_keys=True) for name, fact in facts.items()}
    prints = {name: hashlib.sha256(fact.encode()).hexdigest()[:16] for name, fact in text.items()}
    tunes = workspace / "tune"
    clear_leftovers(tunes / f"best-{part}.yaml")
    folder = tunes / f"{part}-{hashlib.sha256(json.dumps(prints).encode()).hexdigest()[:8]}"
    for name in ("study.json", "trials.json"):
        clear_leftovers(folder / name)
    if not (folder / "study.json").exists():
        for other in sorted(tunes.glob(f"{part}-*/study.json")):
            theirs = read_json(other)["prints"]
            differs = [name for name in prints if theirs.get(name) != prints[name]]
            console.print(f"tune: {other.parent} is a study of other {' and '.join(differs)}; it is left as it is")
        write_json(folder / "study.json", {"part": part, "metric": PARTS[part].metric, "prints": prints, **facts})
    return folder


def _incomparable(features: FeatureStore, lists: Range | OneOf) -> tuple[str, str]:
    """Why trials with these list lengths would not compare, empty if they do, and what to do about it."""
    if not features.pages_logged:
        return "without impressions a whole list is what is measured, and a shorter one is easier", "leave it out"
    shortest = int(lists.low) if isinstance(lists, Range) else min(int(value) for value in lists.values)
    page = _longest_page(features)
    if shortest >= page:
        return "", ""
    problem = f"lists of {shortest} would cut validation pages of {page} products, so that trials would not compare"
    return problem, f"give at least {page}, in the config too"


def _longest_page(features: FeatureStore) -> int:
    held_out = features.request_slice == 2
    sizes = features.impression_start[1:] - features.impression_start[:-1]
    return int(sizes[held_out].max(initial=0))
