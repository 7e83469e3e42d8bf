"""A sensor: lengths that follow the pixel pitch, pitches that cannot be, and its way through a manifest."""

from __future__ import annotations

import msgspec
import pytest
from cmdiad.runtime.bundle import manifest as manifest_format
from cmdiad.runtime.bundle.parameters import PRESET_PITCH_M, PRESETS, Sensor
from cmdiad.runtime.bundle.sensor_description import (
    DERIVED,
    UNNAMED,
    SensorIdentity,
    complete_preprocessing,
    derived_lengths,
)

from .manifests import least_manifest


@pytest.mark.parametrize("preset", PRESETS)
def test_at_the_presets_own_pitch_lengths_are_the_presets(preset: Sensor) -> None:
    lengths = derived_lengths(preset, PRESET_PITCH_M[preset])
    assert lengths == {name: getattr(PRESETS[preset], name) for name in DERIVED}


@pytest.mark.parametrize("preset", PRESETS)
def test_every_presets_clusters_bridge_ten_pixels(preset: Sensor) -> None:
    assert PRESETS[preset].cluster_distance_m == pytest.approx(10 * PRESET_PITCH_M[preset])


def test_lengths_that_nobody_gave_follow_the_pitch_and_are_recorded() -> None:
    values, derived = complete_preprocessing("structured-light", {"plane_distance_m": 0.001}, 0.001, 1.2e-3)
    assert values["cluster_distance_m"] == 0.012 and values["ransac_threshold_m"] == 0.008
    assert values["plane_distance_m"] == 0.001 and values["metres_per_unit"] == 0.001
    assert derived == ("ransac_threshold_m", "cluster_distance_m")


def test_without_a_pitch_nothing_is_derived() -> None:
    values, derived = complete_preprocessing("kinect", {}, None, None)
    assert derived == () and values == msgspec.structs.asdict(PRESETS["kinect"])


@pytest.mark.parametrize(
    ("pitch", "words"),
    [(0.6, "in millimeters it would be 0.0006"), (300.0, "in micrometers it would be 0.0003"), (1e-9, "must be from")],
)
def test_a_pitch_that_no_sensor_has_is_refused_with_the_one_that_was_meant(pitch: float, words: str) -> None:
    with pytest.raises(ValueError, match=f"pixel_pitch_m is .*{words}"):
        SensorIdentity(pixel_pitch_m=pitch)


@pytest.mark.parametrize("name", ["a" * 101, "a\nb", "\x1b[31m"])
def test_a_name_that_cannot_be_printed_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="printable"):
        SensorIdentity(name=name)


def test_the_sensor_travels_in_the_manifest() -> None:
    sensor = SensorIdentity(name="cell 3", preset="kinect", pixel_pitch_m=0.001, derived=DERIVED)
    manifest = msgspec.structs.replace(least_manifest(), sensor=sensor)
    read = manifest_format.decode(manifest_format.encode(manifest), "bundle")
    assert read.sensor == sensor and read.description.preprocessing == manifest.preprocessing


def test_a_manifest_without_a_sensor_is_read() -> None:
    raw = msgspec.json.decode(manifest_format.encode(least_manifest()))
    del raw["sensor"]
    assert msgspec.convert(raw, manifest_format.Manifest).sensor == UNNAMED
