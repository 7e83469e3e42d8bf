"""ROS 1 bags and ROS 2 recordings in MCAP: one PointCloud2 of them is a scan. Needs `rosbags`, of the extra `ros`."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import islice
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from ...bundle.scan_geometry import AS_STORED, ScanGeometry
from ...errors import DamagedScanError, ScanError
from .format import Format, Stored
from .limits import check_count

_BAG, _MCAP = b"#ROSBAG V2.0", b"\x89MCAP0\r\n"
_CLOUD = "sensor_msgs/msg/PointCloud2"
# Of sensor_msgs/PointField; others are not numbers.
_DATATYPES = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 8: "f8"}
_MOST_NAMED = 5


@dataclass(frozen=True)
class _FileInMemory:
    """What rosbags asks of a path, answered by a file's content."""

    data: bytes
    suffix: str
    stem: str = "recording"

    def exists(self) -> bool:
        return True

    def is_dir(self) -> bool:
        return False

    def open(self, *_: Any, **__: Any) -> io.BytesIO:
        return io.BytesIO(self.data)


def is_bag(data: bytes) -> bool:
    """Whether the content is a ROS 1 bag."""
    return data.startswith(_BAG)


def is_mcap(data: bytes) -> bool:
    """Whether the content is MCAP."""
    return data.startswith(_MCAP)


def read_recording(data: bytes, geometry: ScanGeometry = AS_STORED) -> Stored:
    """Read the cloud that a recording holds: (H, W, 3), or (N, 3) if its height is 1.

    Args:
        data: the file.
        geometry: its `topic` and `message` choose a cloud where there are several.

    Raises:
        ScanError: `rosbags` is not installed, the file is damaged, or holds no cloud, or several of which none is
            chosen.
    """
    if find_spec("rosbags") is None:
        raise ScanError("is a ROS recording, which the package rosbags reads: pip install 'cmdiad[ros]'")
    try:
        with _opened(data) as recording:
            clouds = _of_topic([entry for entry in recording.connections if entry.msgtype == _CLOUD], geometry.topic)
            count = sum(entry.msgcount for entry in clouds)
            number = _message(count, clouds[0].topic, geometry.message)
            message = next(islice(_messages(recording, clouds), number, None))
            return Stored(points_of(message))
    except (ScanError, MemoryError):
        raise
    except Exception as error:  # what is damaged makes rosbags raise nearly anything
        raise DamagedScanError(f"is a damaged or truncated ROS recording ({error}): record or copy it again") from error


def points_of(message: Any) -> npt.NDArray[Any]:
    """The points of a PointCloud2, whatever its fields' order, types and padding: (H, W, 3), or (N, 3) of height 1.

    Raises:
        ScanError: it has no x, y and z, or its sizes contradict its data.
    """
    height, width, order = int(message.height), int(message.width), ">" if message.is_bigendian else "<"
    check_count(height * width)
    fields = {field.name: field for field in message.fields}
    missing = [name for name in "xyz" if name not in fields or fields[name].datatype not in _DATATYPES]
    if missing:
        raise ScanError(f"has points without {missing[0]}: record x, y and z of every point")
    layout = np.dtype(
        {
            "names": list("xyz"),
            "formats": [order + _DATATYPES[fields[name].datatype] for name in "xyz"],
            "offsets": [int(fields[name].offset) for name in "xyz"],
        }
    )
    step, row, data = int(message.point_step), int(message.row_step), np.ascontiguousarray(message.data)
    inside = layout.itemsize <= step and width * step <= row and (height - 1) * row + width * step <= data.nbytes
    if not inside:
        raise ScanError(f"has a damaged cloud: {height} x {width} points do not fit into {data.nbytes} bytes")
    records: npt.NDArray[Any] = np.ndarray((height, width), layout, data.data, strides=(row, step))
    points = np.stack([records[name] for name in "xyz"], axis=-1)
    return points if height > 1 and width > 1 else points.reshape(-1, 3)


def _opened(data: bytes) -> AbstractContextManager[Any]:
    from rosbags.rosbag1 import Reader as BagReader
    from rosbags.rosbag2 import Reader as McapReader

    opens: Any = BagReader if is_bag(data) else McapReader
    return cast(AbstractContextManager[Any], opens(_FileInMemory(data, ".bag" if is_bag(data) else ".mcap")))


def _messages(recording: Any, clouds: list[Any]) -> Iterator[Any]:
    from rosbags.rosbag1 import Reader as BagReader
    from rosbags.typesys import Stores, get_typestore

    is_ros1 = isinstance(recording, BagReader)
    types = get_typestore(Stores.ROS1_NOETIC if is_ros1 else Stores.ROS2_HUMBLE)
    decode = types.deserialize_ros1 if is_ros1 else types.deserialize_cdr
    for _, _, content in recording.messages(connections=clouds):
        yield decode(content, _CLOUD)


def _of_topic(clouds: list[Any], topic: str | None) -> list[Any]:
    """The connections of the one topic that is meant."""
    topics = sorted({entry.topic for entry in clouds})
    if not topics:
        raise ScanError("is a ROS recording without a PointCloud2: record the topic of the sensor's points")
    listed = ", ".join(topics[:_MOST_NAMED]) + ", ..." * (len(topics) > _MOST_NAMED)
    if topic is not None and topic not in topics:
        raise ScanError(f"has no clouds in the topic {topic}, but in {listed}: set geometry.topic")
    if topic is None and len(topics) > 1:
        raise ScanError(f"has clouds in several topics, {listed}: choose one with --set geometry.topic={topics[0]}")
    return [entry for entry in clouds if entry.topic == (topic or topics[0])]


def _message(count: int, topic: str, wanted: int | None) -> int:
    """Which of a topic's clouds is meant, from 0."""
    if count == 0:
        raise ScanError(f"has no cloud in its topic {topic}: record it again")
    if wanted is None and count > 1:
        raise ScanError(
            f"has {count} clouds in {topic}, but a scan is one: choose it, from 0 to {count - 1}, with "
            "--set geometry.message=0, or record one part per file"
        )
    if wanted is not None and wanted >= count:
        raise ScanError(f"has {count} clouds in {topic}, and geometry.message is {wanted}: the last is {count - 1}")
    return wanted or 0


FORMATS = (Format("MCAP", (".mcap",), is_mcap, read_recording), Format("ROS bag", (".bag",), is_bag, read_recording))
