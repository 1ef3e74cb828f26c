import json
import sys

import numpy as np

from benchmarks import index
from towers.index_config import IndexParameters
from towers.index_tuning import Measurement, TuneResult


def measured(name, latency, leaves=0):
    return Measurement(name, leaves, 0, 0, 0.99, latency, 100.0, 1.0)


ROWS = (
    measured("exact", 9.0),
    measured("scann brute force", 4.0),
    measured("scann", 2.0, leaves=10),
    measured("scann", 1.0, leaves=20),
    measured("scann", None, leaves=30),  # too little recall to be timed
)


def result(*rows):
    return TuneResult(IndexParameters(), 0.98, 100, 5, 4, 2, rows, {"cores": "1"}, {"numpy": "0"})


def test_the_fastest_tree_stands_beside_both_exact_ways():
    found = index.summary(result(*ROWS))
    assert [found[name]["latency_ms"] for name in ("exact", "scann_brute_force", "scann")] == [9.0, 4.0, 1.0]
    assert (found["products"], found["recall_target"], found["scann"]["leaves"]) == (5, 0.98, 20)
    assert "scann" not in index.summary(result(*ROWS[:2]))


def test_out_keeps_the_last_line(tmp_path, monkeypatch, capsys):
    vectors = tmp_path / "vectors.npy"
    np.save(vectors, np.eye(4, dtype=np.float32))
    monkeypatch.setattr(index, "tune", lambda products, queries, config: result(*ROWS))
    out = tmp_path / "index.json"
    monkeypatch.setattr(sys, "argv", ["index", "--embeddings", str(vectors), "--out", str(out)])
    index.main()
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last == json.loads(out.read_text())
    assert last["benchmark"] == "index"
    assert {"machine", "versions"} <= set(last)
