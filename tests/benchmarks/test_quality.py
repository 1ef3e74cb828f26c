import sys

import pytest

from benchmarks import quality
from benchmarks.quality import evidence

INTERVAL = {"estimate": 0.1234567, "low": 0.1, "high": 0.2, "units": 9}


def block(kind, **values):
    return {"kind": kind, "section": "Search", "key": "k", "title": "T", "note": "Words.", **values}


def report():
    rows = [{"system": "ours", "role": "ours", "means": {"ndcg@10": 0.91234567}}]
    comparison = {"metric": "ndcg@10", "system": "ours", "against": "BM25", "difference": INTERVAL, "ratio": INTERVAL}
    slices = [{"slice": "new users", "requests": 20, "means": {"ours": 0.5}, "comparison": None}]
    return {
        "headline": ["search_truth"],
        "claims": [{"text": "ahead", "met": False}],
        "provenance": {"config_fingerprint": "c"},
        "blocks": {
            "search_truth": block("Board", rows=rows, comparisons=[comparison]),
            "search_log": block("Board", rows=rows, comparisons=[]),
            "search_slices": block("SliceTable", metric="ndcg@10", rows=slices),
            "search_languages": block("PlainTable", columns=["queries", "ratio"], rows=[["Chinese", 0.9876543]]),
            "recommendation_by_history": block("Curve", x=[0.0, 1.0], series={"ours": [0.1, None]}, log_x=True),
            "answers_best_searches": block("Answers", answers=[{"query": "cap"}]),
        },
    }


def test_headline_rows_have_means_and_intervals():
    found = evidence(report())
    assert found["means"] == {"search_truth": {"ours": {"ndcg@10": 0.91234567}}}
    (only,) = found["differences"]["search_truth"]
    assert only["against"] == "BM25"
    assert only["difference"] == only["ratio"] == [0.12346, 0.1, 0.2]
    assert found["claims"] == [{"text": "ahead", "met": False}]
    assert found["provenance"] == {"config_fingerprint": "c"}


def test_a_release_of_the_latest_counters_is_not_judged(tmp_path, monkeypatch):
    config = tmp_path / "shop.yaml"
    config.write_text("name: shop\nsource: {kind: made_up}\nsimulate: {}\nrelease: {snapshot: latest}\n")
    monkeypatch.setattr(sys, "argv", ["quality", "--config", str(config)])
    with pytest.raises(SystemExit, match=r"release\.snapshot is 'latest'.* expected 'test'"):
        quality.main()


def test_parts_are_kept_without_words_and_pictures():
    parts = evidence(report())["parts"]
    assert parts == {
        "search_slices": {
            "metric": "ndcg@10",
            "rows": [{"slice": "new users", "requests": 20, "means": {"ours": 0.5}, "comparison": None}],
        },
        "search_languages": {"columns": ["queries", "ratio"], "rows": [["Chinese", 0.98765]]},
        "recommendation_by_history": {"x": [0.0, 1.0], "series": {"ours": [0.1, None]}},
    }
