"""What is compared with NumPy on a device would be found, were it different."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from cmdiad.benchmarks.gpu.device_checks import RowCounts, count_rows, differences_of_groups, hard_clouds
from cmdiad.benchmarks.gpu.stage_events import EventedDevice, StageEvents
from cmdiad.runtime.banks.bank import build_bank
from cmdiad.runtime.bundle.parameters import Grouping
from cmdiad.runtime.patches.gpu.packing import PartPoints
from cmdiad.runtime.patches.grouped import group_on_cpu
from cmdiad.runtime.threads import SearchThreads
from cmdiad.runtime.verdict.decision import Decision, NormalizedBank

ROLES = ("main", "hallucinated")


@pytest.fixture(scope="module")
def clouds():
    return {cloud.name: cloud for cloud in hard_clouds()}


def test_hard_clouds_are_what_kernels_take(clouds):
    assert {len(PartPoints(cloud.points, cloud.pixels).points) for cloud in clouds.values()} >= {128, 50176}
    twice = clouds["duplicates"].points
    assert len(np.unique(twice, axis=0)) * 8 == len(twice)


def test_each_difference_of_groups_counts(clouds):
    cloud = clouds["128 points"]
    made = group_on_cpu(cloud.points, cloud.pixels, Grouping(n_groups=16, group_size=8), threads=1)
    assert differences_of_groups(made, made) == 0
    groups, center_idx, pooling = made.groups.copy(), made.center_idx.copy(), made.pooling.copy()
    groups[0, 0, 0] += 1
    center_idx[:2] += 1
    assert differences_of_groups(replace(made, groups=groups, center_idx=center_idx), made) == 3
    pooling.data[:3] += np.float32(2e-6), np.float32(1e-8), np.float32(np.nan)
    assert differences_of_groups(replace(made, pooling=pooling), made) == 2


def test_wrong_rows_count_unless_they_are_marked():
    rng = np.random.default_rng(0)
    bank = build_bank(rng.standard_normal((40, 6)).astype(np.float32))
    normalized, threads = NormalizedBank(bank, 0.0, 1.0), SearchThreads(1)
    decision = Decision(normalized, normalized, None, threads)
    patches, queries = np.array([3, 9, 3000]), rng.standard_normal((3, 6)).astype(np.float32)
    index = np.full(3136, -1, np.int32)
    index[patches] = bank.search_prepared(queries).index
    padded = np.concatenate([queries, np.zeros((5, 6), np.float32)])
    again = np.zeros(8, np.int32)
    outputs = {
        f"{name}_{role}": value.copy()
        for role in ROLES
        for name, value in (("queries", padded), ("again", again), ("index", index))
    }
    assert count_rows(decision, patches, outputs) == RowCounts(6, 0, 0, 0)
    outputs["index_main"][patches] += 1
    outputs["again_main"][:2] = 1, 2
    assert count_rows(decision, patches, outputs) == RowCounts(6, wrong=1, again=2, out_of_bound=1)
    threads.close()


def test_events_of_a_stage_are_summed_and_begin_anew():
    now = [0.0]

    def record():
        at = now[0]
        return SimpleNamespace(at=at, elapsed_time=lambda end: end.at - at)

    def copied(*_):
        now[0] += 2.0

    def launched(*_):
        now[0] += 5.0

    events = StageEvents(record)
    device = EventedDevice(SimpleNamespace(upload=copied, download=copied, launch=launched), events)
    device.upload(np.zeros(1), None)
    device.upload(np.zeros(1), None)
    now[0] += 1.0
    device.launch(SimpleNamespace(function="farthest_points"), (1, 1), [])
    device.download(None, np.zeros(1))
    assert events.taken() == {"copies up": 4.0, "farthest_points": 5.0, "copies down": 2.0, "all": 12.0}
    assert events.taken() == {}
