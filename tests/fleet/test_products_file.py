"""products.toml is typed: defaults, `{name}`, and one line for whatever makes no sense."""

from __future__ import annotations

from pathlib import Path

import pytest
from cmdiad.fleet.products_file import missing_places, read_products
from cmdiad.runtime.errors import UsageError

LID = '[[product]]\nname = "lid"\n'


def written(folder: Path, text: str) -> Path:
    file = folder / "products.toml"
    file.write_text(text)
    return file


def test_products_take_the_defaults_and_their_own_name_in_paths(tmp_path: Path) -> None:
    text = (
        '[fleet]\nout = "o"\n[defaults]\nbundle = "nets.cmdiad"\nscans = "s/{name}/*.tiff"\ncoreset_ratio = 0.2\n'
        + LID
        + '[[product]]\nname = "cap"\nrun = "runs/cap"\nscans = ["a", "b"]\ncoreset_ratio = 0.5\nsensor = "kinect"\n'
    )
    fleet, (lid, cap) = read_products(written(tmp_path, text))
    assert fleet.out == str(tmp_path / "o") and lid.out == str(tmp_path / "o/products/lid")
    assert (lid.bundle, lid.run, lid.scans) == (str(tmp_path / "nets.cmdiad"), None, [str(tmp_path / "s/lid/*.tiff")])
    assert lid.coreset_ratio == 0.2 and cap.coreset_ratio == 0.5
    assert (cap.run, cap.bundle, cap.sensor) == (str(tmp_path / "runs/cap"), None, "kinect")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "required field `product`"),
        ("product = []\n", r"there is no \[\[product\]\]: name at least one"),
        ('[defaults]\nbundel = "b"\n' + LID, "defaults: .*unknown field `bundel`"),
        ("[defaults]\ncoreset_ratio = 2.0\n" + LID, r"defaults\.coreset_ratio: Expected `float` <= 1"),
        ('[[product]]\nname = "../lid"\n', r"product\[0\]\.name"),
        (f'[defaults]\nbundle = "b"\nscans = "s"\n{LID}{LID.replace("lid", "LID")}', "2 products are called 'lid'"),
        (f'[defaults]\nbundle = "b"\nscans = "s"\nout = "o"\n{LID}[[product]]\nname = "cap"\n', "2 products write to"),
        (f'[defaults]\nbundle = "b"\nrun = "r"\nscans = "s"\n{LID}', r"\[defaults\] has run and bundle"),
        (f'[defaults]\nscans = "s"\n{LID}', "product 'lid' has no networks"),
        (f'[defaults]\nbundle = "b"\n{LID}', "product 'lid' has no parts"),
        (f'[defaults]\nbundle = "b"\nscans = "s"\n{LID}route = "f2i"\n', "product 'lid': route is for a run"),
        (f'[defaults]\nbundle = "b"\nscans = "s"\nmain = "rgb"\n{LID}', r"\[defaults\]: main is for a run"),
        (
            f'[defaults]\nbundle = "b"\nscans = "s"\n{LID}[[product]]\nname = "cap"\n'
            'out = "fleet/products/lid/calibrate"\n',
            "'cap' writes to '.*calibrate', in the folder of 'lid': give each its own",
        ),
    ],
)
def test_what_makes_no_sense_is_said_in_one_line_with_its_place(tmp_path: Path, text: str, message: str) -> None:
    file = written(tmp_path, text)
    with pytest.raises(UsageError, match=message) as refused:
        read_products(file)
    assert str(refused.value).startswith(str(file)) and "\n" not in str(refused.value)


def test_a_route_of_the_defaults_is_for_the_products_that_have_a_run(tmp_path: Path) -> None:
    text = f'[defaults]\nbundle = "b"\nscans = "s"\nroute = "f2i"\n{LID}[[product]]\nname = "cap"\nrun = "r"\n'
    assert [product.route for product in read_products(written(tmp_path, text))[1]] == ["f2i", "f2i"]


def test_all_missing_places_of_a_product_are_one_line_and_patterns_and_presets_are_none(tmp_path: Path) -> None:
    text = (
        '[defaults]\nbundle = "gone.cmdiad"\nscans = ["gone/{name}", "x/*.tiff"]\nsensor = "structured-light"\n' + LID
    )
    (lid,) = read_products(written(tmp_path, text))[1]
    problem = missing_places(lid)
    assert problem is not None and problem.startswith("lid: ") and "*" not in problem and "structured" not in problem
    assert str(tmp_path / "gone/lid") in problem and str(tmp_path / "gone.cmdiad") in problem


def test_thousands_of_products_are_read(tmp_path: Path) -> None:
    tables = "".join(f'[[product]]\nname = "p{number}"\ncoreset_ratio = 0.25\n' for number in range(3000))
    _, products = read_products(written(tmp_path, f'[defaults]\nbundle = "b"\nscans = "{{name}}"\n{tables}'))
    assert len(products) == 3000 and products[-1].scans == [str(tmp_path / "p2999")]
