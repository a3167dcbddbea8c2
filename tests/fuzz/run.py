"""Build the fuzz targets with sanitizers and run them over seed files and what becomes of them.

python tests/fuzz/run.py --seconds 120                 mutations, and libFuzzer where clang is installed
python tests/fuzz/run.py --engine mutations            without clang

Mutations are random; libFuzzer keeps those that reach new code, in build/fuzz-corpus, and starts from there
the next time. Targets: jpeg (bytes to coefficients), packed (packed photos to coefficients), pipeline (photos
of both kinds to tensors: views, types, two in turn), and where the system's libjpeg-turbo is there libjpeg
(what it reads without a warning is read the same).
"""

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CORPUS = ROOT.parent / "shared" / "data" / "jpeg-corpus"
TARGETS = ("jpeg", "packed", "pipeline", "libjpeg")
LONGEST = 12_000  # bytes of a seed of libFuzzer: it copies and mutates each of them all the time


def find_clang() -> str | None:
    """A clang++ that has libFuzzer."""
    for name in ("clang++", *(f"clang++-{version}" for version in range(25, 10, -1))):
        if path := shutil.which(name):
            command = [path, "-print-file-name=libclang_rt.fuzzer-x86_64.a"]
            found = subprocess.run(command, capture_output=True, text=True).stdout.strip()
            resource = subprocess.run([path, "-print-resource-dir"], capture_output=True, text=True).stdout
            if Path(found).is_file() or list(Path(resource.strip()).rglob("libclang_rt.fuzzer*.a")):
                return path
    return None


def build(folder: Path, engine: str, sanitize: str, compiler: str | None = None) -> None:
    if engine == "libfuzzer":
        sanitize = f"fuzzer-no-link,{sanitize}"
    settings = ["-DFREQVISION_PYTHON=OFF", f"-DFREQVISION_FUZZ={engine}", f"-DFREQVISION_SANITIZE={sanitize}"]
    if compiler:
        settings.append(f"-DCMAKE_CXX_COMPILER={compiler}")
    subprocess.run(["cmake", "-S", ROOT, "-B", folder, *settings], check=True, stdout=subprocess.DEVNULL)
    command = ["cmake", "--build", folder, "--parallel", "2"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def write_seeds(folder: Path) -> list[Path]:
    """Files of every kind that the tests can write."""
    sys.path.insert(0, str(ROOT / "tests" / "jpeg"))
    from jpeg_samples import samples  # type: ignore[import-not-found]

    from freqvision import FrequencySpec
    from freqvision.inputs.packed import Packer

    paths = []
    for name, data in samples():
        paths.append(folder / f"{name}.jpg")
        paths[-1].write_bytes(data)
    for number, (_, data) in enumerate(samples()):
        spec = FrequencySpec(resize=16 + number, crop=None) if number % 3 else None
        packed, _ = Packer(spec, codec=("lz4", "zstd")[number % 2]).try_pack([data])
        if packed[0]:  # those of other colours only with a spec
            paths.append(folder / f"{number}.fqpk")
            paths[-1].write_bytes(packed[0])
    return paths


def write_packed(folder: Path, files: list[Path]) -> list[Path]:
    """Packed photos: all coefficients and some channels, in both codecs."""
    from freqvision import FrequencySpec
    from freqvision.inputs.packed import LEVELS, Packer

    paths = []
    for codec in LEVELS:
        for spec in (None, FrequencySpec(resize=40, crop=None)):
            for file, photo in zip(files, Packer(spec, codec=codec).try_pack(files)[0], strict=True):
                if photo:
                    paths.append(folder / f"{file.stem}-{codec}-{spec is None}.fqp")
                    paths[-1].write_bytes(photo)
    return paths


def write_pairs(folder: Path, files: list[Path], seed: int) -> list[Path]:
    """Inputs of the pipeline: two files, where they meet, and random choices (see fuzz_pipeline.cpp)."""
    choose = random.Random(seed)
    paths = []
    for i, file in enumerate(files):
        first, second = file.read_bytes(), choose.choice(files).read_bytes()
        paths.append(folder / f"pair-{i}")
        paths[-1].write_bytes(first + second + len(first).to_bytes(4, "little") + choose.randbytes(10))
    return paths


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=60, help="for each engine and target (default: 60)")
    parser.add_argument("--seed", type=int, default=None, help="of all choices (default: from the clock)")
    parser.add_argument("--engine", choices=["mutations", "libfuzzer", "both"], default="both")
    parser.add_argument("--target", choices=TARGETS, action="append", help="only this one (default: all)")
    parser.add_argument("--build", type=Path, default=ROOT / "build", help="where build folders are made")
    parser.add_argument(
        "--sanitize", default="address,undefined", help="sanitizers (default: address,undefined)"
    )
    options = parser.parse_args()
    seed = time.time_ns() % 2**32 if options.seed is None else options.seed
    clang = find_clang()
    if options.engine == "libfuzzer" and not clang:
        parser.error(
            "no clang++ with libFuzzer is installed (on Debian: apt-get install clang libclang-rt-dev)"
        )
    engines = ["mutations", "libfuzzer"] if options.engine == "both" else [options.engine]
    if not clang and options.engine == "both":
        print("no clang++ with libFuzzer is installed: mutations only", flush=True)
        engines = ["mutations"]

    environment = {
        **os.environ,
        "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1:abort_on_error=1",
        "ASAN_OPTIONS": "abort_on_error=1:allocator_may_return_null=0",
    }
    failed = 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_seeds(folder)
        packed = write_packed(folder, files[::3])
        if CORPUS.is_dir():
            files += sorted(path for path in CORPUS.rglob("*") if path.is_file())
        small = [path for path in [*files, *packed] if path.stat().st_size < LONGEST]
        inputs = {"packed": packed, "pipeline": write_pairs(folder, small, seed)}
        for engine in engines:
            built = options.build / f"fuzz-{engine}"
            build(built, engine, options.sanitize, clang if engine == "libfuzzer" else None)
            for target in options.target or TARGETS:
                program = built / f"fuzz_{target}"
                if target == "libjpeg" and not program.exists():
                    print(
                        "no libjpeg-turbo (on Debian: libjpeg62-turbo-dev): nothing to compare with",
                        flush=True,
                    )
                    continue
                seeds = inputs.get(target, files)
                print(
                    f"{target}, {engine}: {options.seconds:g} s from {len(seeds)} files, seed {seed}",
                    flush=True,
                )
                if engine == "mutations":
                    command = [program, str(options.seconds), str(seed), built, *seeds]
                else:
                    kept, start = options.build / "fuzz-corpus" / target, folder / target
                    kept.mkdir(parents=True, exist_ok=True)
                    start.mkdir()
                    for path in seeds:
                        if path.stat().st_size < LONGEST:
                            shutil.copy(path, start / f"{len(list(start.iterdir()))}")
                    command = [
                        program,
                        kept,
                        start,
                        f"-max_total_time={int(options.seconds)}",
                        f"-seed={seed}",
                    ]
                    command += ["-timeout=20", "-rss_limit_mb=2048", f"-artifact_prefix={built}/"]
                    command += ["-print_final_stats=1", "-verbosity=0", f"-max_len={2 * LONGEST}"]
                failed |= subprocess.run(command, env=environment).returncode != 0
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
