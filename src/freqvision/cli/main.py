"""The command `freqvision`: finds the sub-command and leaves the rest to its file."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence

# Name → (module, what it does). Modules are imported when their command is asked for, so that --help is
# quick.
COMMANDS = {
    "demo": ("freqvision.cli.demo", "see it all at work in two minutes, on photos of its own making"),
    "fit": ("freqvision.cli.fit", "train a model on a folder of photos"),
    "validate": ("freqvision.cli.validate", "measure a trained model's accuracy"),
    "predict": ("freqvision.cli.predict", "print what photos show"),
    "info": ("freqvision.cli.info", "print what a model costs, beside its RGB original"),
    "export": ("freqvision.cli.export", "write a trained model for other runtimes, or for a model hub"),
    "stats": ("freqvision.cli.stats", "measure mean and deviation of each frequency over photos"),
    "select": ("freqvision.cli.select", "rank the channels by how much they matter, and select some"),
    "report": ("freqvision.cli.report", "write what selection found to a page that opens anywhere"),
    "bench": ("freqvision.cli.bench", "time loading on photos of your own, beside other libraries"),
}

# Mistakes of the user or faults of a file: their message says all; a traceback would only hide it.
EXPECTED = (ValueError, TypeError, OSError, ModuleNotFoundError, NotImplementedError)

# Modules that may be missing, and the extra that brings them; where one is optional to a command, the code
# that wants it says so itself.
EXTRAS = {"lightning": "train", "torchmetrics": "train", "tensorboard": "train"}


def main(args: Sequence[str] | None = None) -> int:
    """Run `freqvision COMMAND …`; returns the exit code: 0 done, 1 failed, 2 wrong usage."""
    args = list(sys.argv[1:] if args is None else args)
    if not args or args[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if args else 2
    if args[0] == "--version":
        from freqvision import __version__

        print(f"freqvision {__version__}")
        return 0
    command = args.pop(0)
    if command not in COMMANDS:
        print(
            f"freqvision: there is no command {command!r}; commands: {', '.join(COMMANDS)}", file=sys.stderr
        )
        return 2
    try:
        code = importlib.import_module(COMMANDS[command][0]).main(args)
    except EXPECTED as error:
        if os.environ.get("FREQVISION_TRACEBACK"):
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        extra = EXTRAS.get((getattr(error, "name", None) or "").partition(".")[0])
        if extra and isinstance(error, ModuleNotFoundError):
            message += f": pip install 'freqvision[{extra}]'"
        print(f"freqvision {command}: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"freqvision {command}: interrupted{error}", file=sys.stderr)
        return 130
    return code or 0


def show_log() -> None:
    """Let the library's own log speak, plainly; those of other libraries stay as they are."""
    log = logging.getLogger("freqvision")
    if not log.handlers:
        log.addHandler(logging.StreamHandler())
        log.setLevel(logging.INFO)
        log.propagate = False


def usage() -> str:
    """What `freqvision --help` prints."""
    width = max(map(len, COMMANDS))
    lines = "\n".join(f"  {name:<{width}}  {text}" for name, (_, text) in COMMANDS.items())
    return (
        f"usage: freqvision COMMAND [OPTIONS]\n\nComputer vision in the frequency domain.\n\n{lines}\n\n"
        "freqvision COMMAND --help explains a command. FREQVISION_TRACEBACK=1 shows where an error arose."
    )


if __name__ == "__main__":
    sys.exit(main())
