"""A device groups one part as NumPy does, and gives what NumPy gives."""

import threading

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.errors import EngineError, ScanError
from cmdiad.runtime.patches.gpu.device_grouper import DeviceGrouper
from cmdiad.runtime.patches.grouped import group_on_cpu, group_part
from cmdiad.runtime.preparation.frame import Frame
from cmdiad.runtime.preparation.prepare import PreparedScan
from cmdiad.tests.runtime.engines.cuda_on_cpu.device import CudaOnCpu, needs_compiler

pytestmark = needs_compiler
GROUPING = Grouping(n_groups=32, group_size=16)


def scan_of(seed, radius=20):
    rng = np.random.default_rng(seed)
    rows, columns = np.indices((224, 224))
    valid = np.hypot(rows - rng.uniform(60, 160), columns - rng.uniform(60, 160)) < radius
    points = np.stack([columns * 1e-3, rows * 1e-3, 0.5 + 0.01 * np.sin(rows / 9)], axis=2).astype(np.float32)
    points[~valid] = 0
    return PreparedScan(points, valid, valid, Frame(224, 224, 224, 224))


def assert_same(made, expected):
    for name in ("center_idx", "centers", "groups"):
        assert getattr(made, name).dtype == getattr(expected, name).dtype
        np.testing.assert_array_equal(getattr(made, name), getattr(expected, name))
    assert made.pooling.shape == expected.pooling.shape and made.pooling.dtype == expected.pooling.dtype
    np.testing.assert_array_equal(np.diff(made.pooling.indptr) > 0, np.diff(expected.pooling.indptr) > 0)
    np.testing.assert_allclose(made.pooling.toarray(), expected.pooling.toarray(), rtol=0, atol=1e-6)


def test_a_scan_is_grouped_as_on_the_cpu(kernel_libraries):
    scan = scan_of(1)
    made = group_part(scan, GROUPING, DeviceGrouper(CudaOnCpu(kernel_libraries, "reverse")))
    assert_same(made, group_part(scan, GROUPING, group_on_cpu))


def test_parts_and_groupings_follow_each_other_and_earlier_ones_stay(kernel_libraries):
    device = CudaOnCpu(kernel_libraries)
    grouper = DeviceGrouper(device)
    asked = [(scan_of(1), GROUPING), (scan_of(2, 40), GROUPING), (scan_of(3, 9), Grouping(n_groups=9, group_size=5))]
    made = [group_part(*item, grouper) for item in asked]
    for grouped, item in zip(made, asked, strict=True):
        assert_same(grouped, group_part(*item))
    device.log.clear()
    group_part(*asked[0], grouper)
    assert not [what for what, _ in device.log if what in ("allocate", "pinned")]


def test_threads_take_turns(kernel_libraries):
    grouper, scans, made = DeviceGrouper(CudaOnCpu(kernel_libraries)), [scan_of(seed, 9) for seed in range(6)], {}

    def group(number):
        made[number] = group_part(scans[number], GROUPING, grouper)

    threads = [threading.Thread(target=group, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number, scan in enumerate(scans):
        assert_same(made[number], group_part(scan, GROUPING))


def test_too_few_points_are_a_scan_error(kernel_libraries):
    grouper = DeviceGrouper(CudaOnCpu(kernel_libraries))
    with pytest.raises(ScanError, match=r"a group needs 9999"):
        group_part(scan_of(1), Grouping(n_groups=2, group_size=9999), grouper)


@pytest.mark.parametrize("what", ["upload", "launch", "download", "synchronize"])
def test_a_device_that_fails_gives_no_groups(kernel_libraries, what):
    grouper = DeviceGrouper(CudaOnCpu(kernel_libraries, fails=(what, 2, EngineError("lost"))))
    with pytest.raises(EngineError, match="lost"):
        group_part(scan_of(1), GROUPING, grouper)
