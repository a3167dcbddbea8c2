"""Reading all coefficients of JPEG files: this reader against libjpeg-turbo's, in turns.

    python benchmarks/coefficients.py [FOLDER] [--rounds 9]

Builds one C++ program of the reader and the system's libjpeg-turbo (libjpeg62-turbo-dev). One thread.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from throughput.options import parser as option_parser

from freqvision.runtime import aligned

ROOT = Path(__file__).resolve().parents[1]


def build(folder: Path) -> Path:
    settings = ["-DFREQVISION_PYTHON=OFF", "-DCMAKE_BUILD_TYPE=Release"]
    path = (
        f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # CMake asks this Python for blosc2
    )
    environment = {**os.environ, "PATH": path}
    configure = ["cmake", "-S", ROOT, "-B", folder, *settings]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL, env=environment)
    command = ["cmake", "--build", folder, "--target", "freqvision_jpeg", "--parallel", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    here = ROOT / "benchmarks"
    rival, program = folder / "libjpeg.o", folder / "coefficients"
    subprocess.run(["cc", "-O2", "-c", here / "throughput" / "libjpeg.c", "-o", rival], check=True)
    sources = [here / "coefficients.cpp", rival, folder / "libfreqvision_jpeg.a", "-ljpeg"]
    subprocess.run(["c++", "-std=c++20", "-O2", f"-I{ROOT / 'native'}", *sources, "-o", program], check=True)
    return program


def find(folder: Path) -> list[Path]:
    """JPEG files below a folder."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".jpg", ".jpeg"))


def measure(files: list[Path], rounds: int) -> dict[str, Any]:
    """Milliseconds per file of each way to read, as the C++ program prints them."""
    program = build(ROOT / "build" / "coefficients")
    run = subprocess.run([program, str(rounds), *files], check=True, capture_output=True, text=True)
    return json.loads(run.stdout)


def main() -> int:
    options = option_parser(__doc__, rounds=9).parse_args()
    files = find(options.folder)
    if not files:
        print(f"no JPEG files in {options.folder}", file=sys.stderr)
        return 2
    times = measure(files, options.rounds)["ms_per_file"]
    rival = times["libjpeg-turbo"]["median"]
    print(f"{len(files)} files, {options.rounds} rounds; medians and quartiles")
    rows = [
        [name, f"{time['median']:.3f} ({time['q25']:.3f}–{time['q75']:.3f})", f"{rival / time['median']:.2f}"]
        for name, time in times.items()
    ]
    print(aligned([["", "ms per file", "times as fast as libjpeg-turbo"], *rows]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
