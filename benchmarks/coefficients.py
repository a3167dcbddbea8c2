"""Reading all coefficients of JPEG files: this reader against libjpeg-turbo's, in turns.

    python benchmarks/coefficients.py [FOLDER] [--rounds 9]

Builds one C++ program of the reader and the system's libjpeg-turbo (libjpeg62-turbo-dev). One thread.
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PHOTOS = ROOT.parent / "shared" / "data" / "imagenet-sample"


def build(folder: Path) -> Path:
    settings = ["-DFREQVISION_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *settings], check=True, stdout=subprocess.DEVNULL)
    command = ["cmake", "--build", folder, "--target", "freqvision_jpeg", "--parallel", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    here = ROOT / "benchmarks"
    rival, program = folder / "libjpeg.o", folder / "coefficients"
    subprocess.run(["cc", "-O2", "-c", here / "throughput" / "libjpeg.c", "-o", rival], check=True)
    sources = [here / "coefficients.cpp", rival, folder / "libfreqvision_jpeg.a", "-ljpeg"]
    subprocess.run(["c++", "-std=c++20", "-O2", f"-I{ROOT / 'native'}", *sources, "-o", program], check=True)
    return program


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path, default=PHOTOS, help="with JPEG files")
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    files = sorted(p for p in options.folder.rglob("*") if p.suffix.lower() in (".jpg", ".jpeg"))
    if not files:
        print(f"no JPEG files in {options.folder}", file=sys.stderr)
        return 2
    program = build(ROOT / "build" / "coefficients")
    run = subprocess.run([program, str(options.rounds), *files], check=True, capture_output=True, text=True)
    times = json.loads(run.stdout)["ms_per_file"]
    rival = times["libjpeg-turbo"]["median"]
    print(
        f"{len(files)} files, {options.rounds} rounds; ms a file (quartiles), times as fast as libjpeg-turbo"
    )
    for name, time in times.items():
        spread = f"{time['median']:.3f} ({time['q25']:.3f}–{time['q75']:.3f})"
        print(f"{name:>16}  {spread}  {rival / time['median']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
