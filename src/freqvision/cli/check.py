"""`freqvision check`: find the photos that cannot be decoded."""

from pathlib import Path

from jsonargparse import ArgumentParser
from jsonargparse.typing import NonNegativeInt

from freqvision.cli.help import THREADS, HelpFormatter


def main(args: list[str]) -> int:
    """Decode all photos, print the damaged ones and write the list; 1 where there are some."""
    parser = ArgumentParser(
        formatter_class=HelpFormatter,
        prog="freqvision check",
        description="Decode every photo once, whole, and list those that are damaged, with their causes.\n\n"
        "  freqvision check PHOTOS --output damaged.json\n"
        "  freqvision fit --data.root PHOTOS --data.exclude damaged.json …\n\n"
        "The exit code is 1 if a photo is damaged.",
    )
    parser.add_argument(
        "photos", help="folder, searched with its sub-folders, or a JSON file in COCO's format"
    )
    parser.add_argument("--images", help="folder of a COCO file's photos; default: the folder of the file")
    parser.add_argument("--output", help="JSON file to write, for --data.exclude; default: print only")
    parser.add_argument("--num_threads", type=NonNegativeInt, default=0, help=THREADS)
    options = parser.parse_args(args)

    from freqvision.data.check import PhotoCheck
    from freqvision.data.folder import find_photos

    source = Path(options.photos)
    if source.is_dir():
        folder, paths = source, find_photos(source)
    elif source.suffix == ".json":
        from freqvision.detection import read_coco

        folder = Path(options.images) if options.images else source.parent
        paths = [image.path for image in read_coco(source, folder).images]
    else:
        raise ValueError(f"{source} is neither a folder of photos nor a JSON file in COCO's format")
    if not paths:
        raise ValueError(f"no photos in {source}")
    check = PhotoCheck.of(folder, paths, options.num_threads)
    for path, cause in check.damaged.items():
        print(f"{path}: {cause}")
    print(f"{len(check.damaged):,} of {check.checked:,} photos cannot be decoded")
    if options.output:
        check.save(options.output)
        print(f"written to {options.output}")
    return 1 if check.damaged else 0
