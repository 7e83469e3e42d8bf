"""What the line graph cannot prove is searched again; the verdict is that of the NumPy runtime."""

from dataclasses import replace

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.engines.session import OnnxSession
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.inspector import Inspector
from cmdiad.runtime.line_graph import LINE, LineGraph, open_line_graph
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import modalities
from cmdiad.runtime.preparation.prepared_part import prepare_file
from cmdiad.runtime.timing import StageTimes
from cmdiad.runtime.verdict.decision import Decision
from cmdiad.runtime.verdict.searched_again import OUT_OF_BOUND, UNSURE


@pytest.fixture(scope="module")
def bundle(calibrated_bundle):
    return open_bundle(calibrated_bundle)


@pytest.fixture(scope="module")
def part(bundle, synth_data):
    scan = synth_data / "gland" / "test" / "crack" / "xyz" / "000.tiff"
    return prepare_file(scan, modalities(bundle.manifest), bundle.manifest.preprocessing)


@pytest.fixture(scope="module")
def expected(bundle, part):
    decision, features = Decision.load(bundle), FeatureExtractor(bundle).extract(part, StageTimes())
    return decision.decide(features.foreground, decision.match(features))


class DoubtfulSession:
    """The bundle's line graph, which marks some rows, and is wrong about these."""

    def __init__(self, bundle, reason, rows):
        self._session, self._reason, self._rows = OnnxSession(bundle.read(LINE)), reason, rows

    def run(self, inputs):
        outputs = {name: array.copy() for name, array in self._session.run(inputs).items()}
        if not len(self._rows):
            return outputs
        outputs["score"][:], outputs["map"][:], outputs["again_main"][:] = 0, 0, 0
        outputs["again_main"][:, self._rows] = self._reason
        places = inputs["patches"][0, self._rows]
        for wrong in (places,) if self._reason == UNSURE else (slice(None),):
            outputs["index_main"][:, wrong] = 0
            outputs["distance_main"].reshape(len(outputs["score"]), -1)[:, wrong] = 1e-3
        return outputs


def line_with(bundle, reason, rows):
    return LineGraph.on_host(bundle.manifest, DoubtfulSession(bundle, reason, rows), Decision.load(bundle))


@pytest.mark.parametrize("rows", [[], [0], [3, 50, 51]])
def test_marked_patches_are_searched_again(bundle, part, expected, rows):
    times = StageTimes()
    answer = line_with(bundle, UNSURE, rows).run(part, times)
    assert answer.searched_again == len(rows) and ("search" in times.seconds) == bool(rows)
    assert answer.score == pytest.approx(expected[0], rel=1e-4)
    np.testing.assert_allclose(answer.map, expected[1], atol=1e-3 * expected[1].max())


def test_where_a_bound_did_not_hold_all_patches_are_and_it_is_said_once(bundle, part, expected):
    line = line_with(bundle, OUT_OF_BOUND, [7])
    with pytest.warns(UserWarning, match="outside their error bound"):
        answer = line.run(part, StageTimes())
    assert answer.searched_again == len(line.ready(part, StageTimes()).patches)
    assert answer.score == pytest.approx(expected[0], rel=1e-4)
    assert line.run(part, StageTimes()).score == answer.score


def test_only_the_part_of_a_batch_that_is_marked_is_searched_again(bundle, part, expected):
    class OneOfTwo(DoubtfulSession):
        def run(self, inputs):
            right, wrong = self._session.run(inputs), super().run(inputs)
            return {name: np.concatenate([right[name][:1], wrong[name][1:]]) for name in right}

    line = LineGraph.on_host(bundle.manifest, OneOfTwo(bundle, UNSURE, [5]), Decision.load(bundle))
    ready = line.ready(part, StageTimes())
    first, second = line.run_batch([ready, ready], StageTimes())
    assert (first.searched_again, second.searched_again) == (0, 1)
    assert first.score == pytest.approx(second.score, rel=1e-4) == pytest.approx(expected[0], rel=1e-4)


def test_an_inspection_says_how_many(calibrated_bundle, synth_data):
    scan = synth_data / "gland" / "test" / "crack" / "xyz" / "000.tiff"
    for graph in ("networks", "line"):
        said = Inspector.load(calibrated_bundle, graph=graph)(scan).as_json()["searched_again"]
        assert said == 0 or (graph == "line" and said < 5)


def test_a_graph_of_an_earlier_version_is_refused_in_words(bundle):
    graph = msgspec.structs.replace(bundle.manifest.line_graph, inputs=bundle.manifest.line_graph.inputs[2:])
    earlier = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, line_graph=graph))
    with pytest.raises(BundleError, match=r"earlier version: run `cmdiad calibrate SCANS --line-graph` again"):
        open_line_graph(earlier)
