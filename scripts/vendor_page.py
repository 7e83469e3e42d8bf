"""Fetch the live page's libraries from the npm registry, and put the pinned files into the package.

    python scripts/vendor_page.py            # fetch, verify against vendored.json, write
    python scripts/vendor_page.py --accept   # after a version in vendored.json was changed: record the new digests

The registry is the one of npm's own configuration. Nothing is installed, and no script of a package runs.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Any

VENDOR = Path(__file__).resolve().parent.parent / "runtime" / "service" / "web" / "page" / "vendor"
LIST = VENDOR / "vendored.json"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accept", action="store_true", help="Record the digests of what comes.")
    accept = parser.parse_args().accept
    packages = json.loads(LIST.read_text(encoding="utf-8"))
    for package in packages:
        vendor(package, accept)
    LIST.write_text(json.dumps(packages, indent=2) + "\n", encoding="utf-8")
    total = sum(file["bytes"] for package in packages for file in package["files"])
    print(f"{VENDOR}: {total / 1e3:.0f} kB")


def vendor(package: dict[str, Any], accept: bool) -> None:
    """Write one package's files, each only if it is the one that is listed."""
    with tempfile.TemporaryDirectory() as folder:
        tarball = fetched(f"{package['name']}@{package['version']}", Path(folder))
        agree(package, "tarball_sha512", hashlib.sha512(tarball.read_bytes()).hexdigest(), accept)
        with tarfile.open(tarball) as archive:
            for file in package["files"]:
                member = archive.extractfile(f"package/{file['source']}")
                if member is None:
                    sys.exit(f"{package['name']}: {file['source']} is no file")
                content = rewritten(member.read().decode("utf-8"), file.get("rewritten", [])).encode()
                agree(file, "sha256", hashlib.sha256(content).hexdigest(), accept)
                file["bytes"] = len(content)
                (VENDOR / file["file"]).write_bytes(content)


def fetched(specifier: str, folder: Path) -> Path:
    """The tarball of a package in a version, as npm fetches it."""
    subprocess.run(["npm", "pack", "--silent", specifier], cwd=folder, check=True, stdout=subprocess.DEVNULL)
    (tarball,) = folder.glob("*.tgz")
    return tarball


def rewritten(text: str, replacements: list[list[str]]) -> str:
    """The text with every replacement made, each exactly once: a page without a bundler needs paths in imports."""
    for before, after in replacements:
        if text.count(before) != 1:
            sys.exit(f"{before!r} is there {text.count(before)} times, not once")
        text = text.replace(before, after)
    return text


def agree(entry: dict[str, Any], key: str, digest: str, accept: bool) -> None:
    """Refuse what differs from the list, or put it there."""
    if accept:
        entry[key] = digest
    elif entry.get(key) != digest:
        sys.exit(f"{entry.get('file', entry.get('name'))}: {key} is {digest}, vendored.json says {entry.get(key)}")


if __name__ == "__main__":
    main()
