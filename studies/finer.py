"""Do frequencies beyond the low 4×4 change an ImageNet network's answers? Nothing is trained.

    python studies/finer.py [--networks mobilenet_v2]

The network sees images of 320 or 448 pixels, made by the whole inverse DCT from all 192 channels, or from the
low 4×4 of each component only, which is what half of that size shows. Grid, computing and photos are the
same, so only the finer frequencies differ. Adds each line to finer.csv, and resumes.
"""

import argparse
from pathlib import Path

import numpy as np
from links import LOW
from study import add_row, read_rows
from summary import bootstrap
from transport import NETWORKS, InBfloat16

import freqvision as fv
from freqvision.analysis.accuracy import measure, transport_spec
from freqvision.analysis.probe import find_labelled_photos
from freqvision.runtime import markdown

DOGS = range(151, 269)  # ImageNet's finest classes
CASES = [(side, channels) for side in (224, 320, 448) for channels in ("low", "all")]


def main() -> None:
    """Measure what is missing, and write table.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data/ and weights/")
    parser.add_argument("--networks", nargs="*", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--output", type=Path, default=Path("docs/results/finer"))
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    table = options.output / "finer.csv"
    sample = options.shared / "data" / "imagenet-sample"
    photos = find_labelled_photos(sample / "images", table=sample / "labels.csv")
    done = {(row["network"], row["side"], row["channels"]) for row in read_rows(table)}
    for name in options.networks:
        file, arguments = NETWORKS[name]
        weights = options.shared / "weights" / file
        rgb = fv.create_model(spec=fv.PixelSpec(), weights=weights, **arguments).eval()
        network = InBfloat16(rgb.network)
        for side, which in CASES:
            if (name, str(side), which) in done:
                continue
            channels = fv.ChannelSet.parse(LOW if which == "low" else "192")
            spec = transport_spec(fv.PixelSpec.for_crop(side), channels, "float32", scale=1)
            model = fv.Transport(network, spec, pixels=8)
            found = measure(model, spec, photos, batch_size=8, num_threads=1, progress=False)
            row = {"network": name, "side": side, "channels": which, "top1": f"{100 * found.top1:.1f}"}
            print(*row.values(), flush=True)
            add_row(table, row | {"right": "".join(str(int(one)) for one in found.correct)})
    rows = {(row["network"], row["side"], row["channels"]): row for row in read_rows(table)}
    dogs = np.isin(photos.labels, DOGS)
    lines = [["network", "pixels", "low 4×4, %", "all, %", "difference", f"of {dogs.sum()} dogs", "changed"]]
    for (name, side, which), row in rows.items():
        every = rows.get((name, side, "all"))
        if which != "low" or every is None:
            continue
        right, more = (np.array([[int(one) for one in found["right"]]]) for found in (row, every))
        gains = (100 * (more - right), 100 * (more - right)[:, dogs])
        cells = [f"{mean:+.1f} ({low:+.1f} to {high:+.1f})" for mean, low, high in map(bootstrap, gains)]
        lines.append([name, side, row["top1"], every["top1"], *cells, str((right != more).sum())])
    (options.output / "table.md").write_text(markdown(lines) + "\n")


if __name__ == "__main__":
    main()
