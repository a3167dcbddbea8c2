"""Run the native core as 64-bit ARM code in QEMU, and compare its results with this machine's.

apt-get install g++-aarch64-linux-gnu qemu-user-static
python tests/stress/aarch64.py --decodes 6400
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from run import ROOT, build, sample

CROSS = (
    "-DCMAKE_SYSTEM_NAME=Linux",
    "-DCMAKE_SYSTEM_PROCESSOR=aarch64",
    "-DCMAKE_CXX_COMPILER=aarch64-linux-gnu-g++",
)
QEMU = ("qemu-aarch64-static", "-L", "/usr/aarch64-linux-gnu")
GAIN = 0.1  # of the outputs, see batches.cpp
TYPES = ("float32", "float16", "bfloat16", "int8", "uint8")
# What two roundings of nearly the same number may differ by: a share of it, and that in coefficients which
# tests/inputs/test_decoder.py allows; int8 and uint8 count steps.
RELATIVE = {"float32": 2**-22, "float16": 2**-10, "bfloat16": 2**-7, "int8": 0, "uint8": 0}
ABSOLUTE = {"float32": 5e-3 * GAIN, "float16": 5e-3 * GAIN, "bfloat16": 5e-3 * GAIN, "int8": 1, "uint8": 1}


def results(path: Path) -> Iterator[tuple[str | None, np.ndarray]]:
    """Type and values of each decode, in its order; no type where it failed."""
    content = path.read_bytes()
    place = 0
    while place < len(content):
        number, size = np.frombuffer(content, np.int32, 2, place)
        data = content[place + 8 : place + 8 + size]
        place += 8 + int(size)
        name = None if number < 0 else TYPES[number]
        if name == "bfloat16":
            values = (np.frombuffer(data, np.uint16).astype(np.uint32) << 16).view(np.float32)
        else:
            values = np.frombuffer(data, name or np.uint8)
        yield name, values.astype(np.float64)


def compare(one: Path, other: Path) -> int:
    """Print how two files of results differ; returns the exit code: 0 if by rounding only."""
    decodes, failed, bad = 0, 0, 0
    equal, total = dict.fromkeys(TYPES, 0), dict.fromkeys(TYPES, 0)
    worst = dict.fromkeys(TYPES, 0.0)
    for (name, ours), (also, theirs) in zip(results(one), results(other), strict=True):
        decodes += 1
        if name is None or name != also or ours.size != theirs.size:
            failed += name is None
            bad += name != also or ours.size != theirs.size
            continue
        error = np.abs(ours - theirs)
        bad += not (error <= ABSOLUTE[name] + RELATIVE[name] * np.abs(theirs)).all()
        equal[name] += int((error == 0).sum())
        total[name] += error.size
        worst[name] = max(worst[name], float(error.max(initial=0)))
    print(f"{decodes} decodes on both, of which {failed} failed on both; {bad} differ beyond rounding")
    for name in TYPES:
        share = equal[name] / max(1, total[name])
        what = (
            f"{worst[name]:g} steps"
            if name in ("int8", "uint8")
            else f"{worst[name] / GAIN:.2g} coefficient units"
        )
        print(f"{name}: {total[name]} values, {share:.2%} equal, largest difference {what}")
    return 1 if bad or not all(total.values()) else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="JPEG files (default: those of ../shared)")
    parser.add_argument("--decodes", type=int, default=6400, help="how many (default: 6400)")
    parser.add_argument("--seed", type=int, default=0, help="of files, views and cuts (default: 0)")
    options = parser.parse_args()
    files = options.files or sample()
    if not files:
        parser.error("no files: pass some")
    builds = {"aarch64": (*QEMU, build(ROOT / "build" / "stress-aarch64", "batches", *CROSS))}
    builds["here"] = (build(ROOT / "build" / "stress-release", "batches"),)
    with tempfile.TemporaryDirectory(dir=ROOT / "build") as folder:
        written = {name: Path(folder) / name for name in builds}
        for name, command in builds.items():
            environment = {**os.environ, "FREQVISION_RESULTS": str(written[name])}
            arguments = [*command, str(options.decodes), str(options.seed), *files]
            subprocess.run(arguments, env=environment, check=True)
        return compare(written["aarch64"], written["here"])


if __name__ == "__main__":
    sys.exit(main())
