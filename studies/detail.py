"""How much a trained, folded network uses the channels that RGB does not show.

    python studies/detail.py runs/inputs/dct-48-fold_seed*/checkpoints/last.ckpt --photos PHOTOS

For each checkpoint: the standard deviation of what these channels add to the first convolution's outputs,
divided by that of the outputs themselves (median over outputs), and the share of photos that get the same
answer without these channels. Writes detail.csv.
"""

import argparse
from pathlib import Path

import torch
from torch import nn

import freqvision as fv
from freqvision.data.folder import find_photos
from freqvision.models import load
from freqvision.models.block_convolution import FoldedConvolution
from freqvision.runtime import batches

from study import write_rows  # isort: skip  # next to this file

BATCH = 32


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("checkpoints", type=Path, nargs="+", help="of freqvision fit, with start: fold")
    parser.add_argument("--photos", type=Path, required=True, help="folder")
    parser.add_argument("--output", type=Path, default=Path("docs/results/inputs"), help="folder for the CSV")
    options = parser.parse_args()
    files = find_photos(options.photos)
    rows = []
    for path in options.checkpoints:
        model = load(path)
        layers = [layer for layer in model.modules() if isinstance(layer, FoldedConvolution) and layer.detail]
        if not layers:
            parser.error(f"{path} is not folded, or all of its channels show in RGB")
        share, same = measure(model, layers[0], files)
        run = path.parents[1].name
        rows.append({"run": run, "photos": len(files), "share": f"{share:.4f}", "same_answer": f"{same:.4f}"})
        print(rows[-1], flush=True)
    write_rows(options.output / "detail.csv", rows)


@torch.inference_mode()
def measure(model: nn.Module, layer: FoldedConvolution, files: list[str]) -> tuple[float, float]:
    """Share of the added channels in the outputs, and of photos with the same answer without them."""
    decoder = fv.Decoder(model.spec)
    found: dict[nn.Module, list[torch.Tensor]] = {layer.convolution: [], layer.detail: []}

    def note(module: nn.Module, _: object, outputs: torch.Tensor) -> None:
        values = outputs.double().mean(dim=(2, 3)), outputs.double().square().mean(dim=(2, 3))
        found[module].append(torch.stack(values))  # (2, B, S)

    hooks = [module.register_forward_hook(note) for module in found]
    inputs = [decoder(photos) for photos in batches(files, BATCH)]
    answers = torch.cat([model(batch).argmax(1) for batch in inputs])
    for hook in hooks:
        hook.remove()
    layer.detail.convolution.weight.zero_()
    without = torch.cat([model(batch).argmax(1) for batch in inputs])
    moments = (torch.cat(parts, 1).mean(1) for parts in found.values())  # over all photos
    shown, added = (square - mean.square() for mean, square in moments)  # variances of each output channel
    ratio = (added / shown).sqrt()
    return float(ratio.median()), float((answers == without).float().mean())


if __name__ == "__main__":
    main()
