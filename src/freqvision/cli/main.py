"""The command `freqvision`: finds the sub-command, whose file does the rest."""

import importlib
import logging
import os
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

# Name → (module, what it does). Modules are imported for their command only, so that --help is quick.
COMMANDS = {
    "demo": ("freqvision.cli.demo", "see everything at work in two minutes, on generated photos"),
    "fit": ("freqvision.cli.fit", "train a model on a folder of photos"),
    "validate": ("freqvision.cli.validate", "measure the accuracy of a trained model"),
    "predict": ("freqvision.cli.predict", "classify photos, or find objects in them"),
    "transport": ("freqvision.cli.transport", "compare an RGB model on pixels and on DCT channels"),
    "info": ("freqvision.cli.info", "show what a model costs on DCT channels and on RGB pixels"),
    "export": ("freqvision.cli.export", "write a trained model for other runtimes or for a model hub"),
    "check": ("freqvision.cli.check", "find photos that cannot be decoded, before they end a training"),
    "pack": ("freqvision.cli.pack", "pack photos once, so that every epoch reads them faster"),
    "embed": ("freqvision.cli.embed", "write a model's features of many photos"),
    "stats": ("freqvision.cli.stats", "measure mean and deviation of each frequency over photos"),
    "select": ("freqvision.cli.select", "rank the DCT channels by how much they matter, and select some"),
    "explore": ("freqvision.cli.explore", "open a page that shows what photos are made of"),
    "report": ("freqvision.cli.report", "write what selection found to one HTML page"),
    "bench": ("freqvision.cli.bench", "time loading on your photos, next to other libraries"),
}

# Mistakes of the user or faults of a file: the message is enough, a traceback would hide it.
EXPECTED = (ValueError, TypeError, OSError, ModuleNotFoundError, NotImplementedError)


def main(args: Sequence[str] | None = None) -> int:
    """Run `freqvision COMMAND …`; returns the exit code: 0 for success, 1 for failure, 2 for wrong usage."""
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
        from freqvision.runtime import naming_extras

        out, err = _Terminal(sys.stdout), _Terminal(sys.stderr)
        with naming_extras(), redirect_stdout(out), redirect_stderr(err):
            code = importlib.import_module(COMMANDS[command][0]).main(args)
    except EXPECTED as error:
        if os.environ.get("FREQVISION_TRACEBACK"):
            raise
        from freqvision.runtime import printable

        message = printable(" ".join(str(error).split())) or type(error).__name__
        print(f"freqvision {command}: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt as error:
        print(f"freqvision {command}: interrupted{error}", file=sys.stderr)
        return 130
    return code or 0


class _Terminal:
    """A stream that passes on no sequence of control, which names of files and classes may hold."""

    def __init__(self, stream: Any) -> None:
        from freqvision.runtime import printable

        self.stream, self.printable = stream, printable

    def write(self, text: str) -> int:
        self.stream.write(self.printable(text, "\n\r\t"))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def show_log() -> None:
    """Show the library's own log as plain lines; other libraries' logs stay as they are."""
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
        "freqvision COMMAND --help explains a command. FREQVISION_TRACEBACK=1 shows an error's traceback."
    )


if __name__ == "__main__":
    sys.exit(main())
