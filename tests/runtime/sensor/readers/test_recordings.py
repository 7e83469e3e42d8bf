"""PointCloud2 of ROS 1 bags and MCAP: which one is meant, its layout, and what is refused."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from cmdiad.runtime.bundle.scan_geometry import ScanGeometry
from cmdiad.runtime.errors import ScanError
from cmdiad.runtime.sensor.readers import decode_scan, recordings
from cmdiad.runtime.sensor.readers.recordings import points_of
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

CLOUD = "sensor_msgs/msg/PointCloud2"
POINTS = np.random.default_rng(2).normal(size=(4, 5, 3)).astype(np.float32)
KINDS = pytest.mark.parametrize("kind", ["bag", "mcap"])


def message(points: np.ndarray, types: Any, order: str = "<", padding: int = 4) -> Any:
    """A PointCloud2 of float32 with bytes behind every point and every row."""
    known = types.types
    height, width = points.shape[:2]
    step = 12 + padding
    records = np.zeros((height, width, step), np.uint8)
    records[..., :12] = points.astype(f"{order}f4").view(np.uint8).reshape(height, width, 12)
    rows = np.concatenate([records.reshape(height, -1), np.zeros((height, 8), np.uint8)], axis=1)
    field = known["sensor_msgs/msg/PointField"]
    seq = {"seq": 0} if "seq" in known["std_msgs/msg/Header"].__dataclass_fields__ else {}
    stamp = known["builtin_interfaces/msg/Time"](sec=0, nanosec=0)
    return known[CLOUD](
        header=known["std_msgs/msg/Header"](**seq, stamp=stamp, frame_id=""),
        height=height,
        width=width,
        fields=[field(name=name, offset=4 * axis, datatype=7, count=1) for axis, name in enumerate("xyz")],
        is_bigendian=order == ">",
        point_step=step,
        row_step=rows.shape[1],
        data=rows.reshape(-1),
        is_dense=True,
    )


def record(folder: Path, kind: str, clouds: list[tuple[str, np.ndarray]], **layout: Any) -> bytes:
    """A recording of clouds in topics; where there is none, of a text."""
    pytest.importorskip("rosbags")
    from rosbags.rosbag1 import Writer as BagWriter
    from rosbags.rosbag2 import StoragePlugin
    from rosbags.rosbag2 import Writer as McapWriter
    from rosbags.typesys import Stores, get_typestore

    types = get_typestore(Stores.ROS1_NOETIC if kind == "bag" else Stores.ROS2_HUMBLE)
    encode = types.serialize_ros1 if kind == "bag" else types.serialize_cdr
    place = folder / "one.bag"
    writer: Any = BagWriter(place) if kind == "bag" else McapWriter(place, version=9, storage_plugin=StoragePlugin.MCAP)
    with writer:
        said = writer.add_connection("/said", "std_msgs/msg/String", typestore=types)
        text = types.types["std_msgs/msg/String"](data="hello")
        writer.write(said, 0, bytes(encode(text, "std_msgs/msg/String")))
        topics = {topic: writer.add_connection(topic, CLOUD, typestore=types) for topic in dict(clouds)}
        for number, (topic, points) in enumerate(clouds):
            writer.write(topics[topic], number, bytes(encode(message(points, types, **layout), CLOUD)))
    return place.read_bytes() if kind == "bag" else next(place.glob("*.mcap")).read_bytes()


@KINDS
@pytest.mark.parametrize("order", ["<", ">"], ids=["little endian", "big endian"])
def test_the_only_cloud_is_the_scan(kind: str, order: str, tmp_path: Path) -> None:
    stored = decode_scan(record(tmp_path, kind, [("/points", POINTS)], order=order))
    np.testing.assert_array_equal(stored.numbers, POINTS)


@KINDS
def test_one_of_several_is_chosen_by_topic_and_message(kind: str, tmp_path: Path) -> None:
    clouds = [("/left", POINTS), ("/right", POINTS + 1), ("/right", POINTS + 2)]
    data = record(tmp_path, kind, clouds)
    with pytest.raises(ScanError, match=r"topics, /left, /right: choose one with --set geometry.topic=/left"):
        decode_scan(data)
    with pytest.raises(ScanError, match=r"has 2 clouds in /right.*from 0 to 1, with --set geometry.message=0"):
        decode_scan(data, ScanGeometry(topic="/right"))
    with pytest.raises(ScanError, match=r"has no clouds in the topic /top, but in /left, /right"):
        decode_scan(data, ScanGeometry(topic="/top"))
    with pytest.raises(ScanError, match=r"geometry.message is 2: the last is 1"):
        decode_scan(data, ScanGeometry(topic="/right", message=2))
    last = decode_scan(data, ScanGeometry(topic="/right", message=1)).numbers
    np.testing.assert_array_equal(last, POINTS + 2)


@KINDS
def test_a_recording_without_a_cloud_says_so(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ScanError, match="without a PointCloud2"):
        decode_scan(record(tmp_path, kind, []))


@KINDS
def test_a_cloud_of_height_1_is_points_in_no_order(kind: str, tmp_path: Path) -> None:
    row = POINTS.reshape(1, -1, 3)
    assert decode_scan(record(tmp_path, kind, [("/points", row)])).is_unorganized


@KINDS
def test_without_rosbags_the_package_is_named(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recordings, "find_spec", lambda _: None)
    start = b"#ROSBAG V2.0\n" if kind == "bag" else b"\x89MCAP0\r\n"
    with pytest.raises(ScanError, match=r"pip install 'cmdiad\[ros\]'"):
        decode_scan(start)


def test_a_recording_in_sqlite_is_refused_with_the_way_out() -> None:
    with pytest.raises(ScanError, match="ros2 bag convert"):
        decode_scan(b"SQLite format 3\0" + b"\0" * 100)


@KINDS
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_damage_is_read_or_refused(kind: str, tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    whole = _whole(kind, tmp_path_factory)
    place = data.draw(st.integers(0, len(whole) - 1))
    damage = data.draw(st.binary(min_size=1, max_size=6))
    for content in (whole[:place], whole[:place] + damage + whole[place + len(damage) :]):
        try:
            decode_scan(content)
        except ScanError as error:
            assert str(error)


_WHOLE: dict[str, bytes] = {}


def _whole(kind: str, factory: pytest.TempPathFactory) -> bytes:
    if kind not in _WHOLE:
        _WHOLE[kind] = record(factory.mktemp("whole"), kind, [("/points", POINTS)])
    return _WHOLE[kind]


def cloud(**changes: Any) -> SimpleNamespace:
    fields = [SimpleNamespace(name=name, offset=4 * axis, datatype=7) for axis, name in enumerate("xyz")]
    usual = {"height": 4, "width": 5, "fields": fields, "is_bigendian": False, "point_step": 12, "row_step": 60}
    return SimpleNamespace(**{**usual, "data": POINTS.reshape(-1).view(np.uint8), **changes})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"height": 5}, "do not fit into 240 bytes"),
        ({"row_step": 59}, "do not fit"),
        ({"point_step": 8}, "do not fit"),
        ({"height": 2**31, "width": 2**31}, "declares"),
        ({"height": 0}, "declares 0 points"),
        ({"fields": cloud().fields[:2]}, "without z"),
        ({"fields": [*cloud().fields[:2], SimpleNamespace(name="z", offset=8, datatype=99)]}, "without z"),
        ({"fields": [*cloud().fields[:2], SimpleNamespace(name="z", offset=9, datatype=7)]}, "do not fit"),
    ],
)
def test_a_cloud_whose_sizes_contradict_each_other_is_refused(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ScanError, match=says):
        points_of(cloud(**changes))


def test_fields_may_be_of_any_number_and_in_any_place() -> None:
    layout = np.dtype(
        {"names": ["z", "x", "y"], "formats": ["<i2", "<f8", "<f4"], "offsets": [1, 3, 20], "itemsize": 30}
    )
    records = np.zeros((4, 5), layout)
    for axis, name in enumerate("xyz"):
        records[name] = np.arange(20).reshape(4, 5) * (axis + 1)
    kinds = {"x": 8, "y": 7, "z": 3}
    fields = [SimpleNamespace(name=name, offset=layout.fields[name][1], datatype=kinds[name]) for name in "zxy"]
    content = np.frombuffer(records.tobytes(), np.uint8)
    read = points_of(cloud(fields=fields, point_step=30, row_step=150, data=content))
    np.testing.assert_array_equal(read, np.arange(20).reshape(4, 5, 1) * [1, 2, 3])
