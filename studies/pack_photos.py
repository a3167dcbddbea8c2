"""Pack a folder of photos into a folder of packed photos, file by file, for studies/packed.yaml.

python studies/pack_photos.py PHOTOS PACKED
"""

import argparse
from pathlib import Path

import freqvision as fv
from freqvision.data.folder import PACKED, find_photos
from freqvision.runtime import batches


def main() -> None:
    """Pack the preset of 24 channels at a shorter side of 256 pixels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    options = parser.parse_args()
    for paths in batches(find_photos(options.photos), 64):
        for path, photo in zip(paths, fv.pack(paths, fv.FrequencySpec(256, None)), strict=True):
            file = (options.output / Path(path).relative_to(options.photos)).with_suffix(PACKED)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photo)


if __name__ == "__main__":
    main()
