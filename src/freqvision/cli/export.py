"""`freqvision export`: a trained model for other runtimes, or as a folder for a model hub."""

from pathlib import Path
from typing import TYPE_CHECKING

from jsonargparse import ArgumentParser

if TYPE_CHECKING:
    from freqvision.models import FrequencyModel

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "hub": ""}


def main(args: list[str]) -> None:
    """Write the file or folder, check that it gives the same, and say where it lies."""
    parser = ArgumentParser(prog="freqvision export", description="Write a trained model for other runtimes.")
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
        help="keep these alone, such as a file of freqvision select, and drop gates; default: all",
    )
    parser.add_argument("--output", help="file or folder to write; default: beside the checkpoint")
    options = parser.parse_args(args)

    from freqvision.models.export import export_onnx, export_pt2
    from freqvision.models.hub import save

    source = Path(options.checkpoint)
    model, classes = open_model(source)
    if options.channels:
        from freqvision.models.shrink import shrink
        from freqvision.spectrum import ChannelSet

        model = shrink(model, ChannelSet.parse(options.channels))
    default = source.with_name(source.name if source.is_dir() else source.stem)
    output = Path(options.output or f"{default}{SUFFIXES[options.to] or '_hub'}")
    if options.to == "hub":
        save(model, output, classes)
    else:
        (export_onnx if options.to == "onnx" else export_pt2)(model, output, classes)
        print(f"largest difference of a logit: {difference(model, output):.2g}")
    print(f"written to {output}")


def open_model(path: Path) -> "tuple[FrequencyModel, list[str] | None]":
    """A model and the names of its classes, from a folder of `fv.save` or a checkpoint of training."""
    if path.is_dir():
        from freqvision.models.hub import load

        model = load(path)
        return model, model.class_names
    from freqvision.engine.checkpoint import load_checkpoint

    return load_checkpoint(path)


def difference(model: "FrequencyModel", path: Path) -> float:
    """How far the logits of the exported file are from the model's, on three random inputs."""
    import torch

    generator = torch.Generator().manual_seed(0)
    shape = (3, *(model.spec.shape or (model.channels, 40, 56)))
    inputs = torch.randn(shape, generator=generator)
    if not model.spec.torch_dtype.is_floating_point:
        inputs = inputs * 32 + (128 if model.spec.dtype == "uint8" else 0)
    inputs = inputs.to(model.spec.torch_dtype)
    with torch.no_grad():
        expected = model.eval()(inputs)
        if path.suffix == ".onnx":
            import onnxruntime

            session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
            got = torch.from_numpy(session.run(None, {session.get_inputs()[0].name: inputs.numpy()})[0])
        else:
            got = torch.export.load(path).module()(inputs)
    return float((got - expected).abs().max())
