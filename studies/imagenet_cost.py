"""The computed cost of a training on ImageNet: the table of configs/imagenet/README.md.

    python studies/imagenet_cost.py
    python studies/imagenet_cost.py --recipes    # studies/imagenet.sh and studies/coco.sh, on 1 and 8 GPUs

Memory: weights, gradients and momentum in float32, and what the backward pass of a batch keeps in bfloat16,
counted on the meta device. Computing: three times the multiply-adds of the forward pass, at the rate given by
the options.
"""

import argparse
import itertools

import torch
from torch.utils.flop_counter import FlopCounterMode

import freqvision as fv
from freqvision.detection.create import create_detector
from freqvision.models import model_info
from freqvision.runtime import markdown

PHOTOS, VALIDATED, COCO = 1_281_167, 50_000, 117_266
READ = 0.764  # milliseconds of one core for a random crop of a JPEG to DCT-24 (docs/performance.md)
CHANNELS = (None, 6, 12, 24, 32, 48, 64, 192)  # None: RGB
CROPS = {"resnet50": 448, "mobilenet_v2": 896}
EPOCHS = {"resnet50": 90, "mobilenet_v2": 150}


def spec_of(name: str, channels: int | None) -> fv.FrequencySpec | fv.PixelSpec:
    """The input of the recipes; without channels, RGB."""
    if channels is None:
        return fv.PixelSpec()
    return fv.FrequencySpec.for_crop(CROPS[name], channels=fv.ChannelSet.preset(channels))


def kept_bytes(name: str, spec: fv.FrequencySpec | fv.PixelSpec) -> int:
    """Bytes that a forward pass of one photo keeps for the backward pass, in bfloat16, without weights."""
    with torch.device("meta"):
        model = fv.create_model(name, spec=spec).train().bfloat16()
    weights = {id(parameter) for parameter in model.parameters()}
    kept: dict[int, int] = {}  # by tensor, which layers share

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if id(tensor) not in weights and tensor.ndim == 4:
            kept[id(tensor)] = tensor.nbytes
            alive.append(tensor)
        return tensor

    alive: list[torch.Tensor] = []
    image = torch.empty(1, *spec.shape, dtype=torch.bfloat16, device="meta")
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        model.network(image)
    return sum(kept.values())


def detector_macs(spec: fv.FrequencySpec | fv.PixelSpec, height: int, width: int) -> float:
    """Multiply-adds of a training step of Mask R-CNN with one photo, forward and backward.

    The counted steps are on smaller photos: all but the heads grows with the area, and the heads learn from
    512 regions whatever the photo.
    """
    model = create_detector("maskrcnn_resnet50_fpn", spec, num_classes=81).train()
    cell = 1 if spec.channels is None else 4  # pixels of the image
    areas, counts = [], []
    for side in (192, 320):
        box = torch.tensor([[side / 4, side / 4, side / 2, side / 2]])
        target = {"boxes": box, "labels": torch.tensor([1]), "masks": torch.ones(1, side, side).bool()}
        image = torch.zeros(spec.num_channels, side // cell, side // cell)
        with FlopCounterMode(display=False) as counter:
            sum(model([image], [target]).values()).backward()
        areas.append(side**2)
        counts.append(counter.get_total_flops() / 2)
    slope = (counts[1] - counts[0]) / (areas[1] - areas[0])
    return counts[0] + slope * (height * width - areas[0])


def recipes(gpus: tuple[int, ...], tflops: float) -> None:
    """Print hours of the recipes, by multiply-adds, and the cores that keep up with them."""
    jobs = []
    for channels in (None, 24):
        spec = spec_of("resnet50", channels)
        macs = 3 * model_info("resnet50", spec).macs * (1 + VALIDATED / PHOTOS / 3)
        label = "RGB-224" if channels is None else f"DCT-{channels} at 448"
        jobs += [(f"ResNet-50, {epochs} epochs", label, macs, PHOTOS * epochs) for epochs in (16, 90)]
    for label, size in (
        ("RGB-800", fv.PixelSpec(800, None)),
        ("DCT-24 at 1600", fv.FrequencySpec(1600, None)),
    ):
        jobs.append(("Mask R-CNN, 12 epochs", label, detector_macs(size, 800, 1067), COCO * 12))
    titles = ["recipe", "input", "GMAC per photo and step", "photos/s of a GPU"]
    rows = [titles + [f"hours, {count} GPU{'s' * (count > 1)}" for count in gpus] + ["cores for a GPU"]]
    for recipe, label, macs, seen in jobs:
        rate = tflops * 1e12 / (2 * macs)
        hours = [f"{seen / rate / count / 3600:.2g}" for count in gpus]
        cores = f"{rate * READ / 1000:.1f}" if recipe.startswith("ResNet") else "–"
        rows.append([recipe, label, f"{macs / 1e9:.1f}", f"{rate:.0f}", *hours, cores])
    print(markdown(rows, left=2))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="photos on a GPU")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--tflops", type=float, default=100, help="that a GPU reaches (default: 100)")
    parser.add_argument("--recipes", action="store_true", help="of the scripts instead, on 1 and on --gpus")
    options = parser.parse_args()
    if options.recipes:
        recipes((1, options.gpus), options.tflops)
        return
    titles = ["network", "input", f"GB on a GPU, {options.batch} photos"]
    titles += [f"hours, {options.gpus} GPUs of {options.tflops:g} TFLOP/s", "TB to the GPUs, 8 bits a value"]
    print(f"| {' | '.join(titles)} |\n| --- | --- | ---: | ---: | ---: |")
    for name, channels in itertools.product(CROPS, CHANNELS):
        spec = spec_of(name, channels)
        info = model_info(name, spec)
        memory = 12 * info.parameters + options.batch * kept_bytes(name, spec)
        seen = PHOTOS * EPOCHS[name]
        hours = 6 * info.macs * seen / (options.tflops * 1e12 * options.gpus) / 3600
        label = "RGB-224" if channels is None else f"DCT-{channels} at {CROPS[name]}"
        print(f"| {name} | {label} | {memory / 1e9:.1f} | {hours:.2f} | {info.values * seen / 1e12:.1f} |")


if __name__ == "__main__":
    main()
