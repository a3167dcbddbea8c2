"""`freqvision predict`: what photos show, according to a trained model."""

import json
import sys
from functools import partial
from pathlib import Path
from typing import Any

from jsonargparse.typing import ClosedUnitInterval, PositiveInt

from freqvision.cli.parser import add_shared, command_parser
from freqvision.runtime import printable, write_text

BAR = 24  # characters of a full bar


def main(args: list[str]) -> int:
    """Print the most probable classes of each photo, or its objects; 1 if a photo could not be read."""
    parser = command_parser(
        "predict",
        "Print what photos show: the most probable classes, or the objects, which are drawn too.",
    )
    parser.add_argument("images", nargs="+", help="JPEG files, others that Pillow reads, or folders of them")
    parser.add_argument("--checkpoint", required=True, help="file of freqvision fit, or folder of fv.save")
    parser.add_argument("--top", type=PositiveInt | None, help="classifiers: classes to print; default: 5")
    parser.add_argument(
        "--output",
        help="detectors: folder for photos with the objects drawn on them, and predictions.json; default: "
        "detections",
    )
    parser.add_argument(
        "--min_score",
        type=ClosedUnitInterval | None,
        help="detectors: lowest score of an object; default: 0.5",
    )
    parser.add_argument(
        "--batch_size", type=PositiveInt | None, help="photos in a batch; default: 32, detectors 1"
    )
    add_shared(parser, "num_threads", "device", "json")
    options = parser.parse_args(args).as_dict()
    as_json = options.pop("json")
    named = {name: options.pop(name) for name in ("top", "output", "min_score")}
    given = {name: value for name, value in named.items() if value is not None}
    batch_size = options.pop("batch_size")
    options["images"] = [file for path in options["images"] for file in photos_of(path)]

    from freqvision.models.saved import load

    model = options["checkpoint"] = load(options["checkpoint"])
    classifies = model.task == "image-classification"
    settings: dict[str, Any] = {"top": 5} if classifies else {"output": "detections", "min_score": 0.5}
    foreign = [name for name in given if name not in settings]
    if foreign:
        of, this = ("detectors", "classifier") if classifies else ("classifiers", "detector")
        raise ValueError(f"--{foreign[0]} is for {of}; this is a {this}: leave it out")
    settings |= given
    if classifies:
        from freqvision.models.predict import predict

        results, describe = predict(**options, **settings, batch_size=batch_size or 32), describe_classes
    else:
        from freqvision.detection.find_objects import find_objects

        results, describe = (
            find_objects(**options, **settings, batch_size=batch_size or 1),
            partial(describe_objects, min_score=settings["min_score"]),
        )
        write_text(Path(settings["output"]) / "predictions.json", json.dumps(results, indent=1) + "\n")
    failed = [result for result in results if "error" in result]
    if as_json:
        print(json.dumps(results, indent=1))
    else:
        for result in results:
            if "error" not in result:
                print(describe(result))
        for result in failed:
            print(f"freqvision predict: {printable(result['error'])}", file=sys.stderr)
    return 1 if failed else 0


def photos_of(path: str) -> list[str]:
    """The photos in a folder and its sub-folders, or the file itself."""
    from freqvision.data.folder import find_photos

    if not Path(path).is_dir():
        return [path]
    photos = find_photos(path)
    if not photos:
        raise ValueError(f"no photos in {path} or its sub-folders")
    return photos


def describe_objects(result: dict[str, Any], min_score: float) -> str:
    """One photo's objects as lines, and where the picture is."""
    width = max((len(printable(found["class"])) for found in result["objects"]), default=0)
    lines = [
        f"  {printable(found['class']):<{width}}  {found['score']:6.1%}  at "
        + "{:.0f}, {:.0f}, size {:.0f}×{:.0f}".format(*found["bbox"])
        for found in result["objects"]
    ]
    nothing = f"  nothing with a score of {min_score:.0%} or more; --min_score shows more"
    return "\n".join(
        [printable(result["image"]), *(lines or [nothing]), f"  drawn in {printable(result['picture'])}"]
    )


def describe_classes(result: dict[str, Any]) -> str:
    """One photo's classes as lines with bars."""
    guesses = [(printable(guess["class"]), guess["probability"]) for guess in result["classes"]]
    width = max(len(name) for name, _ in guesses)
    lines = [f"  {name:<{width}}  {share:6.1%}  {'█' * round(BAR * share)}" for name, share in guesses]
    return "\n".join([printable(result["image"]), *(line.rstrip() for line in lines)])
