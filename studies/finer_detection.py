"""Does a detector use the frequencies beyond half of its size, and for objects of which size?

    python studies/finer_detection.py [--summary]

Trains a Faster R-CNN on pixels to find objects of any kind: ResNet-50 keeps its ImageNet weights, pyramid
and heads learn from windows of 96 photos of COCO. Untouched, it then sees images that Transport makes on one
grid: from all 192 channels, from the low 4×4 of each component, which is what half of the size shows, and
from 24. Measured on the 32 other photos, and on 32 that it was trained on. Training resumes after its last
epoch, measuring after its last set of channels; then writes detection.csv and detection.md.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from links import LOW
from study import write_rows
from torch import nn

import freqvision as fv
from freqvision.analysis.accuracy import transport_spec
from freqvision.detection import (
    CocoAnnotations,
    DetectionModel,
    DetectionPhotos,
    RandomDetectionView,
    create_detector,
    paste_in_photo,
    read_coco,
)
from freqvision.detection.average_precision import Results, average_precision, coco_results
from freqvision.runtime import markdown

PIXELS = fv.PixelSpec(320, None, max_size=534)
WINDOWS = RandomDetectionView(scale=(0.7, 1.1), crop=(256, 256))
TRAINED = range(96)  # photos
PARTS = {"others": range(96, 128), "trained on": TRAINED[::3]}
CHANNELS = {"low": LOW, "all": "192", "24": "24"}
SIZES = {
    "small": "box_ap_small",
    "medium": "box_ap_medium",
    "large": "box_ap_large",
    "any": "box_ap",
    "any, AP50": "box_ap50",
}
EPOCHS, BATCH, RATE = 16, 4, 4e-4
RESAMPLES = 100  # for standard errors


def objects(data: Path) -> CocoAnnotations:
    """COCO's 128 photos; all categories are one."""
    found = read_coco(data / "instances.json", data / "images")
    images = tuple(
        replace(image, objects=tuple(replace(one, label=1) for one in image.objects))
        for image in found.images
    )
    return replace(found, images=images, class_names=("background", "object"), category_ids=(0, 1))


def detector(weights: Path) -> DetectionModel:
    """Pyramid and heads are new; the backbone stays as it is, in bfloat16."""
    options = {"samples": 64}
    model = create_detector(
        "fasterrcnn_resnet50_fpn", PIXELS, 2, weights_backbone=weights, strides="v1", options=options
    )
    model.network.backbone.body.requires_grad_(False).to(torch.bfloat16)
    return model.to(memory_format=torch.channels_last)


def train(model: DetectionModel, truth: CocoAnnotations, keep: Path) -> None:
    """Learn from random windows; all is kept after each epoch, and an earlier run continued."""
    chosen = [truth.images[place] for place in TRAINED]
    windows = DetectionPhotos(
        [image.path for image in chosen],
        [truth.target(place, masks=False) for place in TRAINED],
        PIXELS,
        WINDOWS,
        num_threads=1,
    )
    learning = [one for one in model.parameters() if one.requires_grad]
    optimizer = torch.optim.AdamW(learning, RATE, weight_decay=1e-4, fused=True)
    steps = EPOCHS * len(chosen) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps + 1, pct_start=0.1)
    state = {"model": model, "optimizer": optimizer, "schedule": schedule}
    first = 0
    if keep.exists():
        kept = torch.load(keep, weights_only=True)
        first = kept["epoch"]
        for name, one in state.items():
            one.load_state_dict(kept[name])
    model.train()
    for epoch in range(first, EPOCHS):
        windows.set_epoch(epoch)
        torch.manual_seed(epoch)
        losses = []
        for indices in torch.randperm(len(chosen)).split(BATCH):
            images, targets = windows.__getitems__(indices.tolist())
            with torch.autocast("cpu", torch.bfloat16):
                loss = torch.stack(list(model(images, targets).values())).sum()
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(learning, 10)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
        print(f"epoch {epoch + 1} of {EPOCHS}, loss {np.mean(losses):.3f}", flush=True)
        draft = keep.with_suffix(".tmp")
        torch.save({name: one.state_dict() for name, one in state.items()} | {"epoch": epoch + 1}, draft)
        draft.replace(keep)


@torch.inference_mode()
def find(model: DetectionModel, truth: CocoAnnotations, part: Sequence[int], channels: str) -> Results:
    """What the detector finds in images made from these channels."""
    spec = transport_spec(PIXELS, fv.ChannelSet.parse(channels), "float32", scale=1)
    pixels = fv.Transport(nn.Identity(), spec, transforms=PIXELS, pixels=8)
    decode = fv.Decoder(spec, num_threads=1)
    results: Results = []
    for image in (truth.images[place] for place in part):
        view = PIXELS.view(image.size)
        (blocks,) = decode.each([image.path])
        shown = pixels(blocks[None])[0, :, : view.crop[2], : view.crop[3]]  # without the last blocks' rest
        with torch.autocast("cpu", torch.bfloat16):
            (found,) = model.detect([shown])
        results += coco_results(paste_in_photo(found, view, image.size, PIXELS), image.id, truth.category_ids)
    return results


def precision(truth: CocoAnnotations, results: Results, drawn: Sequence[int]) -> dict[str, float]:
    """Average precision by size, in %, over photos that may be drawn more than once."""
    images = [replace(truth.images[place], id=number) for number, place in enumerate(drawn)]
    of_photo: dict[int, Results] = {}
    for result in results:
        of_photo.setdefault(result["image_id"], []).append(result)
    renamed = [
        result | {"image_id": number}
        for number, place in enumerate(drawn)
        for result in of_photo.get(truth.images[place].id, [])
    ]
    found = average_precision(replace(truth, images=tuple(images)), renamed, range(len(images)), masks=False)
    return {size: 100 * found[name] for size, name in SIZES.items()}


def summarise(truth: CocoAnnotations, part: range, found: dict[str, Results]) -> Iterator[dict[str, str]]:
    """Precision of each case and what all channels are ahead by; 95 % intervals by bootstrap over photos."""
    rng = np.random.default_rng(0)
    draws = [part, *(rng.choice(part, len(part)) for _ in range(RESAMPLES))]
    values = {name: [precision(truth, results, drawn) for drawn in draws] for name, results in found.items()}
    for size in SIZES:
        by = {name: np.array([one[size] for one in every]) for name, every in values.items()}
        by |= {f"all − {name}": by["all"] - by[name] for name in list(by) if name != "all"}
        for name, every in by.items():
            half = 1.96 * np.nanstd(every[1:])
            yield {"size": size, "channels": name, "ap": f"{every[0]:.1f}", "interval": f"{half:.1f}"}


def main() -> None:
    """Train and measure what is missing; write detection.csv and detection.md."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--shared", type=Path, default=Path("../shared"), help="folder of data/ and weights/")
    parser.add_argument("--runs", type=Path, default=Path("runs/finer_detection"), help="what is kept")
    parser.add_argument("--output", type=Path, default=Path("docs/results/finer"))
    parser.add_argument("--summary", action="store_true", help="train and find nothing, write the table")
    options = parser.parse_args()
    options.runs.mkdir(parents=True, exist_ok=True)
    truth = objects(options.shared / "data" / "coco128")
    kept = {
        (part, name): options.runs / f"{part}-{name}.json".replace(" ", "-")
        for part in PARTS
        for name in CHANNELS
    }
    if not options.summary:
        torch.manual_seed(0)
        model = detector(options.shared / "weights" / "resnet50_v1_imagenet1k.safetensors")
        train(model, truth, options.runs / "detector.pt")
        model.eval()
        for (part, name), file in kept.items():
            if not file.exists():
                file.write_text(json.dumps(find(model, truth, PARTS[part], CHANNELS[name])))
                print(part, name, flush=True)
    rows = []
    for part, photos in PARTS.items():
        files = {name: kept[part, name] for name in CHANNELS}
        found = {name: json.loads(file.read_text()) for name, file in files.items() if file.exists()}
        if "all" in found:
            rows += [{"photos": part} | row for row in summarise(truth, photos, found)]
    write_rows(options.output / "detection.csv", rows)
    names = list(dict.fromkeys(row["channels"] for row in rows))
    lines = [["photos", "objects", *names]]
    for part in dict.fromkeys(row["photos"] for row in rows):
        for size in SIZES:
            mine = {r["channels"]: r for r in rows if (r["photos"], r["size"]) == (part, size)}
            cells = (f"{r['ap']} ± {r['interval']}" for r in mine.values())
            lines.append([part, size, *cells, *["–"] * (len(names) - len(mine))])
    (options.output / "detection.md").write_text(markdown(lines) + "\n")


if __name__ == "__main__":
    main()
