"""Choose the index and its settings for the recall target, on the vectors and queries it will serve.

    tandem tune-index --config pipelines/configs/demo.yaml

Writes index/tuning.json: what was measured, and what was chosen.
"""

from catalog.errors import DataError
from catalog.feature_store import FeatureStore
from catalog.schema import ShopData
from pipelines.snapshot import eligible_rows, snapshot_day
from pipelines.workspace import Workspace

_VALIDATION = 2


def run(workspace: Workspace) -> None:
    """towers/ -> index/."""
    from pipelines.questions import request_questions, slice_requests
    from towers.index_tuning import tune
    from towers.trained import load

    shop = ShopData.load(workspace / "tables")
    features = FeatureStore.load(workspace / "features")
    towers = load(workspace / "towers", shop, features, workspace / "images")
    day = snapshot_day(features, workspace.config.release.snapshot)
    rows = eligible_rows(shop, features, day)
    requests = slice_requests(features, _VALIDATION, workspace.config.index.queries, towers.config.seed)
    if not len(requests):
        raise DataError(
            "the validation slice holds no page, logged or presumed, to tune the index with; make it longer"
        )
    queries = towers.query_embeddings(request_questions(features, requests, towers.config.history.length))
    embeddings = towers.product_embeddings(day)[rows]
    result = tune(embeddings, queries, workspace.config.index)
    result.save(workspace / "index" / "tuning.json")
