"""How every command's --help is laid out."""

import re
from argparse import Action

from jsonargparse import DefaultHelpFormatter

THREADS = "decoding threads; 0 for all cores"
RAY = "address of a Ray cluster to work on, or auto; its machines see the same files"
DAMAGED = '"error" stops at a damaged photo, "skip" leaves it out'


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
