"""Build the native core with a sanitizer and decode random batches on many threads.

python tests/stress/run.py --decodes 100000            release build: results, guards, resident memory
python tests/stress/run.py --sanitize thread           races (also: address,undefined)
"""

import argparse
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def build(folder: Path, *settings: str) -> Path:
    """Build `batches` with these settings of CMake."""
    settings = ("-DFREQVISION_PYTHON=OFF", "-DFREQVISION_STRESS=ON", *settings)
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *settings], check=True, stdout=subprocess.DEVNULL)
    command = ["cmake", "--build", folder, "--target", "stress_batches", "--parallel", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / "stress_batches"


def sample() -> list[Path]:
    """Photos of all kinds, damaged ones too."""
    files: list[Path] = []
    folders = {"imagenet-sample": 4, "clothing/validation": 10, "coco128/images": 4, "jpeg-corpus": 2}
    for name, step in folders.items():
        files += sorted(path for path in (DATA / name).rglob("*.jp*g") if path.is_file())[::step]
    return files + sorted((DATA / "imagenet-sample").rglob("*.JPEG"))[::4]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="JPEG files (default: those of ../shared)")
    parser.add_argument("--decodes", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of files, views and cuts (default: 0)")
    parser.add_argument("--sanitize", default="", help="thread, or address,undefined (default: none)")
    options = parser.parse_args()
    files = options.files or sample()
    if not files:
        print(f"no files: pass some, or put photos under {DATA}", file=sys.stderr)
        return 2
    folder = ROOT / "build" / f"stress-{options.sanitize or 'release'}".replace(",", "-")
    target = build(folder, f"-DFREQVISION_SANITIZE={options.sanitize}")
    environment = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    command = [target, str(options.decodes), str(options.seed), *files]
    return subprocess.run(command, env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
