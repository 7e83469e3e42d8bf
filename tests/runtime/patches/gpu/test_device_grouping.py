"""A device gives the groups of NumPy and SciPy: indices equal, coordinates to the bit, pooling to 1e-6.

Kernels run on the processor, threads in several orders (`tests/runtime/engines/cuda_on_cpu`).
"""

import numpy as np
import pytest
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.engines.device import Device
from cmdiad.runtime.errors import EngineError, ScanError
from cmdiad.runtime.patches.gpu.device_grouping import DeviceGrouping
from cmdiad.runtime.patches.gpu.packing import MOST_POINTS, PartPoints
from cmdiad.runtime.patches.grouping import farthest_points, nearest_points
from cmdiad.runtime.patches.pooling import SIZE, foreground_patches, pooling_matrix
from cmdiad.tests.runtime.engines.cuda_on_cpu.device import ORDERS, CudaOnCpu, needs_compiler
from hypothesis import given, settings
from hypothesis import strategies as st

pytestmark = needs_compiler
LAUNCHES = ["farthest_points", "nearest_members", "nearest_centers", "pooling_rows"]


def part_of(points, seed=None):
    """Points at pixels in a row, or anywhere in the map."""
    n = len(points)
    if seed is None:
        pixels = np.arange(n) + (0 if n > 40_000 else 5000)
    else:
        pixels = np.sort(np.random.default_rng(seed).choice(MOST_POINTS, n, replace=False))
    return PartPoints(np.ascontiguousarray(points, np.float32), pixels)


def patches_of(part, most=None):
    valid = np.zeros(SIZE * SIZE, bool)
    valid[part.pixels] = True
    return np.flatnonzero(foreground_patches(valid.reshape(SIZE, SIZE)))[:most].astype(np.int32)


def padded(rows):
    patches = np.full((len(rows), max(map(len, rows))), -1, np.int32)
    for row, places in zip(patches, rows, strict=True):
        row[: len(places)] = places
    return patches


def same_bits(made, expected):
    assert made.dtype == expected.dtype
    np.testing.assert_array_equal(made.view(np.int32), expected.view(np.int32))


def assert_equal_to_numpy(device, batch, parts, patches, grouping):
    n_groups, size = grouping.n_groups, grouping.group_size
    shape = (batch.n_parts, n_groups)
    assert (batch.n_parts, batch.n_patches) == patches.shape
    center_idx = device.read(batch.center_idx, shape, np.int32)
    centers = device.read(batch.centers, (*shape, 3), np.float32)
    members = device.read(batch.members, (*shape, size), np.int32)
    groups = device.read(batch.groups, (*shape, size, 3), np.float32)
    pooling = device.read(batch.pooling, (*patches.shape, n_groups), np.float32)
    for number, part in enumerate(parts):
        expected_idx = farthest_points(part.points, n_groups)
        np.testing.assert_array_equal(center_idx[number], expected_idx)
        expected_centers = part.points[expected_idx]
        same_bits(centers[number], expected_centers)
        _, expected_members = nearest_points(part.points, expected_centers, size)
        np.testing.assert_array_equal(members[number], expected_members)
        same_bits(groups[number], part.points[expected_members] - expected_centers[:, None])
        matrix = pooling_matrix(part.points, part.pixels, expected_centers).toarray()
        expected_rows = np.where(patches[number][:, None] < 0, 0, matrix[patches[number]])
        np.testing.assert_allclose(pooling[number], expected_rows, rtol=0, atol=1e-6)


def check(libraries, parts, grouping, order="forward", most=40, seed=1):
    device = CudaOnCpu(libraries, order, seed)
    patches = padded([patches_of(part, most) for part in parts])
    on_device = DeviceGrouping(device, grouping, batch=len(parts))
    on_device.load(parts)
    batch = on_device.run(patches)
    device.synchronize()
    assert_equal_to_numpy(device, batch, parts, patches, grouping)


def random_cloud(n, seed=0):
    return np.random.default_rng(seed).normal(size=(n, 3)).astype(np.float32)


def lattice(side, step, axes=3, seed=0):
    places = np.indices((side,) * axes).reshape(axes, -1).T
    points = np.pad(places, ((0, 0), (0, 3 - axes))).astype(np.float32) * np.float32(step)
    return np.random.default_rng(seed).permutation(points.astype(np.float32))


def surface(radius=30):
    """A wavy disk as a sensor sees it: a lattice that is bent."""
    rows, columns = np.indices((SIZE, SIZE))
    valid = np.hypot(rows - 112, columns - 112) < radius
    points = np.stack([columns * 1e-3, rows * 1e-3, 0.5 + 0.01 * np.sin(rows / 9)], axis=-1)[valid]
    return PartPoints(points.astype(np.float32), np.flatnonzero(valid))


def negative_zeros():
    points = np.random.default_rng(3).integers(-1, 2, (300, 3)).astype(np.float32)
    points[points == 0] *= np.where(np.random.default_rng(4).random((points == 0).sum()) < 0.5, -1, 1)
    return points


def sphere(n):
    """Points that are equally far from the first but for rounding, which single precision orders otherwise."""
    points = np.random.default_rng(8).normal(size=(n, 3))
    return np.vstack([np.zeros(3), points / np.linalg.norm(points, axis=1, keepdims=True)]).astype(np.float32)


CLOUDS = {
    "random": random_cloud(1500),
    "flat lattice": lattice(40, 0.1, axes=2),
    "lattice": lattice(11, 0.1),
    "lattice of exact steps": lattice(11, 0.25),
    "every point three times": np.random.default_rng(1).permutation(np.repeat(random_cloud(300), 3, axis=0)),
    "few places": np.random.default_rng(2).integers(0, 2, (1300, 3)).astype(np.float32),
    "all equal": np.full((1500, 3), 0.4, np.float32),
    "one apart": np.vstack([np.full((1400, 3), 0.4), [[0.5, 0.4, 0.4]]]).astype(np.float32),
    "as many as a group": random_cloud(128),
    "one more than a group": random_cloud(129),
    "a block": random_cloud(1024),
    "one more than a block": random_cloud(1025),
    "negative zero": negative_zeros(),
    "far from the origin": random_cloud(700) * np.float32(1e-3) + np.float32(1000),
    "tiny": random_cloud(300) * np.float32(1e-22),
    "huge": random_cloud(300) * np.float32(1e15),
    "squares beyond single precision": random_cloud(300) * np.float32(1e22),
    "sphere": sphere(900),
    "sphere of more than there is room for": sphere(1200),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("name", CLOUDS)
def test_groups_and_pooling_are_those_of_numpy(kernel_libraries, name, order):
    with np.errstate(over="ignore"):
        check(kernel_libraries, [part_of(CLOUDS[name], seed=7)], Grouping(n_groups=24, group_size=128), order)


@pytest.mark.parametrize("order", ORDERS)
def test_a_scan_is_grouped_as_ever(kernel_libraries, order):
    check(kernel_libraries, [surface()], Grouping(n_groups=128, group_size=128), order, most=None)


@pytest.mark.parametrize(("n_groups", "group_size"), [(1, 1), (2, 5), (3, 40), (700, 4), (9, 1000), (3, 1100)], ids=str)
def test_any_grouping_of_the_manifest_is_done(kernel_libraries, n_groups, group_size):
    points = lattice(11, 0.1)[: 600 if n_groups == 700 else 1331]
    check(kernel_libraries, [part_of(points)], Grouping(n_groups=n_groups, group_size=group_size), "reverse")


@pytest.mark.parametrize("n", [17 * 1024, 17 * 1024 + 1, MOST_POINTS], ids=str)
def test_large_parts_are_grouped(kernel_libraries, n):
    check(kernel_libraries, [part_of(random_cloud(n))], Grouping(n_groups=6, group_size=128), "shuffled")


def test_the_largest_part_of_equal_points_is_grouped(kernel_libraries):
    points = np.full((MOST_POINTS, 3), 0.4, np.float32)
    check(kernel_libraries, [part_of(points)], Grouping(n_groups=3, group_size=128), "reverse")


@pytest.mark.parametrize("order", ORDERS)
def test_parts_of_different_sizes_share_a_batch(kernel_libraries, order):
    parts = [part_of(random_cloud(n, seed=n), seed=n) for n in (300, 64, 1100)]
    check(kernel_libraries, [*parts, surface(radius=9)], Grouping(n_groups=16, group_size=32), order)


@settings(deadline=None, max_examples=40)
@given(
    st.integers(20, 400),
    st.integers(1, 40),
    st.integers(1, 20),
    st.integers(1, 12),
    st.floats(1e-4, 1),
    st.integers(0, 2**32 - 1),
)
def test_ties_are_broken_as_numpy_does(kernel_libraries, n, n_groups, group_size, places, step, seed):
    rng = np.random.default_rng(seed)
    points = (rng.integers(0, places, (n, 3)) * np.float32(step)).astype(np.float32)
    grouping = Grouping(n_groups=n_groups, group_size=group_size)
    check(kernel_libraries, [part_of(points, seed)], grouping, ORDERS[seed % 3], most=20, seed=seed)


class TestQueue:
    """What is queued on the device, in which order, and how often memory is asked for."""

    grouping = Grouping(n_groups=4, group_size=8)

    def opened(self, libraries, batch=2, fails=None):
        device = CudaOnCpu(libraries, fails=fails)
        return device, DeviceGrouping(device, self.grouping, batch)

    def batch(self, *sizes, most=6):
        parts = [part_of(random_cloud(n, seed=n), seed=n) for n in sizes]
        return parts, padded([patches_of(part, most) for part in parts])

    def test_the_double_is_a_device(self, kernel_libraries):
        device: Device = CudaOnCpu(kernel_libraries)
        assert {name for name in vars(Device) if not name.startswith("_")} <= set(dir(device))

    def test_a_batch_is_two_copies_and_four_launches(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries)
        parts, patches = self.batch(50, 20, most=1)
        device.log.clear()
        on_device.load(parts)
        on_device.run(patches)
        uploads = [("upload", 4 * (2 * 2 + 4 * 70)), ("upload", patches.nbytes)]
        assert device.log == uploads + [("launch", name) for name in LAUNCHES]

    def test_memory_is_allocated_once(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries)
        on_device.load(self.batch(50, 20)[0])
        on_device.run(self.batch(50, 20)[1])
        device.log.clear()
        for sizes in ((30,), (90, 300), (8,)):
            parts, patches = self.batch(*sizes)
            on_device.load(parts)
            batch = on_device.run(patches)
            device.synchronize()
            assert_equal_to_numpy(device, batch, parts, patches, self.grouping)
        assert not [what for what, _ in device.log if what in ("allocate", "pinned")]

    def test_a_larger_batch_and_more_patches_get_more_memory(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries, batch=1)
        for sizes, most in (((50,), 2), ((50, 60, 70), 2), ((50, 60, 70), 9), ((50,), 9)):
            parts, patches = self.batch(*sizes, most=most)
            on_device.load(parts)
            batch = on_device.run(patches)
            device.synchronize()
            assert_equal_to_numpy(device, batch, parts, patches, self.grouping)
        # A batch of three, and two, six and twenty-seven patches.
        assert [what for what, _ in device.log].count("pinned") == 2 + 1 + 3
        # What was outgrown is free again.
        assert len(device.live) == 8 + 2 + 2

    def test_staging_is_overwritten_only_after_its_copy(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries)
        first, second = self.batch(50, 20), self.batch(40, 60)
        on_device.load(first[0])
        on_device.run(first[1])
        device.log.clear()
        on_device.load(second[0])
        batch = on_device.run(second[1])
        assert [what for what, _ in device.log[:2]] == ["synchronize", "upload"]
        assert [what for what, _ in device.log].count("synchronize") == 1
        device.synchronize()
        assert_equal_to_numpy(device, batch, *second, self.grouping)

    def test_other_patches_of_the_same_batch(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries)
        parts, patches = self.batch(50, 20)
        on_device.load(parts)
        on_device.run(patches)
        batch = on_device.run(patches[:, ::-1].copy())
        device.synchronize()
        assert_equal_to_numpy(device, batch, parts, patches[:, ::-1], self.grouping)

    def test_no_patch_is_no_row(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries)
        parts, _ = self.batch(50)
        on_device.load(parts)
        batch = on_device.run(np.empty((1, 0), np.int32))
        device.synchronize()
        assert_equal_to_numpy(device, batch, parts, np.empty((1, 0), np.int32), self.grouping)

    def test_too_few_points_are_a_scan_error_and_nothing_is_loaded(self, kernel_libraries):
        _, on_device = self.opened(kernel_libraries)
        parts, patches = self.batch(50, 7)
        with pytest.raises(ScanError, match=r"only 7 valid points.*needs 8"):
            on_device.load(parts)
        with pytest.raises(ValueError, match="load a batch"):
            on_device.run(patches)

    @pytest.mark.parametrize(
        "patches", [np.zeros((1, 2), np.int32), np.zeros((2, 2), np.int64), np.full((2, 2), 3136, np.int32)]
    )
    def test_patches_of_another_batch_are_refused(self, kernel_libraries, patches):
        _, on_device = self.opened(kernel_libraries)
        on_device.load(self.batch(50, 20)[0])
        with pytest.raises(ValueError, match="patches"):
            on_device.run(patches)

    @pytest.mark.parametrize("number", range(1, 13))
    def test_too_little_memory_is_told_wherever_it_ends(self, kernel_libraries, number):
        fails = ("allocate", number, EngineError("memory is full"))
        with pytest.raises(EngineError, match="memory is full"):
            self.opened(kernel_libraries, fails=fails)

    def test_a_batch_that_finds_no_memory_leaves_the_smaller_one_usable(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries, 1, ("allocate", 14, EngineError("memory is full")))
        with pytest.raises(EngineError, match="memory is full"):
            on_device.load(self.batch(50, 20, 30)[0])
        parts, patches = self.batch(50, most=1)
        on_device.load(parts)
        batch = on_device.run(patches)
        device.synchronize()
        assert_equal_to_numpy(device, batch, parts, patches, self.grouping)

    @pytest.mark.parametrize("number", range(1, 5))
    def test_a_kernel_that_is_refused_is_told(self, kernel_libraries, number):
        _, on_device = self.opened(kernel_libraries, fails=("launch", number, EngineError("refused")))
        parts, patches = self.batch(50)
        on_device.load(parts)
        with pytest.raises(EngineError, match="refused"):
            on_device.run(patches)

    def test_a_device_that_is_lost_in_the_middle_gives_nothing_more(self, kernel_libraries):
        device, on_device = self.opened(kernel_libraries, fails=("synchronize", 2, EngineError("lost")))
        parts, patches = self.batch(50)
        on_device.load(parts)
        on_device.run(patches)
        with pytest.raises(EngineError, match="lost"):
            device.synchronize()
        with pytest.raises(EngineError, match="lost"):
            on_device.load(parts)


@pytest.mark.parametrize(
    ("points", "pixels", "message"),
    [
        (np.zeros((2, 3)), [1, 2], "float32"),
        (np.zeros((2, 3), np.float32), [1, 2, 3], "with N pixels"),
        (np.zeros((2, 3), np.float32), [2, 1], "ascend"),
        (np.zeros((2, 3), np.float32), [2, 2], "ascend"),
        (np.zeros((2, 3), np.float32), [-1, 2], "ascend"),
        (np.zeros((2, 3), np.float32), [1, MOST_POINTS], "ascend"),
        (np.array([[0, 0, np.nan]], np.float32), [1], "finite"),
    ],
)
def test_what_kernels_would_read_wrongly_is_refused(points, pixels, message):
    with pytest.raises(ValueError, match=message):
        PartPoints(points, np.array(pixels))
