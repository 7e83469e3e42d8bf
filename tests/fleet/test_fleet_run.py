"""A fleet goes on where it was interrupted, does anew what has changed, and no product stops another."""

from __future__ import annotations

import shutil
import socket
from pathlib import Path

import pytest
from cmdiad.fleet.fleet_run import FleetReport, FleetRequest, run_fleet
from cmdiad.fleet.product_calibration import calibration_inputs
from cmdiad.fleet.products_file import read_products
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import write_bundle
from cmdiad.runtime.errors import MachineError, UsageError

from .conftest import WriteFile


def done(file: Path, *names: str) -> FleetReport:
    return run_fleet(FleetRequest(file, ["calibrate"], names, workers=1))[0]


def test_what_was_finished_before_an_interruption_is_not_done_again(
    write_products: WriteFile, calibrated_names: list[str]
) -> None:
    file = write_products("a", "b", "c")

    def interrupt(outcome: object, count: int, total: int) -> None:
        if count == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fleet(FleetRequest(file, ["calibrate"], workers=1), interrupt)
    assert calibrated_names == ["a", "b"]
    report = done(file)
    assert calibrated_names == ["a", "b", "c"]
    assert [(outcome.kept, outcome.done) for outcome in report.products] == [
        (["calibrate"], []),
        (["calibrate"], []),
        ([], ["calibrate"]),
    ]
    assert all(Path(outcome.bundle or "").is_file() for outcome in report.products)


def test_a_product_that_fails_is_reported_and_the_others_are_done(
    write_products: WriteFile, calibrated_names: list[str], tmp_path: Path
) -> None:
    file = write_products("a", "empty", "gone", "z")
    shutil.rmtree(tmp_path / "scans" / "gone")
    for scan in (tmp_path / "scans" / "empty").iterdir():
        scan.unlink()
    report = done(file)
    assert calibrated_names == ["a", "z"]
    failures = {outcome.product: outcome.error for outcome in report.failed}
    assert set(failures) == {"empty", "gone"} and report.exit_code == 2
    assert failures["gone"].step is None and failures["empty"].step == "calibrate"
    assert all(error.message.startswith(f"{name}: ") and "\n" not in error.message for name, error in failures.items())
    assert done(file, "a", "empty").exit_code == 3


def test_a_product_without_labeled_parts_fails_before_it_is_calibrated_where_it_is_to_be_evaluated(
    write_products: WriteFile, calibrated_names: list[str]
) -> None:
    report, _ = run_fleet(FleetRequest(write_products("a"), ["calibrate", "evaluate"], workers=1))
    (failed,) = report.failed
    assert failed.error is not None and failed.error.step is None
    assert "no labeled parts" in failed.error.message and calibrated_names == []


def test_a_changed_product_alone_is_done_anew(
    write_products: WriteFile, calibrated_names: list[str], tmp_path: Path
) -> None:
    file = write_products("a", "b")
    done(file)
    scan = next((tmp_path / "scans" / "b").iterdir())
    scan.write_bytes(scan.read_bytes() + b"\0")
    done(file)
    assert calibrated_names == ["a", "b", "b"]
    bundle = tmp_path / "fleet/products/a/calibrate/a.cmdiad"
    bundle.write_bytes(bundle.read_bytes()[:-100])
    done(file)
    assert calibrated_names == ["a", "b", "b", "a"]


def test_the_key_changes_with_a_scan_a_setting_and_a_network(
    write_products: WriteFile, exported_bundle: Path, tmp_path: Path
) -> None:
    def key(defaults: str = "", bundle: Path = exported_bundle) -> str:
        (product,) = read_products(write_products("a", defaults=defaults))[1]
        return calibration_inputs(product, bundle).key

    before = key()
    settings = tmp_path / "method.toml"
    settings.write_text("nu = 0.4\n")
    source = open_bundle(exported_bundle)
    files = {name: source.read(name) for name in source.manifest.files}
    network = next(iter(source.manifest.networks.values())).file
    write_bundle(tmp_path / "other", source.manifest, {**files, network: files[network] + b"\0"})
    changed = [
        key("coreset_ratio = 0.2"),
        key("seed = 1"),
        key('settings = "method.toml"'),
        key('set = ["preprocessing.plane=never"]'),
        key(bundle=tmp_path / "other"),
    ]
    assert key() == before
    next((tmp_path / "scans" / "a").iterdir()).unlink()
    assert len({before, *changed, key()}) == 7


@pytest.mark.parametrize(
    ("request_values", "message"),
    [
        ({"steps": []}, "say what to do"),
        ({"steps": ["calibrate"], "names": ["x"]}, "there is no product x: it has a"),
        ({"steps": ["calibrate"], "workers": 0}, "--workers 0: give 1 or more"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    write_products: WriteFile, request_values: dict[str, object], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        run_fleet(FleetRequest(write_products("a"), **request_values))


def test_without_ray_several_workers_name_the_extra(
    write_products: WriteFile, calibrated_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ray" else object())
    file = write_products("a")
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[fleet\]'"):
        run_fleet(FleetRequest(file, ["calibrate"], workers=2))
    with pytest.raises(UsageError, match=r"pip install 'cmdiad\[fleet\]'"):
        run_fleet(FleetRequest(file, ["calibrate"], address="10.0.0.5:6379"))
    assert run_fleet(FleetRequest(file, ["calibrate"]))[0].runner.startswith("this process")


def test_an_address_at_which_nobody_listens_is_refused_before_ray_tries(
    write_products: WriteFile, calibrated_names: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: object())
    with socket.socket() as bound:  # and does not listen
        bound.bind(("127.0.0.1", 0))
        address = "{}:{}".format(*bound.getsockname())
        for typed in (address, f"ray://{address}", f"{'a' * 70}:6379"):
            with pytest.raises(MachineError, match=f"no Ray cluster answers at {typed} .*check the address"):
                run_fleet(FleetRequest(write_products("a"), ["calibrate"], address=typed))
    assert calibrated_names == []


def test_what_was_not_exported_and_what_is_a_guess_is_said_in_the_report(
    write_products: WriteFile, calibrated_names: list[str]
) -> None:
    file = write_products("a", "b", "c")
    report = run_fleet(FleetRequest(file, ["export", "calibrate"], ["a", "b"], workers=1))[0]
    not_exported, guessed = report.warnings
    assert not_exported == "--export did nothing for a, b: `bundle` is given, not a run to export"
    assert guessed.startswith("the thresholds of a, b are extrapolated from few scans") and "give 99 normal" in guessed
    assert (len(report.products), report.listed) == (2, 3)
    assert len(done(file).warnings) == 1


def test_products_that_are_made_from_the_same_scans_are_named(
    write_products: WriteFile, calibrated_names: list[str]
) -> None:
    file = write_products("a", "b", extra='scans = "scans/a"\n')
    (same, _) = done(file).warnings
    assert same.startswith("a, b have the same normal scans, ") and "scans/a: if they are different parts" in same
