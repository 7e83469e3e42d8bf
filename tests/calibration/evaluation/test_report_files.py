"""The HTML report is one file that loads nothing, shows every part of an evaluation, and trusts no name."""

import base64
import dataclasses
import io
import re
from html.parser import HTMLParser

import pytest
from cmdiad.calibration.calibrate import CalibrationSettings
from cmdiad.calibration.evaluation.contenders import Candidate
from cmdiad.calibration.evaluation.evaluate import evaluate_dataset
from cmdiad.calibration.evaluation.outcomes import Evaluation
from cmdiad.calibration.evaluation.report_files import Destinations, gather_facts, write_reports
from cmdiad.calibration.evaluation.report_page import html_report
from cmdiad.calibration.part_pictures import PANEL
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import OutputError, UsageError
from PIL import Image

SETTINGS = CalibrationSettings(coreset_ratio=0.01, false_reject_rate=0.3)
VOID = {"meta", "img", "br", "link", "input", "line", "rect", "polyline"}


class Page(HTMLParser):
    """Refuses tags that are not closed in order; keeps attributes and text."""

    def __init__(self, content):
        super().__init__()
        self.open, self.tags, self.attributes, self.text = [], [], [], []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.fixture(scope="module")
def evaluation(route_bundle, synth_data):
    bundle = open_bundle(route_bundle("single", "pc"))
    strict = dataclasses.replace(SETTINGS, false_reject_rate=0.5)
    candidates = [Candidate("Single bank, PC", bundle, SETTINGS), Candidate("strict", bundle, strict)]
    return evaluate_dataset(synth_data, [], candidates, "cpu", lambda *_: None)


@pytest.fixture(scope="module")
def written(evaluation, synth_data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("written")
    return write_reports(evaluation, synth_data, SETTINGS, "cpu", Destinations(folder=folder))


def test_a_report_folder_holds_all_forms(written):
    assert [path.name for path in written] == ["report.html", "report.md", "report.csv", "report.json", "parts.csv"]
    assert all(path.stat().st_size for path in written)


def test_the_page_is_well_formed_and_loads_nothing(written):
    content = written[0].read_text()
    page = Page(content)
    addresses = [value for name, value in page.attributes if name in ("src", "href", "srcset", "data", "action")]
    assert addresses and all(value.startswith(("data:image/jpeg;base64,", "#")) for value in addresses)
    assert not {"script", "link", "iframe", "object", "style"} & set(page.tags[page.tags.index("body") :])
    assert not re.search(r"https?://|url\(|@import", content)
    assert "prefers-color-scheme: dark" in content
    anchors = {value[1:] for value in addresses if value.startswith("#")}
    assert anchors <= {value for name, value in page.attributes if name == "id"}


def test_the_page_shows_curves_histograms_pictures_and_times(written, evaluation):
    content = written[0].read_text()
    page = Page(content)
    labels = [value for name, value in page.attributes if name == "aria-label"]
    assert labels == [
        "The trade-off: defects missed against good parts rejected",
        "ROC, parts",
        "Per-region overlap (PRO), pixels",
        "Scores, Single bank, PC",
        "Scores, strict",
        "Milliseconds by stage",
    ]
    shown = sum(len(outcome.examples) for outcome in evaluation.outcomes)
    pictures = [value for name, value in page.attributes if name == "src"]
    assert len(pictures) == shown > 0
    picture = Image.open(io.BytesIO(base64.b64decode(pictures[0].split(",")[1])))
    assert picture.size[1] == PANEL and picture.size[0] > 2 * PANEL
    assert len(content) < 40_000 + shown * 40_000
    assert "".join(page.text).count(f"{evaluation.outcomes[0].row.i_auroc:.3f}") >= 2


def test_the_page_has_every_part_with_its_verdict_the_mistakes_first(written, evaluation):
    content = written[0].read_text()
    for outcome in evaluation.outcomes:
        table = content[content.index(f"All test parts, {outcome.name}") :].split("</table>")[0]
        shown = re.findall(r'<td class="label">([^<]+)</td>\s*<td class="label">([^<]+)</td>', table)
        assert sorted(name for name, _ in shown) == sorted(outcome.names)
        order = [["miss", "false alarm", "hit", "pass"].index(verdict) for _, verdict in shown]
        assert order == sorted(order)
        mistakes = outcome.verdicts.misses + outcome.verdicts.false_rejects
        assert sum(place < 2 for place in order) == mistakes


def test_no_name_reaches_the_page_unescaped(evaluation, synth_data):
    hostile = '"><script>alert(1)</script>&'
    outcome = evaluation.outcomes[0]
    sample = dataclasses.replace(outcome.examples[0].sample, defect=hostile)
    renamed = dataclasses.replace(
        outcome,
        name=hostile,
        row=type(outcome.row)(hostile, "single", "pc", 0.5, 0.5, 0.5, 0.5, 7),
        by_defect={hostile: 0.5},
        examples=[dataclasses.replace(outcome.examples[0], sample=sample)],
    )
    facts = gather_facts(Evaluation([renamed]), synth_data, SETTINGS, "cpu")
    facts = dataclasses.replace(facts, title=hostile)
    content = html_report(Evaluation([renamed]), facts, lambda *_: "data:image/jpeg;base64,")
    assert "<script" not in content
    assert "script" not in Page(content).tags


def test_the_page_does_without_defective_parts(evaluation, synth_data):
    good = dataclasses.replace(evaluation.outcomes[0], pro=None, roc=None, by_defect={}, examples=[])
    chosen = good.defects == "good"
    kept = [index for index, is_good in enumerate(chosen) if is_good]
    good = dataclasses.replace(
        good,
        row=type(good.row)("gland", "single", "pc", None, None, None, None, len(kept)),
        defects=good.defects[chosen],
        scores=good.scores[chosen],
        names=[good.names[index] for index in kept],
        refusals=[["the part is <9> mm across"] for _ in kept],
    )
    facts = gather_facts(Evaluation([good]), synth_data, SETTINGS, "cpu")
    content = html_report(Evaluation([good]), facts, lambda *_: "data:image/jpeg;base64,")
    assert "ROC, parts" not in content and "I-AUROC by defect" not in content
    assert "need both" in content and "the part is &lt;9&gt; mm across" in content


def test_several_products_have_a_mean_and_the_best_method_of_each_is_bold(evaluation, synth_data):
    def product(outcome, name, i_auroc):
        row = type(outcome.row)(name, "f2f", "pc", i_auroc, None, None, None, 7)
        return dataclasses.replace(outcome, row=row, examples=[])

    first, second = evaluation.outcomes
    outcomes = [product(first, "bagel", 0.25), product(second, "bagel", 0.75)]
    outcomes += [product(first, "mean", 1.0), product(second, "mean", 0.125)]
    facts = gather_facts(Evaluation(outcomes), synth_data, SETTINGS, "cpu")
    content = html_report(Evaluation(outcomes), facts, lambda *_: "data:image/jpeg;base64,")
    bodies = re.findall(r"<tbody(?: class=\"mean\")?>.*?</tbody>", content, re.DOTALL)[:3]
    bold = [re.findall(r'best" style="--length:\d+%">([\d.]+)', body) for body in bodies]
    assert bold == [["0.750"], ["1.000"], ["0.625"]]
    assert [body.startswith('<tbody class="mean">') for body in bodies] == [False, False, True]
    assert '0.250<span class="paper">0.992</span>' in bodies[0] and "paper" not in bodies[1]
    assert "2 products" in content and "mean over products" in content


@pytest.mark.parametrize("option", ["markdown", "csv", "html", "folder"])
def test_a_place_that_cannot_be_written_is_refused_before_the_work(option, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        Destinations(**{option: tmp_path / "file" / "report"}).require_writable()
    Destinations(**{option: tmp_path / "new" / "folder" / "report"}).require_writable()
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_reports_that_meet_in_one_file_are_refused(tmp_path):
    with pytest.raises(UsageError, match="two reports"):
        Destinations(markdown=tmp_path / "report.csv", folder=tmp_path).require_writable()
    with pytest.raises(UsageError, match="is a folder"):
        Destinations(html=tmp_path).require_writable()


def test_the_page_does_without_masks(evaluation, synth_data):
    bare = dataclasses.replace(evaluation.outcomes[0], pro=None)
    facts = gather_facts(Evaluation([bare]), synth_data, SETTINGS, "cpu")
    content = html_report(Evaluation([bare]), facts, lambda *_: "data:image/jpeg;base64,")
    assert "(PRO), pixels" not in content and "ROC, parts" in content
