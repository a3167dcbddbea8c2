"""What the parsers of commands share: the layout of --help, and options that several have."""

import re
from argparse import Action
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, DefaultHelpFormatter
from jsonargparse.typing import NonNegativeInt, PositiveInt

if TYPE_CHECKING:
    from freqvision.models import FrequencyModel

SHARED: dict[str, dict[str, Any]] = {
    "checkpoint": {"help": "a file of freqvision fit, or a folder of fv.save"},
    "model": {"help": "instead of a checkpoint: name of an RGB network"},
    "weights": {"help": "weights of --model: a file, or DEFAULT for published ones"},
    "strides": {"default": "standard", "help": "strides of --model: standard, v1 or released"},
    "num_classes": {"type": PositiveInt, "default": 1000, "help": "classes of --model"},
    "damaged": {
        "default": "error",
        "choices": ["error", "skip", "decode"],
        "help": "stop at a damaged photo, leave it out, or take what is there",
    },
    "exclude": {"help": "leave out the damaged photos of this list of freqvision check"},
    "num_threads": {"type": NonNegativeInt, "default": 0, "help": "decoding threads; 0 for all cores"},
    "ray": {"help": "address of a Ray cluster to work on, or auto; its machines see the same files"},
    "device": {"help": "such as cpu or cuda; default: a GPU if there is one"},
    "json": {"action": "store_true", "help": "print JSON only"},
}

RGB_MODEL = ("checkpoint", "model", "weights", "strides", "num_classes")  # options of `rgb_model`


def command_parser(command: str, description: str) -> ArgumentParser:
    """The parser of a command, without options."""
    return ArgumentParser(
        formatter_class=HelpFormatter, prog=f"freqvision {command}", description=description
    )


def add_shared(parser: ArgumentParser, *names: str) -> None:
    """Add some of the options that several commands have."""
    for name in names:
        parser.add_argument(f"--{name}", **SHARED[name])


def rgb_model(options: Any) -> "FrequencyModel":
    """The model of --checkpoint, or that of --model with its --weights, --strides and --num_classes."""
    if (options.checkpoint is None) == (options.model is None):
        raise ValueError("an RGB model is needed: name a --checkpoint or a --model, not both")
    if (options.model is None) != (options.weights is None):
        raise ValueError(
            "--model and --weights go together: a --model needs --weights, without which it answers at "
            "random, and a --checkpoint holds its own"
        )
    from freqvision.models import create_model, load, rgb_spec

    if options.checkpoint is not None:
        return load(options.checkpoint)
    arguments = {"weights": options.weights, "strides": options.strides}
    return create_model(options.model, rgb_spec(options.model), options.num_classes, **arguments)


class HelpFormatter(DefaultHelpFormatter):
    """jsonargparse's own, but examples keep their lines, types are left out, and defaults shown once."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.strip("\n").split("\n\n")
        return "\n\n".join(
            part if part.startswith(" ") else super(HelpFormatter, self)._fill_text(part, width, indent)
            for part in parts
        )

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        text = re.sub(r"\((?:required, )?type: .*?(, default: %\(default\)s)?\)$", r"(\1)", text)
        text = text.replace("(, default", "(default").removesuffix("()").rstrip()
        # A default that the help gives in words, or that is none.
        empty = action.default is None or action.default is False or action.default == []
        if empty or "default" in (action.help or "").lower():
            text = text.removesuffix("(default: %(default)s)").rstrip()
        return text
