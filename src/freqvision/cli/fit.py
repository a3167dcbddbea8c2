"""`freqvision fit`: train a model."""


def main(args: list[str]) -> None:
    """Hand over to the engine."""
    from freqvision.cli.help import HelpFormatter
    from freqvision.cli.main import show_log
    from freqvision.training.fit import fit

    show_log()  # what becomes of the pretrained weights
    fit(args, formatter_class=HelpFormatter)
