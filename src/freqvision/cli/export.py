"""`freqvision export`: a trained model for other runtimes, or as a folder for a model hub."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from freqvision.cli.parser import command_parser

if TYPE_CHECKING:
    import numpy as np
    import torch

    from freqvision.inputs.spec import InputSpec
    from freqvision.models import FrequencyModel

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "hub": ""}


def main(args: list[str]) -> None:
    """Write the file or folder, compare its outputs with the model's, and print where it is."""
    parser = command_parser("export", "Write a trained model for other runtimes.")
    parser.add_argument("checkpoint", help="file that freqvision fit wrote, or folder that fv.save wrote")
    parser.add_argument(
        "--to",
        required=True,
        choices=list(SUFFIXES),
        help="onnx (for onnxruntime and others), pt2 (for PyTorch without freqvision), hub (safetensors, "
        "configuration and model card in a folder that fv.load opens)",
    )
    parser.add_argument(
        "--channels",
        help="keep only these, such as a file of freqvision select, and drop gates; default: all",
    )
    parser.add_argument(
        "--size",
        type=tuple[int, int] | None,
        help="detectors to onnx: [height,width] of the images in pixels, multiples of 32; default: the "
        "shorter and the longer side in training",
    )
    parser.add_argument("--output", help="file or folder to write; default: next to the checkpoint")
    options = parser.parse_args(args)

    from freqvision.detection.export import export_size
    from freqvision.models import export_onnx, export_pt2, load, save
    from freqvision.runtime import address, check_writable

    source = Path(options.checkpoint)
    if address(source):
        default = Path(source.name.partition("@")[0])
    else:
        default = source.resolve() if source.is_dir() else source.with_suffix("")
    output = Path(options.output or f"{default}{SUFFIXES[options.to] or '_hub'}")
    check_writable(output)
    model = load(source)
    classes = model.class_names
    if options.size and not (options.to == "onnx" and model.task == "object-detection"):
        raise ValueError(
            f"--size is for detectors and onnx; this is {model.settings['name']} for {options.to}"
        )
    if options.channels:
        from freqvision.models.shrink import shrink
        from freqvision.spectrum import ChannelSet

        model = shrink(model, ChannelSet.parse(options.channels))
    if options.to == "hub":
        save(model, output, classes)
    elif options.to == "onnx" and model.task == "object-detection":
        size = export_size(model.spec, options.size)
        export_onnx(model, output, classes, size)
        count, far = detector_difference(model, output, size)
        print(f"takes images of {size[0]}×{size[1]} pixels (height × width)")
        print(f"largest difference of {count:,} boxes found in noise: {far:.2g} pixels")
    else:
        (export_onnx if options.to == "onnx" else export_pt2)(model, output, classes)
        print(f"largest difference of a logit: {difference(model, output, options.to):.2g}")
    print(f"written to {output}")


def difference(model: "FrequencyModel", path: Path, kind: str) -> float:
    """Largest difference between the logits of the exported file and the model's, on random inputs."""
    import torch

    inputs = noise(model.spec, (3, *(model.spec.shape or (model.channels, 40, 56))))
    with torch.no_grad():
        expected = model.eval()(inputs)
        if kind == "onnx":
            got = torch.from_numpy(run_onnx(path, inputs)[0])
        else:
            got = torch.export.load(path).module()(inputs)
    return float((got - expected).abs().max())


def detector_difference(model: Any, path: Path, size: tuple[int, int]) -> tuple[int, float]:
    """Number of detections in three random inputs, and their largest difference in pixels.

    Each box is compared with the nearest one with its label, since boxes of equal score may change places.
    """
    import torch

    from freqvision.detection.targets import cell_pixels

    cells = cell_pixels(model.spec)
    count, far = 0, 0.0
    for seed in range(3):
        image = noise(model.spec, (model.channels, size[0] // cells, size[1] // cells), seed)
        with torch.no_grad():
            (expected,) = model.eval().detect([image])
        boxes, labels = (torch.from_numpy(values) for values in run_onnx(path, image)[:2])
        other = torch.cdist(expected["boxes"], boxes, p=torch.inf)  # (N, M)
        other[expected["labels"][:, None] != labels] = torch.inf
        count += len(expected["boxes"])
        if len(boxes) != len(expected["boxes"]):
            far = torch.inf
        elif len(boxes):
            far = max(far, float(other.amin(0).max()), float(other.amin(1).max()))
    return count, far


def noise(spec: "InputSpec", shape: tuple[int, ...], seed: int = 0) -> "torch.Tensor":
    """A random input of the spec's type."""
    import torch

    inputs = torch.randn(shape, generator=torch.Generator().manual_seed(seed))
    if not spec.torch_dtype.is_floating_point:
        inputs = inputs * 32 + (128 if spec.dtype == "uint8" else 0)
    return inputs.to(spec.torch_dtype)


def run_onnx(path: Path, inputs: "torch.Tensor") -> "list[np.ndarray]":
    """The outputs of onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: inputs.numpy()})
    return outputs
