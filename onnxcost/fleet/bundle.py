"""A folder of wheels for boards without a network: this onnxcost, its dependencies, and a script that installs them."""

from __future__ import annotations

import base64
import hashlib
import io
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Sequence
from importlib import resources
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import NamedTuple

from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.version import __version__

NAME = "onnxcost"
TAG = "py3-none-any"
DATE = (1980, 1, 1, 0, 0, 0)
"""The date of all files in the wheel, so that the same package gives the same bytes."""
INSTALL = """\
#!/bin/sh
# Installs onnxcost from this folder, without a network, into a virtual environment: ./install.sh [FOLDER]
set -eu
wheels=$(cd "$(dirname "$0")" && pwd)
target=${1:-"$HOME/onnxcost"}
"${PYTHON:-python3}" -m venv "$target"
"$target/bin/python" -m pip install --quiet --no-index --find-links "$wheels" onnxcost
"$target/bin/onnxcost" --version
echo "In the hosts file: command = \\"$target/bin/onnxcost\\""
"""


class Bundle(NamedTuple):
    """The folder, and the names and bytes of the wheels in it."""

    folder: Path
    wheels: dict[str, int]


def make_bundle(folder: Path, platforms: Sequence[str] = (), python: str = "") -> Bundle:
    """Fill the folder with the wheels for a platform, as pip names it (this machine's by default), and a Python version.

    Raises InputError if the folder cannot be written, pip is missing, or finds no wheels.
    """
    try:
        package = distribution(NAME)
    except PackageNotFoundError:
        raise InputError("onnxcost is not installed as a package, which a bundle needs") from None
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot write '{folder}': {error.strerror}") from None
    replace_file(folder / f"{NAME}-{__version__}-{TAG}.whl", build_wheel(package))
    needed = [
        need for need in package.requires or () if "extra ==" not in need.replace("'", '"').replace("extra==", "extra ==")
    ]
    _download(folder, needed, platforms, python)
    replace_file(folder / "install.sh", INSTALL.encode())
    (folder / "install.sh").chmod(0o755)
    return Bundle(folder, {path.name: path.stat().st_size for path in sorted(folder.glob("*.whl"))})


def _download(folder: Path, needed: Sequence[str], platforms: Sequence[str], python: str) -> None:
    target = [word for platform in platforms for word in ("--platform", platform)]
    version = ["--python-version", python] if python else []
    words = ["download", "--quiet", "--disable-pip-version-check", "--only-binary=:all:", "--dest", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", *words, *target, *version, "--", *needed], capture_output=True, text=True, check=False
    )
    if done.returncode:
        lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
        errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR")]
        raise InputError(f"pip found no wheels: {(errors or lines or ['no output'])[-1]}")


def build_wheel(package: Distribution) -> bytes:
    """The wheel of the package as it is installed or checked out here: the same version, with local changes."""
    info = f"{NAME}-{__version__}.dist-info"
    wheel = f"Wheel-Version: 1.0\nGenerator: {NAME}\nRoot-Is-Purelib: true\nTag: {TAG}\n"
    metadata = re.sub(r"(?m)^Version: .*$", f"Version: {__version__}", package.read_text("METADATA") or "", count=1)
    texts = {"METADATA": metadata, "WHEEL": wheel, "entry_points.txt": package.read_text("entry_points.txt") or ""}
    files = {**dict(_package_files(resources.files(NAME))), **{f"{info}/{name}": text.encode() for name, text in texts.items()}}
    record = ""
    for name, content in files.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(content).digest()).rstrip(b"=").decode()
        record += f"{name},sha256={digest},{len(content)}\n"
    files[f"{info}/RECORD"] = f"{record}{info}/RECORD,,\n".encode()
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = zipfile.ZipInfo(name, DATE)
            entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
            archive.writestr(entry, content)
    return out.getvalue()


def _package_files(folder: Traversable, name: str = NAME) -> Iterator[tuple[str, bytes]]:
    """The names and contents of all files; the package may be in a folder or in a zip."""
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        if entry.is_dir() and entry.name != "__pycache__":
            yield from _package_files(entry, f"{name}/{entry.name}")
        elif entry.is_file():
            yield f"{name}/{entry.name}", entry.read_bytes()
