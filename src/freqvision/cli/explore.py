"""`freqvision explore`: a page on this machine that shows what photos are made of."""

from typing import TYPE_CHECKING, Any

from jsonargparse.typing import PositiveInt

from freqvision.cli.parser import RGB_MODEL, add_shared, command_parser, rgb_model

if TYPE_CHECKING:
    from freqvision.analysis.explore.photo import Reader

DESCRIPTION = """Open a page that shows what a photo is made of: its blocks, its 192 channels, what those that
you keep can rebuild, and how many bytes they take. With a model it shows what that sees in them.

  freqvision explore
  freqvision explore --checkpoint RUN/checkpoints/best.ckpt
  freqvision explore --model resnet50 --weights DEFAULT

The page is served to this machine only, and fetches nothing from elsewhere.
"""


def main(args: list[str]) -> None:
    """Serve the page until Ctrl-C."""
    parser = command_parser("explore", DESCRIPTION)
    add_shared(parser, *RGB_MODEL)
    parser.add_argument(
        "--fold", action="store_true", help="fold --model into a network of DCT channels; else Transport"
    )
    parser.add_argument("--host", default="127.0.0.1", help="address to serve at; 0.0.0.0 for other machines")
    parser.add_argument("--port", type=PositiveInt, help="default: the first free one from 7860")
    parser.add_argument("--no_browser", action="store_true", help="do not open a browser")
    options = parser.parse_args(args)

    from freqvision.analysis.explore.page import LAUNCH, page

    blocks = page(reader_of(options))
    _, url, _ = blocks.launch(
        **LAUNCH,
        server_name=options.host,
        server_port=options.port,
        inbrowser=not options.no_browser,
        prevent_thread_lock=True,
    )
    print(f"The page is at {url} until Ctrl-C.", flush=True)
    blocks.block_thread()


def reader_of(options: Any) -> "Reader | None":
    """The model that was asked for, if any."""
    if options.checkpoint is None and options.model is None and options.weights is None:
        return None
    from freqvision.analysis.explore.photo import EVERY, Reader
    from freqvision.models import create_model, default_spec

    model = rgb_model(options)
    if not options.fold:
        return Reader(model)
    if options.model is None:
        raise ValueError("--fold folds the weights of a --model; a --checkpoint is used as it is")
    arguments = {"weights": options.weights, "strides": options.strides, "start": "fold"}
    spec = default_spec(options.model, EVERY)
    return Reader(create_model(options.model, spec, options.num_classes, **arguments), rgb=model)
