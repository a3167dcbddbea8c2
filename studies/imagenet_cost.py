"""The computed cost of a training on ImageNet: the table of configs/imagenet/README.md.

    python studies/imagenet_cost.py

Memory: weights, gradients and momentum in float32, and what the backward pass of a batch keeps in bfloat16,
counted on the meta device. Computing: three times the multiply-adds of the forward pass, at the rate given by
the options.
"""

import argparse
import itertools

import torch

import freqvision as fv
from freqvision.models import model_info

PHOTOS = 1_281_167
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


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128, help="photos on a GPU")
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--tflops", type=float, default=100, help="that a GPU reaches (default: 100)")
    options = parser.parse_args()
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
