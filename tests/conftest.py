"""What several test folders share: small real-size data, and one run and bundle made from it."""

from __future__ import annotations

import gc
import os
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cmdiad.runtime.engines.onnxruntime_import import switch_telemetry_off
from cmdiad.runtime.threads import processor_share, usable_processors
from filelock import FileLock

# Tests import ONNX Runtime by themselves too.
switch_telemetry_off()

LONGEST_NAME = 200
SHARED_DATA = Path(__file__).resolve().parent.parent.parent / "shared" / "data"
CLASS_NAME = "gland"


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Bytes, paths and long texts are called by their parameter: a test has the same plain name wherever it runs.

    Archives hold the time of day, and `pytest -n` refuses to start where its workers name tests differently.
    """
    is_plain = not isinstance(val, str) or (
        len(val) <= 80 and val.isascii() and val.isprintable() and "\\" not in val and not val.startswith("/")
    )
    return argname if isinstance(val, bytes | Path) or not is_plain else None


def pytest_configure(config: pytest.Config) -> None:
    """`pytest -n --dist loadscope` takes modules in the order below, not those of the fewest tests last."""
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


def pytest_collection_finish() -> None:
    """Modules and tests stay: the garbage collector need not go through them again and again."""
    gc.collect()
    gc.freeze()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse names that the rule above does not reach; modules with the most slow tests come first.

    A long module that begins last has a worker for itself, and the others have nothing to do.
    """
    for item in items:
        if len(item.nodeid) > LONGEST_NAME or "\\" in item.nodeid or not item.nodeid.isprintable():
            raise pytest.UsageError(f"{item.nodeid!r}: give this test a plain name: pytest.param(..., id=...)")
    slow = Counter(item.path for item in items if item.get_closest_marker("slow"))
    items.sort(key=lambda item: -slow[item.path])


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real scans beside the repository; tests that need them skip where they are not."""
    if not SHARED_DATA.is_dir():
        pytest.skip("../shared/data with real scans is not here")
    return SHARED_DATA


def made_once(tmp_path_factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """What `make` writes to a path in a folder of its own: once for all workers of `pytest -n`, which only read it."""
    folder = _shared_folder(tmp_path_factory) / name
    folder.mkdir(parents=True, exist_ok=True)
    made, done = folder / name, folder / "done"
    with FileLock(folder / "lock"):
        if not done.exists():
            make(made)
            done.touch()
    return made


@pytest.fixture(scope="session", autouse=True)
def _users_cache(tmp_path_factory: pytest.TempPathFactory) -> None:
    """All workers and the commands that they start share one cache, which is not the user's."""
    os.environ["XDG_CACHE_HOME"] = str(_shared_folder(tmp_path_factory) / "cache")


@pytest.fixture(scope="session", autouse=True)
def _a_share_of_the_processors() -> Iterator[None]:
    """Workers run side by side, so that more threads in each only wait for each other, and spin."""
    with processor_share(max(1, usable_processors() // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))):
        yield


def _shared_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a test run that all its workers know."""
    temporary = tmp_path_factory.getbasetemp()
    return (temporary.parent if "PYTEST_XDIST_WORKER" in os.environ else temporary) / "shared"


@pytest.fixture(scope="session")
def synth_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small synthetic dataset of one class."""
    from cmdiad.training.synth.synthesis import write_dataset

    sizes = {"train": 5, "validation": 1, "test_good": 2, "per_defect": 1, "size": 200, "difficulty": "hard"}
    return made_once(tmp_path_factory, "data", lambda root: write_dataset(root, classes=[CLASS_NAME], **sizes, seed=3))


@pytest.fixture(scope="session")
def recent_scans(synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The normal scans a little noisier, as of a sensor that has aged: other measurements of like parts."""
    return made_once(tmp_path_factory, "recent", lambda folder: _write_noisier(synth_data, folder))


def _write_noisier(data: Path, folder: Path) -> None:
    import numpy as np
    import tifffile

    folder.mkdir()
    rng = np.random.default_rng(0)
    for scan in sorted((data / CLASS_NAME / "train" / "good" / "xyz").glob("*.tiff")):
        points = tifffile.imread(scan)
        points[..., 2] += np.where(points[..., 2] != 0, rng.normal(0, 1e-5, points.shape[:2]), 0).astype(np.float32)
        tifffile.imwrite(folder / scan.name, points, photometric="rgb")


@pytest.fixture(scope="session")
def eyecandies_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One class in the layout of the Eyecandies download: boxes on a belt, seen by a camera that looks down at them."""
    return made_once(tmp_path_factory, "eyecandies", _write_eyecandies)


def _write_eyecandies(root: Path) -> None:
    parts: dict[str, dict[str, list[str]]] = {
        "train": {"000": [], "001": [], "002": []},
        "val": {"00": []},
        "test_public": {"00": [], "01": [], "02": ["bumps"], "03": ["dents"], "04": ["bumps", "colors"]},
    }
    for split, members in parts.items():
        for name, defects in members.items():
            _write_eyecandies_part(root / "Praline" / split / "data", name, defects)


def _write_eyecandies_part(folder: Path, name: str, defects: list[str]) -> None:
    """A box of 1 x 1 x 0.5 on the plane z = 0, in the dataset's units, with a bump where there is a defect."""
    import numpy as np
    from PIL import Image

    size, low, high = 160, 2.0, 6.0
    focal = 711.11 * size / 512
    tilt = np.deg2rad(25.0)
    # Rows are the camera's axes in the world: right, down, forward.
    turn = np.array([[1, 0, 0], [0, -np.cos(tilt), -np.sin(tilt)], [0, np.sin(tilt), -np.cos(tilt)]])
    place = np.array([0.0, -2.0, 4.0])
    pose = np.eye(4)
    pose[:3, :3], pose[:3, 3] = turn, -turn @ place
    rows, columns = np.mgrid[:size, :size].astype(float)
    rays = np.stack([(columns - size / 2) / focal, (rows - size / 2) / focal, np.ones_like(rows)], -1) @ turn

    def reached(level: float) -> np.ndarray:
        return (level - place[2]) / rays[..., 2]

    depth, inside = reached(0.0), np.zeros((size, size), bool)
    top_side = 0.5 + 0.03 * (int(name) % 3)
    levels = [(level, top_side) for level in np.linspace(0.0, 0.5, 40)]
    levels += [(level, 0.15) for level in np.linspace(0.5, 0.7, 20)] if defects else []
    marked = np.zeros_like(inside)
    for level, half in levels:
        hit = place + rays * reached(level)[..., None]
        here = (np.abs(hit[..., :2]) <= half).all(-1) & (reached(level) < depth)
        depth[here] = reached(level)[here]
        inside |= here
        marked |= here & (half == 0.15)
    folder.mkdir(parents=True, exist_ok=True)
    levels_16 = np.rint((depth - low) / (high - low) * 65535).astype(np.uint16)
    Image.fromarray(levels_16).save(folder / f"{name}_depth.png")
    (folder / f"{name}_info_depth.yaml").write_text(f"normalization:\n  max: {high}\n  min: {low}\n")
    np.savetxt(folder / f"{name}_pose.txt", pose)
    color = np.where(inside[..., None], [200, 120, 60], [90, 90, 95]).astype(np.uint8)
    for number in range(6):
        Image.fromarray(color).save(folder / f"{name}_image_{number}.png")
    for kind in ("bumps", "dents", "colors", "normals"):
        mask = marked if kind in defects else np.zeros_like(marked)
        Image.fromarray(mask.astype(np.uint8) * 255).save(folder / f"{name}_{kind}_mask.png")
    Image.fromarray(marked.astype(np.uint8) * 255).save(folder / f"{name}_mask.png")


@pytest.fixture(scope="session")
def trained_run(synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short F2F training run on it."""
    from cmdiad.training.train import TrainingSettings, train_route

    settings = TrainingSettings(epochs=3, batch_size=2, seed=1, threads=1)

    def train(folder: Path) -> None:
        train_route(synth_data, [], settings, folder, lambda *_: None, folder.parent / "feature_cache")

    return made_once(tmp_path_factory, "run", train)


@pytest.fixture(scope="session")
def exported_bundle(trained_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's F2F bundle, not calibrated."""
    from cmdiad.export.bundles import export_bundle

    return made_once(tmp_path_factory, "exported", lambda path: export_bundle(trained_run, "f2f", "pc", path))


@pytest.fixture(scope="session")
def route_bundle(
    trained_run: Path, exported_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], Path]:
    """route, main modality -> the run's bundle of that route, not calibrated; to be read only."""

    def exported(route: str, main: str) -> Path:
        from cmdiad.export.bundles import export_bundle

        if (route, main) == ("f2f", "pc"):
            return exported_bundle
        name = f"exported_{route}_{main}"
        return made_once(tmp_path_factory, name, lambda path: export_bundle(trained_run, route, main, path))

    return exported


@pytest.fixture(scope="session")
def calibrated_bundle(exported_bundle: Path, synth_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, calibrated on the normal training scans."""
    from cmdiad.calibration.calibrate import CalibrationSettings
    from cmdiad.calibration.calibrated_bundle import calibrate_bundle
    from cmdiad.runtime.bundle.reading import open_bundle
    from cmdiad.runtime.sensor.find import find_scans

    scans = find_scans([synth_data / CLASS_NAME / "train" / "good"])
    settings = CalibrationSettings(coreset_ratio=0.02, seed=5)
    return made_once(
        tmp_path_factory,
        "bundle",
        lambda path: calibrate_bundle(open_bundle(exported_bundle), scans, settings, path),
    )


@pytest.fixture(scope="session")
def bundle_with_engines(calibrated_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with TensorRT-RTX engines for sm86 of its networks and its line graph."""
    pytest.importorskip("tensorrt_rtx", reason="pip install 'cmdiad[tensorrt-rtx]'")
    from cmdiad.export.tensorrt.engines import EngineRequest, add_engines
    from cmdiad.runtime.bundle.reading import open_bundle

    request = EngineRequest("tensorrt-rtx", [("sm86",)])
    return made_once(
        tmp_path_factory, "bundle_with_engines", lambda path: add_engines(open_bundle(calibrated_bundle), path, request)
    )
