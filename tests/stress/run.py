"""Build the native core with a sanitizer and decode random batches on many threads.

python tests/stress/run.py --decodes 100000            release build: results, guards, resident memory
python tests/stress/run.py --sanitize thread           races (also: address,undefined)
python tests/stress/run.py --allocations --sanitize address,undefined      every allocation fails once
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT.parent / "shared" / "data"


def build(folder: Path, name: str, *settings: str) -> Path:
    """Build `batches` or `allocations` with these settings of CMake."""
    settings = ("-DFREQVISION_PYTHON=OFF", "-DFREQVISION_STRESS=ON", *settings)
    # CMake asks the Python that it finds first for what the packages of this one bring.
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path}
    configure = ["cmake", "-S", ROOT, "-B", folder, *settings]
    subprocess.run(configure, check=True, stdout=subprocess.DEVNULL, env=environment)
    command = ["cmake", "--build", folder, "--target", f"stress_{name}", "--parallel", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder / f"stress_{name}"


def sample() -> list[Path]:
    """Photos of all kinds, damaged ones too."""
    files: list[Path] = []
    folders = {"imagenet-sample": 4, "clothing/validation": 10, "coco128/images": 4, "jpeg-corpus": 2}
    for name, step in folders.items():
        files += sorted(path for path in (DATA / name).rglob("*.jp*g") if path.is_file())[::step]
    return files + sorted((DATA / "imagenet-sample").rglob("*.JPEG"))[::4]


def pack(files: list[Path], folder: Path) -> list[Path]:
    """Packed copies of some files: all coefficients and some channels, in both codecs."""
    from freqvision import FrequencySpec
    from freqvision.inputs.packed import LEVELS, Packer

    paths = []
    for codec in LEVELS:
        for number, spec in enumerate((None, FrequencySpec(resize=100, crop=None))):
            for file, photo in zip(files, Packer(spec, codec=codec).try_pack(files)[0], strict=True):
                if photo:
                    paths.append(folder / f"{file.stem}-{codec}-{number}.fqpk")
                    paths[-1].write_bytes(photo)
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", nargs="*", type=Path, help="JPEG files (default: those of ../shared)")
    parser.add_argument("--decodes", type=int, default=2000, help="how many (default: 2000)")
    parser.add_argument("--seed", type=int, default=0, help="of files, views and cuts (default: 0)")
    parser.add_argument("--sanitize", default="", help="thread, or address,undefined (default: none)")
    parser.add_argument("--allocations", action="store_true", help="fail allocations instead")
    options = parser.parse_args()
    files = options.files or sample()
    if not files:
        print(f"no files: pass some, or put photos under {DATA}", file=sys.stderr)
        return 2
    folder = ROOT / "build" / f"stress-{options.sanitize or 'release'}".replace(",", "-")
    name = "allocations" if options.allocations else "batches"
    target = build(folder, name, f"-DFREQVISION_SANITIZE={options.sanitize}")
    environment = {**os.environ, "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1"}
    if not options.allocations:
        command = [target, str(options.decodes), str(options.seed), *files]
        return subprocess.run(command, env=environment).returncode
    files.sort(key=lambda path: path.stat().st_size)  # each is decoded thousands of times
    files = files[: len(files) // 3 : max(1, len(files) // 18)]
    with tempfile.TemporaryDirectory() as packed:
        return subprocess.run([target, *files, *pack(files[-1:], Path(packed))], env=environment).returncode


if __name__ == "__main__":
    sys.exit(main())
