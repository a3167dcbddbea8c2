"""Build the fuzz target with sanitizers and run it: every seed file first, then mutations of them.

python tests/fuzz/run.py --seconds 120
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "jpeg-corpus"


def build(folder: Path, sanitize: str) -> Path:
    settings = ["-DFREQVISION_PYTHON=OFF", "-DFREQVISION_FUZZ=ON", f"-DFREQVISION_SANITIZE={sanitize}"]
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *settings], check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["cmake", "--build", folder, "--target", "fuzz_jpeg", "--parallel", "2"], check=True)
    return folder / "fuzz_jpeg"


def write_seeds(folder: Path) -> list[Path]:
    """Files of every kind that the tests can write."""
    sys.path.insert(0, str(ROOT / "tests" / "jpeg"))
    from jpeg_samples import samples  # type: ignore[import-not-found]

    paths = []
    for name, data in samples():
        paths.append(folder / f"{name}.jpg")
        paths[-1].write_bytes(data)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="time for mutations (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of the mutations (default: from the clock)")
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "fuzz", help="build folder")
    parser.add_argument(
        "--sanitize", default="address,undefined", help="sanitizers (default: address,undefined)"
    )
    options = parser.parse_args()
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed

    target = build(options.build, options.sanitize)
    with tempfile.TemporaryDirectory() as folder:
        files = write_seeds(Path(folder))
        if CORPUS.is_dir():
            files += sorted(p for p in CORPUS.rglob("*") if p.is_file())
        print(f"{len(files)} seed files, {options.seconds:g} s of mutations, seed {seed}", flush=True)
        environment = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:abort_on_error=1"}
        environment["ASAN_OPTIONS"] = "abort_on_error=1:allocator_may_return_null=0"
        command = [target, str(options.seconds), str(seed), options.build, *files]
        return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
