"""No number in a manifest that is not finite or out of range is ever used; versions are read or refused in words."""

import hashlib
import json
import os

import msgspec
import numpy as np
import pytest
from cmdiad.runtime.bundle import manifest as manifest_format
from cmdiad.runtime.bundle.manifest import Bank, Calibration, Manifest, Statistics, decode, encode
from cmdiad.runtime.bundle.parameters import Grouping, Preprocessing, Threshold
from cmdiad.runtime.bundle.reading import Bundle, require_calibration
from cmdiad.runtime.bundle.region_of_interest import RegionOfInterest
from cmdiad.runtime.bundle.scan_geometry import AS_STORED
from cmdiad.runtime.bundle.writing import MemoryStore
from cmdiad.runtime.errors import BundleError
from hypothesis import given
from hypothesis import strategies as st

THRESHOLD = Threshold(
    value=2.5,
    false_reject_rate=0.01,
    method="extrapolated",
    n_scans=32,
    rate_low=0.001,
    rate_high=0.04,
    scans_needed=99,
)
CALIBRATION = Calibration(
    n_scans=32, data_digest="d", seed=0, coreset_ratio=0.1, threshold=THRESHOLD, pixel_threshold=THRESHOLD
)
BANK = Bank(files={"rows": "bank_main.npy"}, n_rows=10, dim=4, metric="l2", feature_mean=0.1, feature_std=2.0)
MANIFEST = Manifest(
    product="flange",
    route="f2f",
    main="pc",
    precision="fp32",
    preprocessing=Preprocessing(),
    grouping=Grouping(),
    networks={},
    training_statistics={"pc": Statistics(mean=0.0, std=1.0)},
    banks={"main": BANK},
    calibration=CALIBRATION,
)


def test_any_name_of_a_folder_can_be_the_product():
    manifest = msgspec.structs.replace(MANIFEST, product=os.fsdecode(b"geh\xe4use"))
    assert decode(encode(manifest), "b").product == "geh\\xe4use"


NUMBERS = [
    ("calibration.threshold.value", ["1e999", "-1e999", "NaN", "Infinity", "null"]),
    ("calibration.threshold.false_reject_rate", ["0", "-0.1", "1.5", "1e999"]),
    ("calibration.threshold.rate_low", ["-1", "0.5"]),
    ("calibration.threshold.rate_high", ["2"]),
    ("calibration.threshold.n_scans", ["0"]),
    ("calibration.pixel_threshold.value", ["1e999", "NaN"]),
    ("calibration.n_scans", ["0", "-3"]),
    ("calibration.coreset_ratio", ["0", "2", "1e999"]),
    ("calibration.projection_eps", ["0", "-1"]),
    ("calibration.n_neighbors", ["0"]),
    ("calibration.nu", ["0", "1.5"]),
    ("calibration.svm_iterations", ["0"]),
    ("banks.main.feature_mean", ["1e999", "NaN"]),
    ("banks.main.feature_std", ["0", "-1", "1e999", "NaN"]),
    ("banks.main.n_rows", ["0"]),
    ("training_statistics.pc.mean", ["1e999"]),
    ("training_statistics.pc.std", ["0", "-0.5", "1e999"]),
]


def sealed(text):
    """Manifest bytes with the right digest over whatever is in them."""
    blank = text.replace(json.loads(encode(MANIFEST))["digest"], "0" * 64)
    return blank.replace("0" * 64, hashlib.sha256(blank.encode()).hexdigest(), 1).encode()


def with_number(path, number):
    """The manifest's JSON with a literal in place of one number."""
    data = json.loads(encode(MANIFEST))
    *parents, name = path.split(".")
    place = data
    for parent in parents:
        place = place[parent]
    place[name] = "@"
    return sealed(json.dumps(data).replace('"@"', number))


@pytest.mark.parametrize(
    ("path", "number"), [(path, number) for path, numbers in NUMBERS for number in numbers], ids=str
)
def test_a_number_that_nothing_can_mean_is_refused(path, number):
    with pytest.raises(BundleError) as error:
        decode(with_number(path, number), "b")
    if number not in ("NaN", "Infinity"):
        assert path.split(".")[0] in str(error.value) and "\n" not in str(error.value)


def test_the_helper_alone_changes_nothing():
    assert decode(with_number("calibration.nu", "0.5"), "b").calibration == CALIBRATION


@given(st.floats(), st.floats())
def test_no_threshold_or_bank_holds_what_is_not_finite(value, std):
    for wrong, make in (
        (not np.isfinite(value), lambda: msgspec.structs.replace(THRESHOLD, value=value)),
        (not (np.isfinite(std) and std > 0), lambda: msgspec.structs.replace(BANK, feature_std=std)),
        (not (np.isfinite(value) and np.isfinite(std) and std > 0), lambda: Statistics(mean=value, std=std)),
    ):
        if wrong:
            with pytest.raises(ValueError, match=r"is .*: must be"):
                make()
        else:
            make()


def bundle_of(manifest):
    return Bundle("part.cmdiad", manifest, MemoryStore({}))


def test_version_1_is_read_and_keeps_its_version():
    before = msgspec.structs.replace(MANIFEST, format_version=1)
    assert decode(encode(before), "b").format_version == 1
    assert manifest_format.FORMAT_VERSION == 2


@pytest.mark.parametrize(
    ("values", "version"),
    [({}, 2), ({"parts": "all"}, 3), ({"roi": RegionOfInterest(row=0, column=0, height=4, width=5)}, 3)],
)
def test_what_an_earlier_runtime_would_not_know_of_raises_the_version(values, version):
    preprocessing = msgspec.structs.replace(MANIFEST.preprocessing, **values)
    read = decode(encode(msgspec.structs.replace(MANIFEST, preprocessing=preprocessing)), "b")
    assert read.format_version == version and read.preprocessing == preprocessing


@pytest.mark.parametrize("values", [{"score": "map"}, {"neighborhood": 3}])
def test_a_comparison_that_an_earlier_runtime_would_not_know_of_raises_the_version(values):
    other = msgspec.structs.replace(CALIBRATION, **values)
    read = decode(encode(msgspec.structs.replace(MANIFEST, calibration=other)), "b")
    assert read.format_version == 3 and read.calibration == other


def test_a_calibration_of_version_1_is_refused_in_plain_words():
    before = bundle_of(msgspec.structs.replace(MANIFEST, format_version=1))
    with pytest.raises(BundleError, match=r"earlier version.*cmdiad calibrate SCANS --bundle part\.cmdiad --force"):
        require_calibration(before)
    assert require_calibration(bundle_of(MANIFEST)) == CALIBRATION
    for version in (1, 2):
        uncalibrated = msgspec.structs.replace(MANIFEST, format_version=version, calibration=None)
        with pytest.raises(BundleError, match="is not calibrated"):
            require_calibration(bundle_of(uncalibrated))


def test_what_a_manifest_leaves_out_keeps_its_meaning():
    # Manifests do not say these where they are the default: another default would change what old bundles mean.
    nothing = ("intrinsics", "height_grid", "depth_scale", "near_m", "far_m", "grid", "projection", "topic", "message")
    assert msgspec.structs.asdict(AS_STORED) == {**dict.fromkeys(nothing), "axes": "x,y,z", "missing": ()}
    region = msgspec.structs.asdict(RegionOfInterest(row=0, column=0, height=4, width=5))
    assert (region["scan"], region["runs"]) == (None, ())
    written = json.loads(encode(MANIFEST))
    assert written["preprocessing"]["geometry"] == {}
    # All others are written, whatever they are.
    known = {name for name in Preprocessing.__struct_fields__ if name != "geometry"}
    assert known <= written["preprocessing"].keys()
    assert set(Calibration.__struct_fields__) <= written["calibration"].keys()


def test_a_key_that_a_later_version_wrote_is_passed_over_at_the_top_of_a_manifest():
    content = {**json.loads(encode(MANIFEST)), "of_a_later_version": 1, "digest": "0" * 64}
    blank = json.dumps(content).encode()
    raw = blank.replace(b"0" * 64, hashlib.sha256(blank).hexdigest().encode(), 1)
    assert decode(raw, "b").calibration == CALIBRATION
