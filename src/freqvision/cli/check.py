"""`freqvision check`: find the photos that cannot be decoded."""

from pathlib import Path

from freqvision.cli.data import KINDS
from freqvision.cli.parser import add_shared, command_parser
from freqvision.runtime import printable

DESCRIPTION = """Decode every photo once, whole, and list those that are damaged, with their causes.

  freqvision check PHOTOS --output damaged.json
  freqvision fit --data.root PHOTOS --data.exclude damaged.json …

The exit code is 1 if a photo is damaged.
"""


def main(args: list[str]) -> int:
    """Decode all photos, print the damaged ones and write the list; 1 where there are some."""
    parser = command_parser("check", DESCRIPTION)
    parser.add_argument("photos", help=f"{KINDS}; or a JSON file in COCO's format")
    parser.add_argument("--images", help="folder of a COCO file's photos; default: the folder of the file")
    parser.add_argument("--output", help="JSON file to write, for --data.exclude; default: print only")
    add_shared(parser, "num_threads", "ray")
    options = parser.parse_args(args)

    from freqvision.data.check import PhotoCheck
    from freqvision.data.opening import open_sources
    from freqvision.data.sources import Files, Sources

    source = Path(options.photos)
    if source.suffix == ".json":
        from freqvision.detection import read_coco

        folder: str | Path = Path(options.images) if options.images else source.parent
        photos: Sources = Files([image.path for image in read_coco(source, folder).images])
    else:
        photos = open_sources(options.photos)
        folder = options.photos if source.is_dir() else photos.root
    if not len(photos):
        raise ValueError(f"no photos in {source}")
    check = PhotoCheck.of(folder, photos, options.num_threads, photos.name, options.ray)
    for path, cause in check.damaged.items():
        print(printable(f"{path}: {cause}"))
    print(f"{len(check.damaged):,} of {check.checked:,} photos cannot be decoded")
    if options.output:
        check.save(options.output)
        print(f"written to {options.output}")
    return 1 if check.damaged else 0
