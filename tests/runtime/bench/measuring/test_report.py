"""Reports: the verdict, the tables, and files that need nothing beside them."""

import os
import re
from xml.etree import ElementTree

import msgspec
import pytest
from cmdiad.runtime.bench.measuring.configuration import (
    Choices,
    Configuration,
    Skipped,
    combinations,
    labels,
    parse_list,
    providers,
)
from cmdiad.runtime.bench.measuring.report import encode_report, make_result, read_report
from cmdiad.runtime.bench.measuring.scenarios import Scenario
from cmdiad.runtime.bench.reporting.html import html_report
from cmdiad.runtime.bench.reporting.markdown import markdown_report
from cmdiad.runtime.bench.reporting.tables import report_tables
from cmdiad.runtime.bench.reporting.takt_verdict import judge, pareto_front
from cmdiad.runtime.bench.run import write_report
from cmdiad.runtime.errors import UsageError

from ..outcomes import SILENT, outcome, recording, report


def full_report(partial=False):
    outcomes = [outcome([0.1] * 70, 0.2, 0.9, threads=1), outcome([0.3] * 5, 0.2, 0.95, threads=2)]
    made = report(outcomes, verdict=judge(outcomes, ["one", "two"]))
    skipped = [Skipped(configuration=Configuration(bundle="b", precision="fp32", provider="cuda"), reason="no <GPU>")]
    return msgspec.structs.replace(made, skipped=skipped, partial=partial)


def test_stages_and_throughput_follow_from_the_calls():
    result = make_result(Scenario(name="single-stream"), recording([0.1, 0.3]), SILENT)
    assert result.stage_s == pytest.approx({"extract": 0.12, "search": 0.08})
    assert result.stage_share == pytest.approx(1.0)
    assert result.throughput_hz == pytest.approx(5.0)


def test_an_open_scenario_counts_the_time_between_arrivals():
    result = make_result(Scenario(name="takt", takt_s=1.0, bound_s=0.5), recording([0.1, 0.3], 1.0), SILENT)
    assert result.throughput_hz == pytest.approx(2 / 1.3)
    assert result.holds is True
    assert (
        make_result(Scenario(name="takt", takt_s=1.0, bound_s=0.2), recording([0.1, 0.3], 1.0), SILENT).holds is False
    )


def test_yes_names_the_margin_and_the_configuration():
    verdict = judge([outcome([0.1, 0.12], 0.2, threads=1), outcome([0.1, 0.15], 0.2, threads=2)], ["one", "two"])
    assert verdict.holds and verdict.chosen == 0
    assert verdict.margin == pytest.approx(0.4) and verdict.utilization == pytest.approx(0.55)
    assert verdict.text.startswith("YES") and "choose one" in verdict.text and "40%" in verdict.text


def test_no_says_how_far_off_it_is():
    verdict = judge([outcome([0.1, 0.3], 0.2)], ["one"])
    assert not verdict.holds and verdict.chosen is None and verdict.margin == pytest.approx(-0.5)
    assert verdict.text.startswith("NO") and "missed 1 of 2" in verdict.text


def test_the_best_detector_that_holds_is_chosen():
    fast, good, slow = outcome([0.05], 0.2, 0.8), outcome([0.1], 0.2, 0.9), outcome([0.3], 0.2, 1.0)
    assert judge([fast, good, slow], ["fast", "good", "slow"]).chosen == 1


def test_banks_as_calibrated_go_before_a_larger_margin():
    assert judge([outcome([0.05], 0.2, coreset=0.01), outcome([0.1], 0.2)], ["small", "whole"]).chosen == 1


def test_the_pareto_front_holds_what_no_other_beats_in_both():
    made = [outcome([t], None, q) for t, q in [(0.1, 0.8), (0.2, 0.9), (0.25, 0.85), (0.3, 0.95), (0.3, 0.9)]]
    assert pareto_front(made) == [0, 1, 3]


def test_a_report_comes_back_as_it_was_written(tmp_path):
    made = full_report()
    write_report(made, tmp_path)
    assert read_report(tmp_path) == made == read_report(tmp_path / "report.json")
    assert encode_report(made) == (tmp_path / "report.json").read_bytes()


def test_a_bundle_of_any_name_can_be_reported(tmp_path):
    odd = Configuration(bundle=os.fsdecode(b"b-\xff.cmdiad"), precision="fp32", provider="cuda")
    measured = msgspec.structs.replace(outcome([0.1] * 70, 0.2, 0.9), configuration=odd, product=odd.bundle)
    made = report([measured], skipped=[Skipped(configuration=odd, reason=f"{odd.bundle}: no GPU")])
    write_report(made, tmp_path)
    assert read_report(tmp_path).skipped[0].configuration.bundle == "b-\\xff.cmdiad"
    for name in ("report.md", "report.html"):
        assert "b-\\xff.cmdiad" in (tmp_path / name).read_text("utf-8")


@pytest.mark.parametrize("content", [b"{}", b"not json", b'{"kind": "cmdiad bench report"}', None])
def test_what_is_no_report_is_refused(tmp_path, content):
    file = tmp_path / "report.json"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(UsageError, match=r"report\.json"):
        read_report(file)


def test_another_version_is_refused(tmp_path):
    (tmp_path / "report.json").write_bytes(encode_report(msgspec.structs.replace(full_report(), format_version=2)))
    with pytest.raises(UsageError, match="version 1"):
        read_report(tmp_path)


def test_tables_are_rectangular_and_say_what_a_small_sample_does_not_carry():
    tables = report_tables(full_report())
    assert [table.title.split(",")[0].split(" (")[0] for table in tables] == [
        "Latency and throughput", "Deadlines", "Stages", "Start and resources", "Not measured",
    ]  # fmt: skip
    for table in tables:
        assert {len(row) for row in table.rows} == {len(table.headers)}
    first, _, last, _ = tables[0].rows
    assert "needs 662" in first and "needs 64" not in first
    assert "needs 64" in last and "0.950 (front)" in last


def test_the_milliseconds_of_offline_are_explained_where_there_are_some():
    assert report_tables(full_report())[0].note == ""
    measured = outcome([0.1] * 64)
    offline = make_result(Scenario(name="offline"), recording([0.1] * 64), SILENT)
    report = msgspec.structs.replace(
        full_report(), outcomes=[msgspec.structs.replace(measured, results=[*measured.results, offline])]
    )
    note = report_tables(report)[0].note
    assert "offline: all parts are there at the start" in note and "not the time that a part takes" in note
    assert note in markdown_report(report) and note in html_report(report)


def test_html_is_one_file_with_its_plots_and_nothing_of_the_text_is_markup():
    page = html_report(full_report())
    pictures = re.findall(r'<svg class="chart".*?</svg>', page, re.DOTALL)
    assert len(pictures) == 5
    for picture in pictures:
        ElementTree.fromstring(picture)
    assert not re.search(r"(src|href)=|url\(|<script|@import", page)
    assert "no &lt;GPU&gt;" in page and "<GPU>" not in page


def test_a_partial_report_says_so_everywhere():
    made = full_report(partial=True)
    assert "PARTIAL" in html_report(made) and "PARTIAL" in markdown_report(made)
    assert "PARTIAL" not in html_report(full_report()) + markdown_report(full_report())


def test_no_figure_is_called_an_mlperf_result():
    for text in (html_report(full_report()), markdown_report(full_report())):
        assert "no figure here is an MLPerf result" in text


def test_every_combination_is_there_once():
    found, skipped = combinations({"a": "fp32"}, Choices(provider=["cpu", "cuda"], threads=[1, 2], coreset=[0.1]))
    assert len(found) == len(set(map(str, found))) == 4 and not skipped
    assert len(set(labels(found))) == 4


def test_a_precision_is_a_bundle_of_its_own():
    found, skipped = combinations({"a": "fp32", "b": "int8"}, Choices(precision=["int8", "fp16"], threads=[1, 2]))
    assert [(each.bundle, each.precision) for each in found] == [("b", "int8")] * 2
    assert len(skipped) == 2 and all("--precision fp16" in each.reason for each in skipped)


def test_engines_are_the_bundles_own_and_have_no_provider():
    assert providers(Choices()) == ["cpu"]
    assert providers(Choices(provider=["cpu", "cuda"], engine=["onnxruntime", "tensorrt"])) == [
        "cpu",
        "cuda",
        "tensorrt-engine",
    ]
    assert providers(Choices(engine=["tensorrt-rtx"])) == ["tensorrt-rtx-engine"]
    with pytest.raises(UsageError, match="abacus"):
        providers(Choices(engine=["abacus"]))


def test_a_graph_that_is_none_is_refused():
    found, _ = combinations({"a": "fp32"}, Choices(graph=["networks", "line"]))
    assert [each.graph for each in found] == ["networks", "line"]
    with pytest.raises(UsageError, match="--graph round"):
        combinations({"a": "fp32"}, Choices(graph=["round"]))


REFUSED = [("1,x", int), ("0", int), ("1,,2", int), ("a,", str), ("-0.1", float), ("inf", float), ("nan,0.1", float)]


@pytest.mark.parametrize(("text", "kind"), REFUSED)
def test_a_list_with_a_value_that_makes_no_sense_is_refused(text, kind):
    with pytest.raises(UsageError, match="--threads"):
        parse_list(text, "--threads", kind)


def test_lists_hold_each_value_once():
    assert parse_list("2, 1,2", "--threads", int) == [2, 1] and parse_list(None, "--threads", int) == []
