"""`freqvision fit`: train a model."""

import ast
import os
from importlib import resources
from typing import Any

USAGE = "freqvision fit [--config FILE] [--data.root PHOTOS] [--model.name NAME] [--SETTING VALUE ...]"
EXAMPLES = """Train a model on photos, on DCT channels or on pixels.

  freqvision fit --config configs/clothing/resnet50_dct24.yaml --data.root PHOTOS
  freqvision fit --data.root PHOTOS --model.name resnet18 --trainer.max_epochs 10
  freqvision fit --config CONFIG --ckpt_path last        resumes an interrupted run

PHOTOS holds train/CLASS/*.jpg and validation/CLASS/*.jpg. Tar shards, here or in object storage, and data
sets of the Hugging Face hub:

  freqvision fit --data PhotoShards --data.train s3://BUCKET/train --data.validation s3://BUCKET/validation
  freqvision fit --data PhotoTable --data.train NAME

Detectors take annotations in COCO's format:

  freqvision fit --config configs/coco/maskrcnn.yaml --data.root COCO
  freqvision fit --model Detector --data CocoPhotos --data.root COCO --model.name fcos_resnet50_fpn

Settings have the same names in a config and on the command line; later ones win.
"""
MORE = """
  freqvision fit --help_all                     every setting of the run and of Lightning's Trainer
  freqvision fit --model.help Classifier        every setting of the model, or of a Detector
  freqvision fit --data.help PhotoFolder        every setting of the data, or of PhotoShards
"""
# Of each class: prefix, file, name, settings that people use. Their defaults and meanings are read from the
# source: to import Lightning takes seconds.
COMMON = (
    ("data.", "training/photos", "PhotoFolder", "root validation input resize crop channels"),
    ("data.", "training/data_module", "PhotoData", "batch_size damaged"),
    ("model.", "training/classifier", "Classifier", "name weights start mixup ema"),
    ("model.optimisation.", "models/optimisation", "Optimisation", "optimizer lr schedule"),
)
RUN = (
    ("--trainer.max_epochs", "10", "Length of the training"),
    ("--trainer.devices", "auto", "Number of GPUs or processes"),
    ("--trainer.precision", "", "Such as bf16-mixed; by default what suits the machine"),
    ("--output", "", "Folder of the run; by default runs/ and the config's name"),
    ("--ckpt_path", "", "Checkpoint to resume from: a file, or last"),
)
WIDTH = 100


def main(args: list[str]) -> None:
    """Show the help, or train."""
    if {"-h", "--help"} & set(args):
        print(summary())
        raise SystemExit(0)

    from freqvision.cli.main import show_log
    from freqvision.cli.parser import HelpFormatter
    from freqvision.training.fit import fit

    if os.environ.get("LOCAL_RANK", "0") == "0":
        show_log()  # what becomes of the pretrained weights
    args = ["--help" if arg == "--help_all" else arg for arg in args]
    fit(args, formatter_class=HelpFormatter, usage=USAGE, description=EXAMPLES + MORE)


def summary() -> str:
    """One screen: examples, and the settings that people use."""
    rows = [("setting", "default", "")]
    for prefix, file, name, fields in COMMON:
        defaults, meanings = settings(file, name)
        for field in fields.split():
            default = defaults.get(field, "required")
            rows.append((f"--{prefix}{field}", "" if default is None else str(default), meanings[field]))
    rows += RUN
    wide = [max(len(row[column]) for row in rows) + 2 for column in (0, 1)]
    text = "\n".join(
        f"  {name:<{wide[0]}}{default:<{wide[1]}}{clause(meaning, WIDTH - sum(wide) - 2)}".rstrip()
        for name, default, meaning in rows
    )
    return f"usage: {USAGE}\n\n{EXAMPLES}\n{text}\n{MORE}"


def clause(text: str, width: int) -> str:
    """As much of a text as fits a line and makes sense."""
    text = text.partition(". ")[0].rstrip(".")
    while len(text) > width:
        cut = max(text.rfind(mark) for mark in (";", ":", ",", " ("))
        text = text[:cut] if cut > 0 else text[: text.rfind(" ", 0, width)]
    return text


def settings(file: str, name: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Defaults and meanings of a class's arguments, from its source."""
    from docstring_parser import parse

    source = (resources.files("freqvision") / f"{file}.py").read_text(encoding="utf-8")
    (node,) = (
        node for node in ast.parse(source).body if isinstance(node, ast.ClassDef) and node.name == name
    )
    defaults: dict[str, ast.expr] = {}
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and part.name == "__init__":
            names = [argument.arg for argument in part.args.args]
            defaults |= dict(zip(names[-len(part.args.defaults) :], part.args.defaults, strict=True))
        elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name) and part.value:
            defaults[part.target.id] = part.value
    values = {
        key: value.value if isinstance(value, ast.Constant) else ast.unparse(value)
        for key, value in defaults.items()
    }
    documented = parse(ast.get_docstring(node) or "").params
    return values, {item.arg_name: " ".join((item.description or "").split()) for item in documented}
