"""What the paper's main tables need, checked before any work: the dataset class by class, and every weights file."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..calibration.evaluation.paper import paper_classes
from ..runtime.bundle.parameters import Modality
from ..runtime.errors import UsageError
from ..runtime.reports.table import MISSING, Table
from ..runtime.sensor.dataset import GOOD, list_classes, list_samples
from ..training.weights.published import PUBLISHED, present_file, published_weights, weights_folder
from .paper_tables import ExtractorPair

State = Literal["here", "missing", "differs", "not published"]

DATASET = "https://www.mvtec.com/company/research/datasets/mvtec-3d-ad (after registration; CC BY-NC-SA 4.0)"
NOT_KNOWN = "not known: its authors publish none"
# Parts of train/good, of test/good and of test's defects: Bergmann et al., arXiv 2112.09045, Table 1.
PART_COUNTS = {
    "bagel": (244, 22, 88),
    "cable_gland": (223, 21, 87),
    "carrot": (286, 27, 132),
    "cookie": (210, 28, 103),
    "dowel": (288, 26, 104),
    "foam": (236, 20, 80),
    "peach": (361, 26, 106),
    "potato": (300, 22, 92),
    "rope": (298, 32, 69),
    "tire": (210, 25, 87),
}
# Routes of the main tables of which the authors publish no checkpoint.
UNPUBLISHED = ("i2f-pc", "i2f-rgb")
ROUTES = ("f2f-pc", "f2f-rgb", "f2i-pc", "f2i-rgb", *UNPUBLISHED)
_BLOCK = 1 << 20


@dataclass(frozen=True)
class Need:
    """One thing that the tables need.

    Attributes:
        name: a class, an extractor or a route.
        kind: what it is.
        state: whether it is here; differs: here, with other counts or another SHA-256 than published.
        place: the file or folder, where it is or where it is looked for; None where there can be none.
        source: where to get it.
        sha256: as published, in words where nothing is known.
        remark: what was found.
        digest: SHA-256 of the file that is here; empty for a class.
    """

    name: str
    kind: Literal["class", "extractor", "route"]
    state: State
    place: Path | None
    source: str
    sha256: str
    remark: str = ""
    digest: str = ""

    @property
    def is_lacking(self) -> bool:
        """Whether the tables are incomplete without it, and there is something to get."""
        return self.state == "missing"


def needed_classes(data: Path, class_names: Sequence[str]) -> list[Need]:
    """Every class, those of the paper's dataset that are not here too; with the counts of its parts.

    Args:
        data: the dataset's root.
        class_names: which; empty: the paper's ten, and what else is here.

    Raises:
        UsageError: the root is not a folder.
    """
    if not data.is_dir():
        wrong = "is not a folder" if data.exists() else "there is no such folder"
        raise UsageError(f"{data}: {wrong}: give the root of MVTec 3D-AD, from {DATASET}")
    here = list_classes(data)
    everything = [*paper_classes(), *(name for name in here if name not in paper_classes())]
    names = list(dict.fromkeys(class_names)) or everything
    return [_class_need(name, here.get(name), data) for name in names]


def _class_need(name: str, folder: Path | None, data: Path) -> Need:
    expected = PART_COUNTS.get(name)
    if folder is None:
        remark = f"should be {_counts(expected)}" if expected else ""
        return Need(name, "class", "missing", data / name, DATASET, MISSING, remark)
    tests = list_samples(folder, "test")
    defective = sum(sample.is_defect for sample in tests)
    counted = len(list_samples(folder, "train", GOOD)), len(tests) - defective, defective
    if not counted[0] or not tests:
        return Need(name, "class", "missing", folder, DATASET, MISSING, f"found: {_counts(counted)}")
    if expected is not None and counted != expected:
        remark = f"{_counts(counted)}; the paper's dataset has {_counts(expected)}"
        return Need(name, "class", "differs", folder, DATASET, MISSING, remark)
    return Need(name, "class", "here", folder, DATASET, MISSING, _counts(counted))


def _counts(counts: tuple[int, int, int]) -> str:
    return f"{counts[0]} normal, {counts[1]} good and {counts[2]} defective test parts"


def needed_extractors(pair: ExtractorPair, point: str | None, image: str | None) -> list[Need]:
    """The weights of both extractors: as given, else in the weights folder; the embedded ones need no file."""
    return [_extractor_need(name, given) for name, given in ((pair.point, point), (pair.image, image))]


def _extractor_need(name: str, given: str | None) -> Need:
    if name == "embedded" or (given or "").startswith("random:"):
        remark = "comes with the project" if name == "embedded" else f"{given}: seeded weights, not the published ones"
        return Need(name, "extractor", "here", None, MISSING, MISSING, remark, given or "embedded")
    return _weights_need(name, "extractor", Path(given) if given else None)


def needed_routes(given: Sequence[tuple[Modality, Path, str]], runs: Sequence[str]) -> list[Need]:
    """The weights of every route of the main tables: as given, else in the weights folder.

    Args:
        given: main modality, file and route of each checkpoint that was given.
        runs: routes, as `i2f-pc`, that runs which were given serve.
    """
    files = {f"{route}-{main}": path for main, path, route in given}
    needs = []
    for name in ROUTES:
        if name not in files and name in runs:
            needs.append(Need(name, "route", "here", None, MISSING, MISSING, "from a given run", "run"))
        elif name in UNPUBLISHED and name not in files:
            route, main = name.split("-")
            remark = f"train it: cmdiad train DATA --route {route} --main {main}, and give --run"
            needs.append(Need(name, "route", "not published", None, MISSING, MISSING, remark))
        else:
            needs.append(_weights_need(name, "route", files.get(name)))
    return needs


def _weights_need(name: str, kind: Literal["extractor", "route"], given: Path | None) -> Need:
    known = next((entry for entry in PUBLISHED if entry.name == name), None)
    entry = published_weights(name) if known is None and given is None else known
    source, published = (entry.source, entry.sha256) if entry is not None else (MISSING, None)
    place = given or (present_file(entry) if entry is not None else None)
    if place is None or not place.is_file():
        wanted = place or weights_folder() / (entry.files[0] if entry is not None else name)
        return Need(name, kind, "missing", wanted, source, published or NOT_KNOWN)
    digest = file_sha256(place)
    if published is not None and digest != published:
        return Need(name, kind, "differs", place, source, published, f"has SHA-256 {digest}", digest)
    remark = "" if published is not None else f"has SHA-256 {digest}"
    return Need(name, kind, "here", place, source, published or NOT_KNOWN, remark, digest)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def needs_table(needs: Sequence[Need]) -> Table:
    """All of it, what is missing first."""
    order: tuple[State, ...] = ("missing", "differs", "not published", "here")
    rows = [
        [
            need.name,
            need.kind,
            need.state,
            MISSING if need.place is None else str(need.place),
            need.remark or MISSING,
            need.sha256,
            need.source,
        ]
        for need in sorted(needs, key=lambda need: order.index(need.state))
    ]
    headers = ["name", "what", "state", "file or folder", "remark", "SHA-256 as published", "where to get it"]
    return Table("What the tables need", headers, rows, len(headers))
