"""The options that most benchmarks have."""

import argparse
from pathlib import Path

PHOTOS = Path(__file__).resolve().parents[3] / "shared" / "data" / "imagenet-sample"


def parser(about: str | None, rounds: int, photos: int | None = None) -> argparse.ArgumentParser:
    """A parser of a folder, of --rounds and, with a default for them, of --photos."""
    made = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("folder", nargs="?", type=Path, default=PHOTOS, help=f"photos (default: {PHOTOS})")
    if photos is not None:
        made.add_argument("--photos", type=int, default=photos, help="how many (default: %(default)s)")
    made.add_argument("--rounds", type=int, default=rounds, help="(default: %(default)s)")
    return made
