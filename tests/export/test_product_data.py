"""The gate of a precision judges a bundle on scans of its own product, or asks for some."""

import os
import shutil

import msgspec
import pytest
from cmdiad.export.bundles import product_data, reduce_bundle
from cmdiad.export.export_settings import ExportSettings
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import rewrite_bundle
from cmdiad.runtime.errors import UsageError
from cmdiad.training.runs.record import read_run, write_run

FP16 = ExportSettings("fp16")


@pytest.fixture
def changed_run(trained_run, tmp_path):
    """A copy of the run whose record says something else."""

    def change(**changes):
        folder = tmp_path / "run"
        shutil.copytree(trained_run, folder)
        write_run(folder, msgspec.structs.replace(read_run(folder)[1], **changes))
        return folder

    return change


def changed_bundle(path, target, **changes):
    bundle = open_bundle(path)
    rewrite_bundle(bundle, target, msgspec.structs.replace(bundle.manifest, **changes), {})
    return open_bundle(target)


def test_a_class_whose_name_is_not_utf8_is_its_own(exported_bundle, changed_run, synth_data, tmp_path):
    odd = os.fsdecode(b"geh\xe4use")
    run = changed_run(classes=["other", odd])
    bundle = changed_bundle(exported_bundle, tmp_path / "bundle", product=odd)
    assert bundle.manifest.product == "geh\\xe4use" and list(product_data(bundle, run, FP16).classes) == [odd]


def test_the_run_s_own_class_is_taken(calibrated_bundle, exported_bundle, trained_run, synth_data):
    for path in (calibrated_bundle, exported_bundle):
        data = product_data(open_bundle(path), trained_run, FP16)
        assert data.root.resolve() == synth_data.resolve() and list(data.classes) == ["gland"]


def test_of_a_run_of_several_classes_the_calibrated_one_is_taken(calibrated_bundle, changed_run):
    run = changed_run(classes=["box", "gland"])
    assert list(product_data(open_bundle(calibrated_bundle), run, FP16).classes) == ["gland"]


def test_all_classes_of_its_run_serve_a_bundle_that_is_not_calibrated_and_has_no_product(
    exported_bundle, changed_run, tmp_path
):
    run = changed_run(classes=["box", "gland"])
    bundle = changed_bundle(exported_bundle, tmp_path / "b", product="any")
    assert list(product_data(bundle, run, FP16).classes) == ["box", "gland"]


def test_another_run_is_refused_with_its_classes(calibrated_bundle, changed_run):
    run = changed_run(data_digest="another", classes=["flange"])
    with pytest.raises(UsageError, match=r"is not the run it was exported from: its scans are of flange: .*--scans"):
        product_data(open_bundle(calibrated_bundle), run, FP16)


def test_a_bundle_calibrated_for_another_product_is_refused(calibrated_bundle, trained_run, tmp_path):
    bundle = changed_bundle(calibrated_bundle, tmp_path / "b", product="carton")
    with pytest.raises(UsageError, match=r"calibrated for 'carton', and those of .* are of gland: .*--scans"):
        product_data(bundle, trained_run, FP16)
    with pytest.raises(UsageError, match="carton"):
        reduce_bundle(tmp_path / "b", tmp_path / "out", trained_run, FP16)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("data", ["", "/nowhere/at/all"], ids=["unknown", "gone"])
def test_a_run_whose_data_is_gone_is_said_with_what_to_give(calibrated_bundle, changed_run, data):
    with pytest.raises(UsageError, match=r"is not where it was: give them with --scans"):
        product_data(open_bundle(calibrated_bundle), changed_run(data=data), FP16)


def test_without_a_run_it_asks_for_scans_and_not_for_a_training(calibrated_bundle, tmp_path):
    with pytest.raises(UsageError, match=r"there is no run in .*: give them with --scans") as error:
        product_data(open_bundle(calibrated_bundle), tmp_path / "runs" / "latest", FP16)
    assert "cmdiad train" not in str(error.value)
