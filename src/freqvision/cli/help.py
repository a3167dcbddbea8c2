"""How every command's --help is laid out."""

from argparse import Action

from jsonargparse import DefaultHelpFormatter


class HelpFormatter(DefaultHelpFormatter):
    """jsonargparse's own, but examples keep their lines, and defaults are told once, if there are any."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = text.strip("\n").split("\n\n")
        return "\n\n".join(
            part if part.startswith(" ") else super(HelpFormatter, self)._fill_text(part, width, indent)
            for part in parts
        )

    def _get_help_string(self, action: Action) -> str:
        text = super()._get_help_string(action)
        # Said already, in words, or nothing to say.
        if "default" in (action.help or "").lower() or action.default is None:
            text = text.replace(" (default: %(default)s)", "").replace(", default: %(default)s)", ")")
        return text
