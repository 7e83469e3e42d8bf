"""Charts are well-formed, show what they are given, and take no name for markup."""

import doctest
import re
from xml.etree import ElementTree

import numpy as np
import pytest
from cmdiad.runtime.reports import chart
from cmdiad.runtime.reports.chart import Axis, Chart, color, stage_bars, svg_file
from cmdiad.runtime.reports.histogram import Bars, histogram

HOSTILE = '"><script>alert(1)</script>&'


def places(drawing, tag, *names):
    """Those attributes of every element of a kind, as numbers."""
    elements = ElementTree.fromstring(drawing).iter(tag)
    return [tuple(float(element.get(name)) for name in names) for element in elements]


def test_examples_are_true():
    assert doctest.testmod(chart).failed == 0


def test_an_axis_maps_its_ends_and_has_round_ticks():
    axis = Axis("", 0.0, 47.0)
    assert (axis.share(0.0), axis.share(47.0)) == (0.0, 1.0)
    assert axis.ticks() == [0, 10, 20, 30, 40]
    assert Axis("", 0.5, 2000.0, is_log=True).ticks() == [1, 10, 100, 1000]
    assert Axis("", 0, 2, is_count=True).ticks() == [0, 1, 2]
    assert Axis("", 0, 0.3).ticks()[-1] == pytest.approx(0.3)


@pytest.mark.parametrize("value", [0.0, 5.0, -3.0])
def test_an_axis_of_one_number_has_a_length(value):
    axis = Axis("", value, value)
    assert axis.share(value) == 0 and axis.end > value and axis.ticks()


def test_lines_dots_and_bars_lie_where_their_numbers_are():
    drawn = Chart("t", Axis("x", 0, 10), Axis("y", 0, 5), width=300, height=200)
    drawn.line([(0, 0), (10, 5)], color(0), "line")
    drawn.dot((10, 0), color(1), "dot")
    drawn.bar((0, 5), (0, 5), color(2), "bar", "hint")
    svg = drawn.svg()
    (line,) = re.findall(r'points="(.*?)"', svg)
    (left, bottom), (right, top) = (tuple(map(float, point.split(","))) for point in line.split())
    assert left < right and top < bottom
    assert places(svg, "circle", "cx", "cy") == [(right, bottom)]
    ((x, y, width, height),) = places(svg, "rect", "x", "y", "width", "height")
    assert (x, y, y + height) == (left, top, bottom) and x + width == pytest.approx((left + right) / 2, abs=1)
    assert [(key.name, key.is_line) for key in drawn.keys] == [("line", True), ("bar", False)]


def test_no_name_becomes_markup():
    drawn = Chart(HOSTILE, Axis(HOSTILE, 0, 1), Axis(HOSTILE, 0, 1))
    drawn.line([(0, 0)], color(0), HOSTILE)
    drawn.dot((1, 1), color(0), HOSTILE)
    drawn.mark(0.5, HOSTILE)
    bars = stage_bars(HOSTILE, HOSTILE, [(HOSTILE, {HOSTILE: 1.0}, HOSTILE)])
    for svg in (drawn.svg(), bars.svg(), svg_file([drawn, bars])):
        assert not ElementTree.fromstring(svg).findall(".//{*}script") and HOSTILE not in svg


def test_stages_follow_each_other_in_a_bar():
    drawn = stage_bars("t", "ms", [("a", {"read": 10.0, "search": 30.0}, "40 ms"), ("b", {"search": 20.0}, "20 ms")])
    assert [(key.color, key.name) for key in drawn.keys] == [("c0", "read"), ("c1", "search")]
    first, second, other = places(drawn.svg(), "rect", "x", "y", "width")
    assert second[0] == pytest.approx(first[0] + first[2], abs=1) and second[1] == first[1] < other[1]
    assert other[0] == first[0] and second[2] == pytest.approx(3 * first[2], abs=3)


def test_a_histogram_shows_every_part_once():
    good, defective = np.array([1.0, 1.1, 1.2, 5.0]), np.array([1.0, 7.0])
    kinds = [Bars("good", "good", good), Bars("defective", "bad", defective)]
    drawn = histogram("scores", "score", "parts", kinds, threshold=20.0).svg()
    counts = {kind: sum(int(n) for n in re.findall(rf"<title>(\d+) {kind}", drawn)) for kind in ("good", "defective")}
    assert counts == {"good": 4, "defective": 2}


def test_a_file_carries_its_style_and_loads_nothing():
    content = svg_file([Chart("a", Axis("x", 0, 1), Axis("y", 0, 1)), Chart("b", Axis("x", 0, 1), Axis("y", 0, 1))])
    drawing = ElementTree.fromstring(content)
    assert {"a", "b"} <= {text.text for text in drawing.findall(".//{*}text")}
    assert "prefers-color-scheme: dark" in content and not re.search(r"(src|href)=|url\(|@import", content)
