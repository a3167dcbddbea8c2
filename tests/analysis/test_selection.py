"""Selectors on models and photos, and the command that runs them."""

import json
import re

import pytest
import torch
from conftest import fit_arguments
from PIL import Image

import freqvision as fv
from freqvision.analysis.measures import energy, gate_frequencies, rectangles
from freqvision.analysis.probe import find_labelled_photos, make_probe
from freqvision.analysis.scores import ChannelScores
from freqvision.cli.main import main
from freqvision.inputs import Decoder
from freqvision.models.gates import hard_gates, record_gates


@pytest.fixture(scope="module")
def gated_run(photos, tiny, tmp_path_factory):
    """A run of one epoch with gates on all 192 channels."""
    from freqvision.training.fit import fit

    output = tmp_path_factory.mktemp("gated") / "run"
    more = ("--data.channels", "192", "--trainer.max_epochs", "1", "--model.gates.penalty", "0.5")
    fit([*fit_arguments(photos, output, tiny), *more])
    return output


@pytest.fixture(scope="module")
def gated_model(tiny):
    """Gates that differ from photo to photo."""
    torch.manual_seed(0)
    spec = fv.FrequencySpec(72, 64, fv.ChannelSet.preset(24)).with_statistics(fv.ChannelStatistics.default())
    model = fv.create_model(tiny, spec, 6, gates={"open_probability": 0.5})
    torch.nn.init.normal_(model.gates.scorer.weight, std=3)
    torch.nn.init.normal_(model.gates.scorer.bias)
    return model.eval()


def test_gate_frequencies_are_counts_of_open_gates(gated_model, photos):
    names = sorted(path.name for path in (photos / "train").iterdir())
    labelled = find_labelled_photos(photos / "train", names)
    scores = gate_frequencies(gated_model, labelled, batch_size=5, progress=False)
    with record_gates(gated_model) as log_odds, torch.no_grad():
        gated_model(fv.Decoder(gated_model.spec)(labelled.paths))
    opened = hard_gates(log_odds[0]).double()
    assert scores.scores == pytest.approx(opened.mean(0).tolist())
    labels = torch.tensor(labelled.labels)
    for index, name in enumerate(names):
        assert scores.classes[name] == pytest.approx(opened[labels == index].mean(0).tolist())
    assert any(0 < share < 1 for share in scores.scores)


def test_gates_are_needed_for_their_frequencies(tiny, photos):
    with pytest.raises(ValueError, match="has no gates"):
        gate_frequencies(fv.create_model(tiny, fv.FrequencySpec(72, 64), 6), find_labelled_photos(photos))


def test_rgb_models_see_their_pixels_through_all_channels(tiny, tmp_path, photos):
    """The same logits as from decoded pixels, up to the rounding of pixels and the upsampling of chroma."""
    torch.manual_seed(1)
    for number, path in enumerate(sorted((photos / "validation").glob("*/*.jpg"))[:4]):
        Image.open(path).save(tmp_path / f"{number}.jpg", quality=95, subsampling="4:4:4")
    found = find_labelled_photos(tmp_path)
    model = fv.create_model(tiny, fv.PixelSpec(72, 64), 6).eval()
    probe = make_probe(model, found, progress=False)
    assert probe.inputs.shape == (4, 192, 8, 8)
    assert probe.inputs.mean((0, 2, 3)).abs().max() < 1e-4  # normalised by their own statistics
    with torch.no_grad():
        ours = probe.network(probe.inputs)
        theirs = model(Decoder(model.spec)(found.paths))
    assert (ours - theirs).abs().max() < 0.02 * theirs.abs().max()
    gray = probe.inputs.clone()
    gray[:, 64:] = (
        -torch.tensor(probe.spec.mean)[64:, None, None] / torch.tensor(probe.spec.std)[64:, None, None]
    )
    red, green, blue = probe.network.to_pixels(gray).unbind(1)
    torch.testing.assert_close(red, green, atol=1e-5, rtol=0)
    torch.testing.assert_close(red, blue, atol=1e-5, rtol=0)


def test_frequency_models_give_the_logits_they_always_give(gated_model, photos):
    found = find_labelled_photos(photos / "validation").spread(3)
    probe = make_probe(gated_model, found, progress=False)
    with torch.no_grad():
        expected = gated_model(fv.Decoder(gated_model.spec)(found.paths))
        torch.testing.assert_close(probe.network(probe.inputs), expected, rtol=1e-4, atol=1e-5)


def test_energy_is_variance_and_rectangles_are_presets():
    statistics = fv.ChannelStatistics.default()
    assert energy(statistics).scores == statistics.variance
    for size in (6, 12, 24, 32, 48, 64, 192):
        assert rectangles().top(size) == fv.ChannelSet.preset(size)


def test_photos_of_no_class_are_not_passed_over(photos):
    with pytest.raises(ValueError, match="not among the 1 given classes: checks, clouds, dots"):
        find_labelled_photos(photos / "train", ["rings"])


def test_labels_from_a_table(photos, tmp_path):
    paths = sorted((photos / "train").glob("rings/*.jpg"))
    lines = "\n".join(f"{path.name},{7 + number}" for number, path in enumerate(paths))
    (tmp_path / "labels.csv").write_text("file,class_index\n" + lines)
    found = find_labelled_photos(photos / "train" / "rings", None, tmp_path / "labels.csv")
    assert found.labels == [7, 8, 9, 10]
    assert found.spread(2).labels == [7, 9]
    with pytest.raises(ValueError, match="has no label for 24 of 24 photos"):
        find_labelled_photos(photos / "train", None, tmp_path / "labels.csv")
    (tmp_path / "labels.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="needs the columns file and class_index"):
        find_labelled_photos(photos / "train", None, tmp_path / "labels.csv")
    with pytest.raises(FileNotFoundError, match="no folder of photos"):
        find_labelled_photos(tmp_path / "nothing")


def test_select_by_gates_then_train_what_is_left(gated_run, photos, tiny, tmp_path, capsys):
    from freqvision.training.fit import fit

    checkpoint, output = gated_run / "checkpoints" / "last.ckpt", tmp_path / "gates"
    arguments = ["--checkpoint", str(checkpoint), "--data", str(photos / "train"), "--output", str(output)]
    # After one epoch all gates are still open.
    assert main(["select", *arguments, "--top", "10"]) == 1
    printed = capsys.readouterr()
    assert "WARNING: nothing follows from these scores: no gate ever closed" in printed.err
    assert "192 have the same open share" in printed.err
    more = ("--top", "10", "--allow_ties", "--shrink", "--curve", "[3,192]")
    assert main(["select", *arguments, *more]) == 0
    printed = capsys.readouterr().out
    channels = fv.ChannelSet.load(output / "channels.json")
    assert len(channels) == 10
    assert str(channels) in printed
    scores = ChannelScores.load(output / "scores.json")
    assert scores.top(10, allow_ties=True) == channels
    assert scores.doubts[0].startswith("no gate ever closed")
    assert re.search(r"the model classifies [\d.]+% of 24 photos correctly", scores.about)
    assert set(scores.classes) == {"checks", "clouds", "dots", "rays", "rings", "stripes"}
    small = fv.load(output / "model")
    assert (small.spec.channels, small.gates, len(small.class_names)) == (channels, None, 6)
    more = ("--data.channels", str(output / "channels.json"), "--trainer.max_epochs", "1")
    weights = ("--model.weights", str(output / "model" / "model.safetensors"))
    statistics = ("--data.statistics", str(gated_run / "statistics.json"))
    cli = fit([*fit_arguments(photos, tmp_path / "small", tiny), *more, *weights, *statistics])
    assert cli.model.spec.channels == channels
    assert cli.model.spec.mean == small.spec.mean
    assert cli.model.model.new_layers == ()


def test_a_shrunk_network_starts_another_training_with_its_own_config(photos, tiny, tmp_path):
    """Whose `start: fit` fits input layers to RGB weights; these come with theirs."""
    from freqvision.models.shrink import shrink
    from freqvision.training.fit import fit

    torch.manual_seed(2)
    large = fv.create_model(tiny, fv.FrequencySpec(72, 64, fv.ChannelSet.preset(48)), 6, start="fit")
    small = shrink(large, fv.ChannelSet.preset(24))
    fv.save(small, tmp_path / "model", sorted(path.name for path in (photos / "train").iterdir()))
    weights = ["--model.weights", str(tmp_path / "model" / "model.safetensors"), "--model.start", "fit"]
    cli = fit([*fit_arguments(photos, tmp_path / "run", tiny), *weights, "--trainer.max_epochs", "1"])
    assert cli.model.model.new_layers == ()
    assert cli.model.model.settings["start"] == "fit"


def test_channels_of_a_file_are_taken_by_stats_and_export(gated_run, photos, tmp_path):
    channels, file = fv.ChannelSet.parse("Y0,5,9+Cb1"), tmp_path / "channels.json"
    channels.save(file)
    output = tmp_path / "statistics.json"
    arguments = ["--resize", "72", "--crop", "64", "--channels", str(file), "--output", str(output)]
    assert main(["stats", str(photos / "train"), *arguments]) == 0
    assert fv.ChannelStatistics.load(output).channels == channels
    checkpoint = str(gated_run / "checkpoints" / "last.ckpt")
    arguments = ["--to", "hub", "--channels", str(file), "--output", str(tmp_path / "hub")]
    assert main(["export", checkpoint, *arguments]) == 0
    assert fv.load(tmp_path / "hub").spec.channels == channels


@pytest.mark.parametrize("to", ["onnx", "pt2", "hub"])
def test_exports_carry_gates(to, gated_run, tmp_path, capsys):
    """The command itself compares what it wrote with the model."""
    path = tmp_path / f"model.{to}"
    assert (
        main(["export", str(gated_run / "checkpoints" / "last.ckpt"), "--to", to, "--output", str(path)]) == 0
    )
    if to == "hub":
        assert fv.load(path).gates is not None
    else:
        assert float(re.search(r"largest difference of a logit: (\S+)", capsys.readouterr().out)[1]) < 1e-4


def test_select_by_sensitivity_of_an_rgb_checkpoint(photos, tiny, tmp_path, capsys):
    """A model of pixels, from fit, unlabelled photos, and a threshold."""
    from freqvision.training.fit import fit

    fit([*fit_arguments(photos, tmp_path / "run", tiny), "--data.input", "rgb", "--trainer.max_epochs", "1"])
    output = tmp_path / "sensitivity"
    arguments = ["--checkpoint", str(tmp_path / "run" / "checkpoints" / "last.ckpt"), "--output", str(output)]
    arguments += ["--data", str(photos / "validation" / "dots"), "--threshold", "-1"]
    assert main(["select", "--by", "sensitivity", *arguments]) == 0
    scores = ChannelScores.load(output / "scores.json")
    assert scores.unit == "divergence"
    assert len((output / "sensitivity.csv").read_text().splitlines()) == 193
    assert len(fv.ChannelSet.load(output / "channels.json")) == 192


@pytest.mark.parametrize("by", ["energy", "rectangles", "gradient"])
def test_every_selector_writes_the_same_files(by, gated_run, photos, tmp_path):
    source = ["--statistics", str(gated_run / "statistics.json")] if by == "energy" else []
    if by == "gradient":
        source = [
            "--checkpoint",
            str(gated_run / "checkpoints" / "last.ckpt"),
            "--data",
            str(photos / "validation"),
        ]
    assert main(["select", "--by", by, *source, "--top", "24", "--output", str(tmp_path)]) == 0
    assert len(json.loads((tmp_path / "channels.json").read_text())) == 3
    assert len(fv.ChannelSet.parse(str(tmp_path / "channels.json"))) == 24


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--by", "gates"], "needs a --checkpoint"),
        (["--by", "energy"], "needs --data"),
        (["--by", "rectangles", "--top", "24", "--shrink"], "--shrink needs a --checkpoint"),
        (["--by", "rectangles", "--top", "500"], "1 to 192 channels can be taken; got 500"),
        (["--by", "gates", "--checkpoint", "a", "--model", "b"], "not both"),
        (["--by", "rectangles", "--top", "24", "--threshold", "1"], "name one of them"),
        (["--by", "energy", "--measure", "loss"], "--measure is for --by sensitivity"),
        (["--by", "gates", "--statistics", "s.json"], "--statistics is for --by energy"),
        (["--by", "gates", "--checkpoint", "a", "--strides", "v1"], "--strides is for --model"),
        (["--by", "sensitivity", "--model", "resnet18", "--data", "x"], "--model needs --weights"),
        (["--by", "gates", "--checkpoint", "a", "--allow_ties"], "--allow_ties is for --top"),
        (["--by", "gates", "--checkpoint", "a", "--shrink"], "--shrink needs a --checkpoint, and --top"),
        (["--by", "gates", "--checkpoint", "nothing.ckpt"], "no checkpoint at nothing.ckpt"),
    ],
)
def test_mistakes_are_told(arguments, message, tmp_path, capsys):
    output = tmp_path / "output"
    assert main(["select", *arguments, "--output", str(output)]) == 1
    assert message in capsys.readouterr().err
    assert not output.exists()


def test_mistakes_are_told_before_the_measure(gated_run, photos, tmp_path, capsys):
    """Which takes minutes."""
    checkpoint = ["--checkpoint", str(gated_run / "checkpoints" / "last.ckpt")]
    unlabelled = [*checkpoint, "--by", "sensitivity", "--data", str(photos / "train" / "dots")]
    labelled = [*checkpoint, "--by", "sensitivity", "--data", str(photos / "validation")]
    output = tmp_path / "output"
    for arguments, message in (
        ([*unlabelled, "--measure", "accuracy"], "needs labels: name a CSV file of them with --labels"),
        ([*unlabelled, "--labels", str(tmp_path / "none.csv")], "no table of labels at"),
        ([*labelled, "--top", "193"], "1 to 192 channels can be taken; got 193"),
        ([*labelled, "--curve", "[6,193]"], "1 to 192 channels can be taken; got 193"),
    ):
        assert main(["select", *arguments, "--output", str(output)]) == 1
        printed = capsys.readouterr()
        assert message in printed.err
        assert ("measured without labels" in printed.out) == (
            arguments == [*unlabelled, "--measure", "accuracy"]
        )
        assert not output.exists()


def test_a_selection_by_ties_keeps_the_scores(tmp_path, capsys):
    arguments = ["--by", "rectangles", "--top", "25", "--output", str(tmp_path)]
    assert main(["select", *arguments]) == 1
    assert "which 25 channels to take is not decided: 8 have the same 1 / size" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]
    assert main(["select", *arguments, "--allow_ties"]) == 0
    assert len(fv.ChannelSet.load(tmp_path / "channels.json")) == 25


def test_a_model_that_guesses_is_said_to_guess(photos, tiny, tmp_path, capsys):
    torch.manual_seed(0)
    model = fv.create_model(tiny, fv.FrequencySpec(72, 64).with_statistics(fv.ChannelStatistics.default()), 6)
    fv.save(model, tmp_path / "model", sorted(path.name for path in (photos / "train").iterdir()))
    arguments = ["--checkpoint", str(tmp_path / "model"), "--data", str(photos / "train")]
    output = tmp_path / "selection"
    assert main(["select", "--by", "gradient", *arguments, "--output", str(output)]) == 0
    assert "the model does no better than guessing" in capsys.readouterr().err
    assert "does no better than guessing" in ChannelScores.load(output / "scores.json").doubts[0]


def test_a_threshold_that_none_reaches_keeps_the_scores(gated_run, tmp_path, capsys):
    statistics = ["--statistics", str(gated_run / "statistics.json")]
    arguments = ["--by", "energy", *statistics, "--threshold", "1e9", "--output", str(tmp_path)]
    assert main(["select", *arguments]) == 1
    assert re.search(r"no channel reaches 1e\+09: the greatest variance is \d", capsys.readouterr().err)
    assert [path.name for path in tmp_path.iterdir()] == ["scores.json"]


def test_other_scores_take_away_what_the_former_selected(gated_run, tmp_path):
    """A report would show the channels of one measure beside the scores of another."""
    energy = ["--by", "energy", "--statistics", str(gated_run / "statistics.json")]
    selected = tmp_path / "channels.json"
    for arguments, kept in (
        ([*energy, "--top", "24"], True),
        (energy, True),
        (["--by", "rectangles"], False),
    ):
        assert main(["select", *arguments, "--output", str(tmp_path)]) == 0
        assert selected.exists() == kept


def test_progress_bars_do_not_fill_log_files(gated_run, photos, tmp_path, capsys):
    checkpoint = ["--checkpoint", str(gated_run / "checkpoints" / "last.ckpt")]
    for by in ("gates", "gradient", "sensitivity"):
        source = ["--data", str(photos / "validation"), "--photos", "1", "--curve", "[6]"]
        arguments = ["--by", by, *checkpoint, *source, "--output", str(tmp_path / by)]
        assert main(["select", *arguments]) == 0
        assert "it/s" not in (err := capsys.readouterr().err)
        assert "%|" not in err
