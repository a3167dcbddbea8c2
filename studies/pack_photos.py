"""Pack a folder of photos into a folder of packed photos, file by file, for studies/packed.yaml.

python studies/pack_photos.py PHOTOS PACKED [--channels 48]
"""

import argparse
from pathlib import Path

import freqvision as fv
from freqvision.data.folder import PACKED, find_photos
from freqvision.runtime import batches


def main() -> None:
    """Pack a preset of channels at a shorter side of 256 pixels."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("photos", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--channels", type=int, default=24)
    options = parser.parse_args()
    spec = fv.FrequencySpec(256, None, fv.ChannelSet.preset(options.channels))
    for paths in batches(find_photos(options.photos), 64):
        for path, photo in zip(paths, fv.pack(paths, spec), strict=True):
            file = (options.output / Path(path).relative_to(options.photos)).with_suffix(PACKED)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(photo)


if __name__ == "__main__":
    main()
