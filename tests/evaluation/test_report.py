import json
import re
from dataclasses import replace

import numpy as np
import pytest
from rich.console import Console

from evaluation.answers import Answer, AnswerItem, AnswerList
from evaluation.boards import Curve, PlainTable, make_board, make_slice_table, recall_curve
from evaluation.heads import score_head
from evaluation.page import number, picture_uri, render_page, signed
from evaluation.provenance import provenance
from evaluation.report import (
    Answers,
    Claim,
    Drawing,
    Heads,
    Report,
    Section,
    headline_tables,
    interval_claim,
    report_as_json,
    write_report,
)
from evaluation.scores import CURVE_KS, Scores
from evaluation.significance import mean_interval

ROLES = {"search": "ours", "BM25": "baseline", "popularity": "baseline", "oracle": "oracle"}
MEANS = {"search": 0.6, "BM25": 0.4, "popularity": 0.1, "oracle": 1.0}


def made_up_scores() -> Scores:
    random = np.random.default_rng(0)
    metrics = ("ndcg@10", "recall@100")
    values = {name: {metric: mean * random.random(60) for metric in metrics} for name, mean in MEANS.items()}
    curves = {name: np.outer(values[name]["recall@100"], np.linspace(0, 1, len(CURVE_KS))) for name in MEANS}
    new = {
        name: 0.2 * values["popularity"]["ndcg@10"] if name == "search" else values[name]["ndcg@10"] for name in MEANS
    }
    return Scores(values, CURVE_KS, curves, {"new products": new}, dict.fromkeys(MEANS, 0.5))


def full_report() -> Report:
    """Every kind of block, with a title that would break a page that does not escape."""
    scores = made_up_scores()
    labels = np.random.default_rng(1).random(500) < 0.2
    predicted = np.clip(0.2 + 0.2 * (labels - 0.2) + np.random.default_rng(2).normal(0, 0.03, 500), 0.01, 0.9)
    picture = np.full((64, 64, 3), 120, np.uint8)
    items = (
        AnswerItem("p1", "Red <b>dress</b> & cap", "9.00 EUR", 3, picture),
        AnswerItem("p2", "连衣裙", "", None, None),
    )
    answers = (
        Answer("red dress", "a stranger", None, (AnswerList("search", items), AnswerList("BM25", ()))),
        Answer("", "a picture", picture, (AnswerList("search", items),)),
    )
    board = make_board(scores, ROLES, ["ndcg@10", "recall@100"], key="search_truth", title="Against the truth")
    slices = make_slice_table(
        scores, ROLES, "ndcg@10", {"new users": np.arange(60) < 20}, ours="search", key="search_slices", title="Slices"
    )
    curve = recall_curve(scores, list(ROLES), key="recall", title="Recall")
    heads = Heads("heads", "Heads", "", (score_head("click", labels, predicted),), {"click": 0.4321})
    bias = Curve("bias", "Position bias", "", "position", "P(seen)", (1, 2, 3), {"learned": (1, 0.7, float("nan"))})
    tuning = PlainTable("tuning", "Index", "", ("leaves", "recall"), (("100", 0.99), ("200", None)), highlight=0)
    return Report(
        title="Tandem: a <made-up> shop",
        lead="Numbers from nowhere.",
        facts={"products": 39953, "language": "en, zh"},
        claims=(Claim("Ahead of BM25", "+0.2", "above 0", True), Claim("Match", "0.7", "0.85", False), Claim("x", "1")),
        sections=(
            Section("Search", "What was asked.", (board, curve, slices)),
            Section("Reranker", "", (heads, bias, tuning)),
            Section("Answers", "", (Answers("answers", "Answers", "", answers),)),
        ),
        headline=("search_truth",),
        provenance=provenance(config_fingerprint="abc123", seeds={"requests": 0}),
    )


def test_both_files_are_written(tmp_path):
    json_path, html_path = write_report(full_report(), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["report.html", "report.json"]
    assert json.loads(json_path.read_text())["blocks"]["search_truth"]["kind"] == "Board"
    assert html_path.read_text(encoding="utf-8").rstrip().endswith("</html>")


def test_the_page_fetches_nothing():
    page = render_page(full_report())
    assert not re.findall(r"""(?:src|href)=["'](?!data:|#)""", page)
    assert "url(http" not in page
    assert "<script" not in page
    assert page.count("data:image/jpeg;base64,") == 3
    assert page.count("<svg") == 3


def test_the_page_escapes_what_the_shop_wrote():
    page = render_page(full_report())
    assert "<b>dress</b>" not in page
    assert "Red &lt;b&gt;dress&lt;/b&gt; &amp; cap" in page
    assert "连衣裙" in page


def test_the_page_is_the_same_each_time():
    report = full_report()
    assert render_page(report) == render_page(report)


def test_a_report_may_be_nearly_empty(tmp_path):
    report = Report(title="A shop", provenance=provenance())
    write_report(report, tmp_path)
    assert headline_tables(report) == []
    assert report.weaknesses() == ()


def test_the_json_holds_every_number_and_no_picture():
    value = report_as_json(full_report())
    board = value["blocks"]["search_truth"]
    assert board["section"] == "Search"
    comparison = board["comparisons"][0]
    assert (comparison["system"], comparison["against"]) == ("search", "BM25")
    assert comparison["difference"]["low"] < comparison["difference"]["estimate"] < comparison["difference"]["high"]
    assert value["blocks"]["bias"]["series"]["learned"] == [1, 0.7, None]
    assert value["provenance"]["machine"]["cores"]
    assert value["provenance"]["versions"]["numpy"] == np.__version__
    assert "picture" not in value["blocks"]["answers"]["answers"][0]
    json.dumps(value, allow_nan=False)


def test_a_drawing_is_on_the_page_and_its_numbers_in_the_json():
    drawing = Drawing("map", "Map", "Two axes.", {"points": 3.0}, "<svg><path id='dots'/></svg>")
    report = Report(title="", sections=(Section("Vectors", "", (drawing,)),), provenance=provenance())
    assert "<path id='dots'/>" in render_page(report)
    value = report_as_json(report)["blocks"]["map"]
    assert value["numbers"] == {"points": 3.0}
    assert "picture" not in value


def test_keys_are_unique():
    table = PlainTable("same", "", "", ("a",), ())
    report = Report(title="", sections=(Section("s", "", (table, table)),), provenance=provenance())
    with pytest.raises(ValueError, match="'same'"):
        report_as_json(report)


def test_weak_slices_are_named_first():
    first, *_ = full_report().weaknesses()
    assert (first.where, first.verdict) == ("Search, new products", "behind")
    assert (first.comparison.metric, first.comparison.against) == ("recall@100", "BM25")
    page = render_page(full_report())
    assert page.index("Where it is weak") < page.index("Search, new products") < page.index('id="section-1"')
    assert report_as_json(full_report())["weaknesses"][0]["verdict"] == "behind"


def test_what_is_uneven_is_named_after_what_is_weak():
    columns = ("part", "clicks", "predicted / observed", "95 % from", "to", "p")
    rows = (("all", 90, 1.0, 0.9, 1.1, 0.9), ("decile 3", 40, 1.4, 1.1, 1.8, 0.01))
    table = PlainTable("calibration", "Do probabilities come true?", "", columns, rows)
    report = full_report()
    report = replace(report, sections=(*report.sections, Section("Calibration", "", (table,))))
    page = render_page(report)
    assert page.index("Where it is weak") < page.index("Where it is uneven") < page.index("come true?: decile 3")
    (found,) = report_as_json(report)["shortfalls"]
    assert (found["part"], found["ratio"]["low"]) == ("decile 3", 1.1)
    assert "Where it is uneven" not in render_page(full_report())


def test_a_head_stands_beside_what_knows_only_its_place():
    assert '<td class="n">0.432</td>' in render_page(full_report())
    assert report_as_json(full_report())["blocks"]["heads"]["by_position"] == {"click": 0.4321}


def test_columns_that_rest_on_unequal_requests_say_so():
    report = full_report()
    board = replace(report.sections[0].blocks[0], counted={"ndcg@10": 60, "recall@100": 58})
    assert "requests with a value" not in render_page(report)
    page = render_page(replace(report, sections=(Section("Search", "", (board,)),)))
    assert '<th>requests with a value</th><td class="n">60</td><td class="n">58</td>' in page


def test_a_claim_names_what_missed_it():
    claim = Claim("In every part", "1 of 9 out", "0.9 to 1.1", False, "Out: decile 3 < 1.400")
    report = Report(title="A shop", claims=(claim,), provenance=provenance())
    assert "Out: decile 3 &lt; 1.400" in render_page(report)
    assert report_as_json(report)["claims"][0]["detail"] == claim.detail


def test_a_claim_on_few_queries_does_not_call_them_users():
    users, queries = np.arange(40), np.arange(40) % 3
    interval = mean_interval(np.ones(40), (users, queries))
    assert interval.units == 3
    claim = interval_claim("recall", interval, interval.above_zero, "interval above zero")
    assert claim.met is False
    assert claim.detail == "Of users, queries or products 3 stand behind this; fewer than 20 show nothing."


def test_the_terminal_shows_systems_and_intervals():
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115, PTH123
    for table in headline_tables(full_report()):
        console.print(table)
    text = console.export_text()
    for expected in ("Against the truth (60 requests)", "NDCG@10", "oracle", "search less", "95 % from", "BM25"):
        assert expected in text


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.61234, "0.612"), (0.00123, "0.001"), (39953, "39,953"), (12.0, "12"), (1234.56, "1,234.6"), (0.0, "0.000"),
     (None, "–"), (float("nan"), "–"), (1.0, "1.000")],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_differences_carry_a_sign():
    assert signed(0.02) == "+0.020"
    assert signed(-0.02) == "−0.020"


def test_pictures_are_small():
    uri = picture_uri(np.random.default_rng(0).integers(0, 255, (600, 400, 3), np.uint8))
    assert uri.startswith("data:image/jpeg;base64,")
    assert len(uri) < 20_000
    assert picture_uri(None) == ""
