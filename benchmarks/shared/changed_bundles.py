"""Copies of a bundle that are whole, and differ: by a note, or by golden scans that no machine repeats."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from cmdiad.runtime.bundle.reading import open_bundle
from cmdiad.runtime.bundle.writing import StoredFile, write_bundle

GOLDEN = "golden/golden.json"


def write_changed(source: Path, target: Path, note: str, golden_score_added: float = 0.0) -> Path:
    """Write a bundle that computes the same.

    Args:
        source: a calibrated bundle with golden scans.
        target: where to.
        note: in its manifest, so that its digest is another one.
        golden_score_added: to the scores that its golden scans are said to have: with 1 the self-test fails.
    """
    bundle = open_bundle(source)
    golden = json.loads(bundle.read(GOLDEN))
    for case in golden["cases"]:
        case["score"] += golden_score_added
    contents = {name: StoredFile(bundle, name) for name in bundle.manifest.files}
    manifest = msgspec.structs.replace(bundle.manifest, provenance={**bundle.manifest.provenance, "note": note})
    write_bundle(target, manifest, {**contents, GOLDEN: json.dumps(golden).encode()})
    return target
