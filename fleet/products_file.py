"""`products.toml`: a fleet's products and how they are calibrated, typed and checked; docs/fleet.md has the keys."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from ..calibration.choices import BankPrecision
from ..runtime.bundle.parameters import DEFAULT_ROUTE, PRESETS, Metric, Modality, RouteName, ScoreName
from ..runtime.errors import UsageError
from ..runtime.files.toml_file import place_first, read_toml
from ..runtime.service.line_file import Name, placed

# Some thousands of products.
_MOST_BYTES = 1 << 20
NAME_MARK = "{name}"
# Of each pair a product has one; its own choice takes the place of the other in [defaults].
_EITHER = ("run", "bundle")
# What is told to the export of a run; a bundle has its own.
_OF_RUN = ("route", "main")
_PATHS = ("run", "bundle", "data", "defective", "settings", "out")

Share = Annotated[float, msgspec.Meta(gt=0, le=1)]


class FleetTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[fleet]: where results go, and how long a product is measured.

    Attributes:
        out: the fleet's folder.
        bench_seconds: measure each product at least this long.
        bench_samples: and at least this many latencies (p90 needs 64, p99 662).
    """

    out: str = "fleet"
    bench_seconds: Annotated[float, msgspec.Meta(ge=0, le=86400)] = 10.0
    bench_samples: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 64


class DefaultsTable(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[defaults]: what holds for every product that does not say otherwise; `{name}` in paths is the product's name.

    Attributes:
        scans: normal scans: files, folders, globs; empty: those of `data` for training.
        data: class folder with labeled test parts, which `--evaluate` needs.
        run: run folder of `cmdiad train`, to be exported.
        bundle: an exported bundle, in place of a run.
        route: which route of the run.
        main: the modality that the line measures; of the run.
        sensor: sensor file or preset; null: as trained.
        set: values of the sensor's description, such as "preprocessing.plane=never".
        settings: file of `calibrate --settings`.
        false_reject_rate: share of good parts that may be called defective.
        coreset_ratio: share of the patches kept in a bank.
        metric: the distance used by bank, coreset and score alike.
        bank_precision: the number format of a bank's rows.
        n_neighbors: how many neighbors re-weight the score.
        neighborhood: side of the square of patches over which features are averaged.
        score: how a part's score is computed from its patches' distances.
        seed: of everything random.
        defective: a scan with a known defect, which places the threshold and is kept for `cmdiad-rt selftest`.
        line_graph: whether to write the fused graph; null: if it is small.
        provider: what runs the networks.
        out: the product's own folder; null: OUT/products/NAME.
    """

    scans: str | list[str] = []
    data: str | None = None
    run: str | None = None
    bundle: str | None = None
    route: RouteName = DEFAULT_ROUTE
    main: Modality = "pc"
    sensor: str | None = None
    set: list[str] = []
    settings: str | None = None
    false_reject_rate: Annotated[float, msgspec.Meta(ge=1e-6, le=0.5)] = 0.01
    coreset_ratio: Share = 0.1
    metric: Metric = "l2"
    bank_precision: BankPrecision = "fp32"
    n_neighbors: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    neighborhood: Literal[1, 3] = 1
    score: ScoreName = "paper"
    seed: Annotated[int, msgspec.Meta(ge=0, lt=1 << 32)] = 0
    defective: str | None = None
    line_graph: bool | None = None
    provider: str = "cpu"
    out: str | None = None


class FleetProduct(DefaultsTable, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """[[product]]: a product, its scans and its networks; all keys of [defaults] too.

    Attributes:
        name: letters, digits, `.`, `_`, `-`; unique, regardless of case.
    """

    name: Name


class ProductsFile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The whole file."""

    fleet: FleetTable = FleetTable()
    defaults: DefaultsTable = DefaultsTable()
    product: list[FleetProduct]


def read_products(path: Path) -> tuple[FleetTable, list[FleetProduct]]:
    """Read and check `products.toml`: the fleet's table, and every product with what [defaults] says.

    All paths are absolute, from the folder that the file lies in, with the product's name in place of `{name}`.

    Raises:
        UsageError: it is missing, is not TOML, a key is unknown, missing or makes no sense, or two products share a
            name or a folder.

    Example:
        >>> [product.name for product in read_products(Path("products.toml"))[1]]  # doctest: +SKIP
        ['flange', 'lid']
    """
    content = read_toml(path, _MOST_BYTES)
    try:
        file = msgspec.convert(content, ProductsFile)
    except msgspec.ValidationError as cause:
        raise UsageError(f"{path}: {place_first(str(cause))}: see docs/fleet.md") from cause
    if not file.product:
        raise UsageError(f"{path}: there is no [[product]]: name at least one")
    base = path.absolute().parent
    fleet = msgspec.structs.replace(file.fleet, out=str(placed(base, file.fleet.out)))
    given = content.get("defaults", {})
    products = [_resolved(given, table, base, Path(fleet.out), path) for table in content["product"]]
    if all(product.run is None for product in products):
        _refuse_of_run(f"{path}: [defaults]", given)
    # On a disk that does not tell letters' case apart they would share a folder.
    _refuse_equal(path, "products are called", [product.name.casefold() for product in products])
    _refuse_equal(path, "products write to", [str(product.out) for product in products])
    _refuse_nested(path, products)
    return fleet, products


def missing_places(product: FleetProduct) -> str | None:
    """Which files or folders of a product are missing, in one line; None if none is."""
    singles = [product.run, product.bundle, product.data, product.defective, product.settings]
    named = [*product.scans, *(place for place in singles if place is not None)]
    if product.sensor is not None and product.sensor not in PRESETS:
        named.append(product.sensor)
    absent = [place for place in named if not _is_pattern(place) and not Path(place).exists()]
    if not absent:
        return None
    return f"{product.name}: {', '.join(absent)}: no such file or folder: correct the path in the products file"


def _resolved(defaults: dict[str, Any], table: dict[str, Any], base: Path, out: Path, path: Path) -> FleetProduct:
    for given in (defaults, table):
        if all(key in given for key in _EITHER):
            where = f"product {table['name']!r}" if given is table else "[defaults]"
            raise UsageError(f"{path}: {where} has run and bundle: give the one that its networks are of")
    own = any(key in table for key in _EITHER)
    kept = {key: value for key, value in defaults.items() if not (own and key in _EITHER)}
    product = msgspec.convert({**kept, **table}, FleetProduct)
    if product.run is None and product.bundle is None:
        raise UsageError(f"{path}: product {product.name!r} has no networks: give run, or an exported bundle")
    if product.run is None:
        _refuse_of_run(f"{path}: product {product.name!r}", table)
    if not product.scans and product.data is None:
        raise UsageError(f"{path}: product {product.name!r} has no parts: give scans, or a class folder as data")
    changes: dict[str, Any] = {key: _place(base, product, getattr(product, key)) for key in _PATHS}
    changes["out"] = changes["out"] or str(out / "products" / product.name)
    scans = [product.scans] if isinstance(product.scans, str) else product.scans
    changes["scans"] = [_place(base, product, scan) for scan in scans]
    if product.sensor not in PRESETS:
        changes["sensor"] = _place(base, product, product.sensor)
    return msgspec.structs.replace(product, **changes)


def _refuse_of_run(where: str, table: dict[str, Any]) -> None:
    """Refuse what no bundle would heed: its route is that of its own networks."""
    for key in _OF_RUN:
        if key in table:
            raise UsageError(
                f"{where}: {key} is for a run, and the networks are a bundle's: leave {key} out, or give run"
            )


def _place(base: Path, product: FleetProduct, name: str | None) -> str | None:
    return None if name is None else str(placed(base, name.replace(NAME_MARK, product.name)))


def _is_pattern(place: str) -> bool:
    return any(mark in place for mark in "*?[")


def _refuse_nested(path: Path, products: Iterable[FleetProduct]) -> None:
    """Refuse a product's folder in that of another, whose steps replace what lies in their folders."""
    owners = {Path(str(product.out)): product.name for product in products}
    for place, name in owners.items():
        outer = next((owners[parent] for parent in place.parents if parent in owners), None)
        if outer is not None:
            raise UsageError(
                f"{path}: {name!r} writes to {str(place)!r}, in the folder of {outer!r}: give each its own"
            )


def _refuse_equal(path: Path, what: str, values: Iterable[str]) -> None:
    value, count = max(Counter(values).items(), key=lambda item: item[1])
    if count > 1:
        raise UsageError(f"{path}: {count} {what} {value!r}: give each its own")
