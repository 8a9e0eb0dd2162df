"""Fetch what the report and the explorer carry from others, check it, and put it where it belongs.

python docs/prepare/vendor.py

Reads `reports/static/VENDORED.toml`; needs npm and fontTools. Nothing is fetched at any other time.
"""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
LIST = ROOT / "reports" / "static" / "VENDORED.toml"


def fetch(package: dict[str, Any], folder: Path) -> None:
    """One package by npm's own client; its files, each under its checksum."""
    wanted = f"{package['name']}@{package['version']}"
    packed = subprocess.run(
        ["npm", "pack", "--silent", wanted], cwd=folder, capture_output=True, text=True, check=True
    )
    archive = folder / packed.stdout.split()[-1]
    found = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    if found != package["integrity"]:
        sys.exit(f"{wanted}: integrity {found}, expected {package['integrity']}. Nothing was replaced.")
    with tarfile.open(archive) as content:
        for file in package["files"]:
            member = content.extractfile(f"package/{file['from']}")
            assert member is not None, file["from"]
            place(ROOT / file["to"], member.read(), file["sha256"])


def place(path: Path, data: bytes, sha256: str) -> None:
    """Write a file whose checksum is right."""
    found = hashlib.sha256(data).hexdigest()
    if found != sha256:
        sys.exit(f"{path.relative_to(ROOT)}: sha256 {found}, expected {sha256}.")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    print(path.relative_to(ROOT))


def make_font(font: dict[str, Any]) -> None:
    """One weight of a variable font as a file that a typesetter takes."""
    from fontTools.ttLib import TTFont
    from fontTools.varLib import instancer

    variable = TTFont(ROOT / font["from"], recalcTimestamp=False)
    made = instancer.instantiateVariableFont(variable, {"wght": font["weight"]})
    made.flavor = None
    made["OS/2"].usWeightClass = round(font["weight"], -2)
    names = {1: font["family"], 2: font["style"], 4: f"{font['family']} {font['style']}"}
    names |= {16: font["family"], 17: font["style"]}
    for record in made["name"].names:
        if record.nameID in names:
            record.string = names[record.nameID]
    path = ROOT / font["to"]
    made.save(path)
    place(path, path.read_bytes(), font["sha256"])


if __name__ == "__main__":
    listed = tomllib.loads(LIST.read_text(encoding="utf-8"))
    with tempfile.TemporaryDirectory() as name:
        for entry in listed["package"]:
            fetch(entry, Path(name))
    for entry in listed["font"]:
        make_font(entry)
