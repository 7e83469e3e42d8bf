"""Build what a release has into dist/: wheel, source, bill of materials, digests; docs/release.md is the recipe.

    python scripts/release.py [--allow-changes]

It refuses a checkout with changes, a version that CHANGELOG.md does not have, and one of which no bundle is kept;
--allow-changes is for a trial.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DIST = ROOT / "dist"
# Where bundles of released versions are kept, and which of each.
KEPT = ROOT / "tests" / "released"
PLAIN, REGION = "plain", "region"


def main() -> None:
    """Build, check, list."""
    parser = argparse.ArgumentParser(description="Build what a release has into dist/.")
    parser.add_argument("--allow-changes", action="store_true", help="A trial: changes and an unnamed version may be.")
    version = version_of((ROOT / "version.py").read_text(encoding="utf-8"))
    if not parser.parse_args().allow_changes:
        refuse_unready(version)
    if DIST.exists():
        shutil.rmtree(DIST)
    wheel, source = build()
    run(sys.executable, "-m", "twine", "check", "--strict", wheel, source)
    bill = DIST / f"cmdiad-{version}.cdx.json"
    write_bill(version, bill)
    (DIST / "SHA256SUMS").write_text(sums([wheel, source, bill]), encoding="ascii")
    print((DIST / "SHA256SUMS").read_text(encoding="ascii"), end="")


def version_of(text: str) -> str:
    """The version that `version.py` says.

    Example:
        >>> version_of('__version__ = "0.1.0"')
        '0.1.0'
    """
    found = re.search(r'__version__ = "([^"]+)"', text)
    if found is None:
        sys.exit("version.py: has no __version__: write it")
    return found[1]


def refuse_unready(version: str) -> None:
    """End the program where the checkout is not what a tag would hold."""
    if run("git", "status", "--porcelain"):
        sys.exit("the checkout has changes: commit or remove them")
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    if not is_in_changelog(version, changelog):
        sys.exit(f"CHANGELOG.md: has no heading for {version}: write `## {version} - DATE` in place of Unreleased")
    if version in not_kept(changelog):
        sys.exit(f"tests/released/{version}: is not whole: run `python scripts/keep_released_bundle.py`, and commit it")


def is_in_changelog(version: str, changelog: str) -> bool:
    """Whether a changelog has a heading for a version.

    Example:
        >>> is_in_changelog("0.1.0", "## 0.1.0 - 2026-12-01")
        True
        >>> is_in_changelog("0.1.0", "## 0.1.01 - 2026-12-01")
        False
    """
    return re.search(rf"^## \[?{re.escape(version)}\]?(\s|$)", changelog, re.MULTILINE) is not None


def released_versions(changelog: str) -> list[str]:
    """The versions that a changelog has a heading for; "Unreleased" is none.

    Example:
        >>> released_versions("## Unreleased" + chr(10) + "## 0.2.0 - 2027-01-01" + chr(10) + "## [0.1.0] - 2026-12-01")
        ['0.2.0', '0.1.0']
    """
    return re.findall(r"^## \[?(\d[^\]\s]*)\]?", changelog, re.MULTILINE)


def not_kept(changelog: str, kept: Path = KEPT) -> list[str]:
    """The released versions of which something is missing below a folder."""
    names = [f"{name}{ending}" for name in (PLAIN, REGION) for ending in (".cmdiad", ".json", "_map.tiff")]
    return [
        version
        for version in released_versions(changelog)
        if not all((kept / version / name).is_file() for name in (*names, "scan.tiff"))
    ]


def build() -> tuple[Path, Path]:
    """Wheel and source, with the commit's time in them, so that equal files give equal bytes."""
    time = run("git", "log", "-1", "--format=%ct").strip()
    run(sys.executable, "-m", "build", "--outdir", DIST, ROOT, SOURCE_DATE_EPOCH=time)
    return next(DIST.glob("*.whl")), next(DIST.glob("*.tar.gz"))


def write_bill(version: str, bill: Path) -> None:
    """The CycloneDX bill of materials of a fresh environment that holds what a line installs, and nothing else."""
    with tempfile.TemporaryDirectory() as folder:
        environment = Path(folder) / "line"
        venv.create(environment, with_pip=True)
        python = environment / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        # By name and not by path, which would stand in the bill.
        pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
        run(*pip, "install", "--find-links", DIST, f"cmdiad[cpu]=={version}")
        run(*pip, "uninstall", "--yes", "pip", "setuptools")
        command = [sys.executable, "-m", "cyclonedx_py", "environment", "--output-reproducible", "--of", "JSON"]
        run(*command, "--output-file", bill, python)


def sums(files: list[Path]) -> str:
    """Lines that `sha256sum --check` reads."""
    return "".join(f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n" for file in files)


def run(*command: str | Path, **environment: str) -> str:
    """What a command prints; where it fails the program ends with its words."""
    words = [str(word) for word in command]
    answer = subprocess.run(
        words, cwd=ROOT, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    if answer.returncode != 0:
        sys.exit(f"{' '.join(words)}: ended with {answer.returncode}\n{answer.stdout}{answer.stderr}")
    return answer.stdout


if __name__ == "__main__":
    main()
