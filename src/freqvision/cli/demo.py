"""`freqvision demo`: the whole path on generated photos."""

from jsonargparse.typing import PositiveInt

from freqvision.cli.parser import add_shared, command_parser


def main(args: list[str]) -> None:
    """Run the demo."""
    parser = command_parser(
        "demo",
        "Write JPEG photos, train a small model on their DCT channels, validate it, predict, and draw. "
        "About two minutes on two cores; nothing is downloaded.",
    )
    parser.add_argument("--output", help="folder for all that is written; default: a temporary one")
    parser.add_argument(
        "--photos", type=PositiveInt, default=100, help="training photos of each of six patterns"
    )
    parser.add_argument("--epochs", type=PositiveInt, help="length of the training; default: the demo's own")
    add_shared(parser, "num_threads")
    options = parser.parse_args(args).as_dict()

    from freqvision.training.demo import demo

    demo(**options)
