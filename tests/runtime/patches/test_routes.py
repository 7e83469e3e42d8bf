"""What each route is made of, and that it takes no network, sensor or input but those that it names."""

import ast
from dataclasses import replace
from pathlib import Path
from typing import get_args

import cmdiad
import msgspec
import pytest
from cmdiad.runtime.bundle.parameters import Grouping, Modality, RouteName
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.errors import BundleError
from cmdiad.runtime.patches.features import FeatureExtractor
from cmdiad.runtime.patches.routes import EXTRACTOR, HALLUCINATOR, SECOND_EXTRACTOR, other, route_of
from cmdiad.training.routes.distillation import DISTILLATIONS, distillation

ROUTES = [(name, main) for name in get_args(RouteName) for main in get_args(Modality)]
LAYOUT = ["patches", "places"]
POINTS = ["groups", "centers", "pooling"]
# What is measured, the banks, and the line graph's inputs after the layout, by hand from the paper's description.
EXPECTED = {
    ("single", "pc"): ({"pc"}, ("main",), POINTS),
    ("single", "rgb"): ({"rgb"}, ("main",), ["image"]),
    ("dual", "pc"): ({"pc", "rgb"}, ("main", "other"), [*POINTS, "image"]),
    ("dual", "rgb"): ({"pc", "rgb"}, ("main", "other"), [*POINTS, "image"]),
    ("f2f", "pc"): ({"pc"}, ("main", "hallucinated"), POINTS),
    ("f2f", "rgb"): ({"rgb"}, ("main", "hallucinated"), ["image"]),
    ("f2i", "pc"): ({"pc"}, ("main", "hallucinated"), POINTS),
    ("f2i", "rgb"): ({"rgb"}, ("main", "hallucinated"), ["image"]),
    ("i2f", "pc"): ({"pc"}, ("main", "hallucinated"), [*POINTS, "input"]),
    ("i2f", "rgb"): ({"rgb"}, ("main", "hallucinated"), ["image"]),
}


class WrittenSteps:
    """Steps that write down what they are asked for."""

    def __init__(self):
        self.networks, self.sensors = set(), set()

    def main(self):
        return "main"

    def grid(self):
        return "grid"

    def sensed(self, modality):
        self.sensors.add(modality)
        return f"sensed {modality}"

    def hallucinate(self, name, value):
        self.networks.add(HALLUCINATOR)
        return f"hallucinator({name}={value})"

    def at_patches(self, everywhere):
        return f"{everywhere} at patches"

    def measured(self, modality):
        self.sensors.add(modality)
        self.networks.add(SECOND_EXTRACTOR)
        return f"extractor(sensed {modality})"

    def extracted(self, modality, hallucinated_input):
        self.networks.add(SECOND_EXTRACTOR)
        return f"{modality} extractor({hallucinated_input})"


@pytest.mark.parametrize(("name", "main"), ROUTES)
def test_each_route_measures_holds_and_takes_what_the_paper_says(name, main):
    route = route_of(name, main)
    assert (route.name, route.main, route.other) == (name, main, other(main))
    inputs = [tensor.name for tensor in route.line_inputs(Grouping())]
    measured, banks, sensed = EXPECTED[name, main]
    assert (route.measured, route.banks, inputs) == (measured, banks, [*LAYOUT, *sensed])


@pytest.mark.parametrize(("name", "main"), ROUTES)
def test_second_features_come_from_the_networks_and_sensors_that_the_route_names(name, main):
    route, steps = route_of(name, main), WrittenSteps()
    second = route.second(steps)
    assert (second is None) == (route.second_bank is None)
    assert {EXTRACTOR, *steps.networks} == set(route.networks)
    assert steps.sensors <= route.measured


def test_second_features_are_made_as_the_paper_draws_them():
    def made(name, main):
        return route_of(name, main).second(WrittenSteps()).features

    assert made("f2f", "pc") == "hallucinator(features=main)"
    assert made("i2f", "rgb") == "hallucinator(input=sensed rgb) at patches"
    assert made("f2i", "pc") == "rgb extractor(hallucinator(features=grid))"
    assert made("dual", "rgb") == "extractor(sensed pc)"


@pytest.mark.parametrize(("name", "main"), ROUTES)
def test_only_hallucinated_points_stand_against_a_line_graph(name, main):
    route = route_of(name, main)
    assert bool(route.line_obstacle) == route.groups_hallucination == ((name, main) == ("f2i", "rgb"))


@pytest.mark.parametrize(("name", "main"), ROUTES)
def test_only_a_route_that_looks_at_patches_alone_has_a_feature_without_points(name, main):
    feature = route_of(name, main).second_without_points("zero", WrittenSteps().hallucinate)
    assert feature == ("hallucinator(features=zero)" if name == "f2f" else None)


def test_what_is_trained_is_what_hallucinates():
    assert DISTILLATIONS.keys() == {name for name, main in ROUTES if route_of(name, main).is_trained}
    for name in DISTILLATIONS:
        assert distillation(name).output == route_of(name, "pc").hallucination != ""


def test_no_module_but_those_that_define_routes_asks_for_one_by_its_name():
    """A new route is a name, its class, its network and its entry in the table of what is trained."""
    product = Path(cmdiad.__file__).parent
    defining = ["runtime/bundle/parameters.py", "runtime/patches/routes.py", "training/routes/distillation.py"]
    modules = [
        file for room in ("runtime", "calibration", "training", "export") for file in (product / room).rglob("*.py")
    ]
    naming = [file.relative_to(product).as_posix() for file in modules if constants(file) & {*get_args(RouteName)}]
    assert sorted(naming) == sorted(defining)


def constants(file):
    return {node.value for node in ast.walk(ast.parse(file.read_text())) if isinstance(node, ast.Constant)}


@pytest.mark.parametrize(("name", "main"), ROUTES)
def test_routes_have_titles_of_their_own(name, main):
    title = route_of(name, main).title
    assert title == route_of(name, other(main)).title if name == "dual" else title.endswith(f", {main.upper()}")


def test_a_bundle_without_a_network_of_its_route_is_said_plainly(exported_bundle):
    bundle = open_bundle(exported_bundle)
    networks = {role: entry for role, entry in bundle.manifest.networks.items() if role != HALLUCINATOR}
    without = replace(bundle, manifest=msgspec.structs.replace(bundle.manifest, networks=networks))
    with pytest.raises(BundleError, match=r"f2f route needs hallucinator.*export it again"):
        FeatureExtractor(without)
