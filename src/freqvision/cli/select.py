"""`freqvision select`: which channels matter, by gates or by other measures."""

from __future__ import annotations

import math
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonargparse import ArgumentParser, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt

from freqvision.cli.data import HELP, add_data, data_of
from freqvision.cli.parser import RGB_MODEL, add_shared, command_parser, rgb_model

if TYPE_CHECKING:
    from freqvision.analysis.probe import LabelledPhotos, Probe
    from freqvision.analysis.scores import ChannelScores
    from freqvision.inputs import ChannelStatistics

NETWORK_PHOTOS = 200  # default where a network runs on them: they stay in memory, and take a while
USES_NETWORK = ("gates", "sensitivity", "gradient")
METHODS = (*USES_NETWORK, "energy", "rectangles")
DESCRIPTION = """Rank the DCT channels by how much they matter, and select some of them.

  freqvision select --by gates --checkpoint RUN/checkpoints/last.ckpt --data PHOTOS --top 24
  freqvision select --by sensitivity --model resnet50 --weights FILE --data PHOTOS --photos 40
  freqvision select --by energy --data PHOTOS --top 24

gates: how often each gate of a trained model is open. sensitivity: what the model loses without the channel.
gradient: the same to first order, in one pass. energy: variance over photos. rectangles: the paper's subsets.

Writes scores.json to --output, and with --top or --threshold channels.json for fit --data.channels.
"""


def main(args: list[str]) -> None:
    """Measure, print a summary, write the files."""
    options = parser().parse_args(args)
    output = Path(options.output or f"selection/{options.by}")

    # Mistakes are reported before minutes are spent on the measure.
    _check_options(options)
    model = _model(options)
    _check_counts(options, model)
    photos = _photos(options, model)
    probe = None
    if options.by in ("sensitivity", "gradient") or options.curve:
        probe = _probe(options, model, photos)
    scores = _scores(options, model, photos, probe, output)
    if options.by in USES_NETWORK and photos is not None and photos.labels is not None:
        scores = _with_accuracy(options, scores, model, photos)
    _save_scores(scores, output)
    _print_scores(scores)

    channels = None
    if options.top is not None:
        channels = scores.top(options.top, options.allow_ties)
        if tied := scores.tied_score(options.top):
            print(f"note: {tied} channels have the {scores.unit} of the last one: a second measure decided")
    elif options.threshold is not None:
        channels = scores.at_least(options.threshold)
    if channels is not None:
        channels.save(output / "channels.json")
        counts = ", ".join(f"{name} {len(channels.component(i))}" for i, name in enumerate(("Y", "Cb", "Cr")))
        print(f"selected {len(channels)} channels ({counts}): {channels}")
    if options.shrink:
        from freqvision.models import save
        from freqvision.models.shrink import shrink

        assert channels is not None
        save(shrink(model, channels), output / "model")
    if options.curve:
        from freqvision.analysis.curves import accuracy_by_count, save_curve

        assert probe is not None
        curve = accuracy_by_count(probe, scores, options.curve, batch_size=options.batch_size)
        save_curve(curve, output / "curve.csv")
        for point in curve:
            accuracy = "" if math.isnan(point.accuracy) else f"accuracy {point.accuracy:.1%}, "
            print(f"  {point.channels:3} channels: {accuracy}{point.agreement:.1%} as with all channels")
    print(f"written to {output}: {', '.join(sorted(path.name for path in output.iterdir()))}")


def parser() -> ArgumentParser:
    """The command's options."""
    parser = command_parser("select", DESCRIPTION)
    parser.add_argument("--by", default="gates", choices=METHODS, help="measure to rank channels by")
    add_shared(parser, *RGB_MODEL)
    add_data(parser, f"{HELP}; a folder has a sub-folder for each class to use labels")
    parser.add_argument("--labels", help="CSV file with columns file and class_index, instead of sub-folders")
    parser.add_argument(
        "--photos",
        type=NonNegativeInt | None,
        help="use this many photos, evenly spread; 0 for all; default: 200 where the network runs, else all",
    )
    parser.add_argument("--top", type=PositiveInt | None, help="select this many channels")
    parser.add_argument("--threshold", type=float | None, help="select channels with at least this score")
    parser.add_argument(
        "--allow_ties", action="store_true", help="with --top: of equal scores take the first of the ranking"
    )
    parser.add_argument("--shrink", action="store_true", help="also write the model for these channels only")
    parser.add_argument(
        "--curve", type=list[PositiveInt], default=[], help="accuracy with the best channels: [6,12,24]"
    )
    parser.add_argument(
        "--replace", default="mean", choices=["mean", "noise"], help="sensitivity: what replaces a channel"
    )
    parser.add_argument(
        "--measure",
        choices=["loss", "accuracy", "divergence", "changed"],
        help="sensitivity: what ranks channels; default: loss with labels, else divergence",
    )
    parser.add_argument("--seed", type=int, default=0, help="sensitivity: seed of the noise")
    parser.add_argument("--statistics", help="energy: file of freqvision stats instead of --data")
    parser.add_argument("--batch_size", type=PositiveInt, default=40, help="photos in a batch")
    add_shared(parser, "num_threads", "device")
    parser.add_argument("--output", help="folder of the results; default: selection/MEASURE")
    return parser


def _check_options(options: Namespace) -> None:
    """Refuse options that contradict each other or would be ignored."""
    if options.top is not None and options.threshold is not None:
        raise ValueError("--top and --threshold both say what is selected: name one of them")
    if options.allow_ties and options.top is None:
        raise ValueError("--allow_ties is for --top, and there is none")
    if options.shrink and (not options.checkpoint or (options.top is None and options.threshold is None)):
        raise ValueError("--shrink needs a --checkpoint, and --top or --threshold to select channels")
    defaults = parser().get_defaults()
    for name in ("replace", "measure", "seed", "statistics"):
        method = "energy" if name == "statistics" else "sensitivity"
        if options[name] != defaults[name] and options.by != method:
            raise ValueError(f"--{name} is for --by {method}; --by {options.by} does not use it")
    for name in ("weights", "strides", "num_classes"):
        if options[name] != defaults[name] and not options.model:
            raise ValueError(f"--{name} is for --model, the name of an RGB network, and there is none")


def _check_counts(options: Namespace, model: Any) -> None:
    from freqvision.spectrum.channels import NUM_CHANNELS

    channels = None if model is None else model.spec.channels
    if options.shrink and channels is None:
        raise ValueError(f"{options.checkpoint} is a model of pixels: it has no DCT channels to --shrink to")
    most = len(channels or range(NUM_CHANNELS))
    for count in (options.top or 1, *options.curve):
        if count > most:
            raise ValueError(f"1 to {most} channels can be taken; got {count}")


def _model(options: Namespace) -> Any:
    """The model that was asked for, on its device; None where the measure needs none."""
    if options.checkpoint or options.model:
        from freqvision.runtime import choose_device

        return rgb_model(options).eval().to(choose_device(options.device))
    if options.by in USES_NETWORK or options.curve:
        raise ValueError(f"--by {options.by} needs a --checkpoint, or the name of an RGB --model")
    return None


def _photos(options: Namespace, model: Any) -> LabelledPhotos | None:
    from freqvision.analysis.probe import find_labelled_photos

    if options.data is None:
        return None
    data = data_of(options.data)
    named = None if model is None else model.class_names
    if named and options.labels is None and isinstance(data, str) and Path(data).is_dir():
        folders = {path.name for path in Path(data).iterdir() if path.is_dir()}
        if not folders & set(named):
            named = None
            print(f"{data} has no sub-folders of the model's classes: measured without labels")
    return find_labelled_photos(data, named, options.labels).spread(options.photos or 0)


def _probe(options: Namespace, model: Any, photos: LabelledPhotos | None) -> Probe:
    from freqvision.analysis.probe import make_probe

    if photos is None:
        raise ValueError(f"--by {options.by} and --curve need a model and --data, photos to run it on")
    photos = photos.spread(NETWORK_PHOTOS if options.photos is None else options.photos)
    if photos.labels is None and options.measure in ("loss", "accuracy"):
        raise ValueError(
            f"--measure {options.measure} needs labels: name a CSV file of them with --labels, or use --data "
            "with a sub-folder for each class of the --checkpoint; divergence and changed need no labels"
        )
    device = next(model.parameters()).device
    return make_probe(model, photos, device=device, num_threads=options.num_threads)


def _scores(
    options: Namespace, model: Any, photos: LabelledPhotos | None, probe: Probe | None, output: Path
) -> ChannelScores:
    from freqvision.analysis import measures

    batches = {"batch_size": options.batch_size, "num_threads": options.num_threads}
    if options.by == "rectangles":
        return measures.rectangles()
    if options.by == "energy":
        return measures.energy(_statistics(options, model, photos))
    if photos is None:
        raise ValueError(f"--by {options.by} needs --data, a folder of photos")
    if options.by == "gates":
        return measures.gate_frequencies(model, photos, **batches)
    assert probe is not None
    if options.by == "gradient":
        return measures.gradient_importance(probe, batch_size=options.batch_size)
    from freqvision.analysis.sensitivity import leave_one_out

    output.mkdir(parents=True, exist_ok=True)
    measured = leave_one_out(
        probe,
        replace=options.replace,
        batch_size=options.batch_size,
        seed=options.seed,
        table=output / "sensitivity.csv",
    )
    return measured.scores(options.measure)


def _with_accuracy(
    options: Namespace, scores: ChannelScores, model: Any, photos: LabelledPhotos
) -> ChannelScores:
    """The scores with the model's accuracy, and a doubt if it only guesses."""
    from freqvision.analysis.accuracy import doubts_about, measure

    photos = photos.spread(min(options.photos or NETWORK_PHOTOS, NETWORK_PHOTOS))
    device = next(model.parameters()).device
    batches = {"batch_size": options.batch_size, "num_threads": options.num_threads}
    measured = measure(model, model.spec, photos, **batches, device=device)
    doubts = (*scores.doubts, *doubts_about(measured, photos, model.settings["num_classes"]))
    about = scores.about
    if scores.method != "sensitivity":  # which says so itself
        about += f"; the model classifies {measured.top1:.1%} of {len(photos.paths):,} photos correctly"
    return replace(scores, about=about, doubts=doubts)


def _statistics(options: Namespace, model: Any, photos: LabelledPhotos | None) -> ChannelStatistics:
    from freqvision.inputs import ChannelStatistics, FrequencySpec, collect_statistics

    if options.statistics:
        return ChannelStatistics.load(options.statistics)
    if photos is None:
        raise ValueError("--by energy needs --data, a folder of photos, or --statistics")
    spec = FrequencySpec() if model is None or model.spec.channels is None else model.spec
    return collect_statistics(photos.paths, spec, num_threads=options.num_threads)


def _save_scores(scores: ChannelScores, output: Path) -> None:
    """Write scores.json, and remove what earlier, different scores selected: a report would mix them."""
    output.mkdir(parents=True, exist_ok=True)
    path = output / "scores.json"
    before = path.read_bytes() if path.exists() else None
    scores.save(path)
    if path.read_bytes() != before:
        for name in ("channels.json", "curve.csv"):
            (output / name).unlink(missing_ok=True)


def _print_scores(scores: ChannelScores) -> None:
    """Print means by component and by radial frequency, both ends of the ranking, and doubts."""
    from freqvision.analysis.scores import channel_name

    form = "{:.1%}" if scores.unit.endswith("share") else "{:.4g}"

    def show(mean: float) -> str:
        return "–" if math.isnan(mean) else form.format(mean)

    print(f"{scores.method}: {scores.about}")
    means = ", ".join(f"{name} {show(mean)}" for name, mean in scores.by_component().items())
    print(f"mean {scores.unit}: {means}")
    print("by radial frequency, Y / Cb / Cr:")
    for radius, ring in scores.by_radius().items():
        print(f"  {radius:2}: " + " / ".join(show(mean) for mean in ring[:3]))
    ranking = [channel_name(index) for index in scores.ranking()]
    print(f"most useful: {', '.join(ranking[:12])}")
    print(f"least useful: {', '.join(ranking[-12:][::-1])}")
    for doubt in scores.doubts:
        print(f"WARNING: nothing follows from these scores: {doubt}", file=sys.stderr)
