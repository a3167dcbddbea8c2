"""What packing costs, and one function over parts, whose results are the same on any number of processes."""

import csv
import pickle
import random
from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import nn

import freqvision as fv
from freqvision import parts
from freqvision.cli.main import main
from freqvision.data import write_synthetic_photos
from freqvision.data.folder import find_photos
from freqvision.data.pack import measure_loss
from freqvision.inputs import collect_statistics
from freqvision.inputs.packed import Packer

SPEC = fv.FrequencySpec.for_crop(56)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("photos")
    write_synthetic_photos(folder, photos_per_class=2, size=160)
    return folder


class Answers(nn.Module):
    """Classes that follow from the input's signs."""

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        return inputs.flatten(2).mean(2)[:, :6]


def test_packing_without_loss_changes_no_view_and_no_answer(folder):
    for loss in measure_loss(find_photos(folder), Packer(), SPEC, Answers(), labels=[0] * 12).values():
        assert (loss.error, loss.equal) == (0, 1)
        assert loss.before == loss.after


def test_fewer_channels_and_smaller_crops_lose_more(folder):
    sources = find_photos(folder)
    losses = {
        channels: measure_loss(
            sources, Packer(fv.FrequencySpec(64, None, fv.ChannelSet.preset(channels))), SPEC, Answers()
        )
        for channels in (24, 64)
    }
    for few, many in zip(losses[24].values(), losses[64].values(), strict=True):
        assert 0 < many.error < few.error
        assert few.before is None
    errors = [loss.error for loss in losses[24].values()]  # whole photo, half of it, a fifth
    assert errors == sorted(errors)


def test_the_command_counts_answers(folder, tmp_path, capsys):
    state = torchvision.models.mobilenet_v3_small(num_classes=6).state_dict()
    save_file(state, tmp_path / "weights.safetensors")
    with (tmp_path / "labels.csv").open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("file", "class_index"))
        rows.writerows((Path(path).relative_to(folder), 3) for path in find_photos(folder))
    command = ["pack", str(folder), str(tmp_path / "out"), "--resize", "96", "--measure", "2"]
    command += ["--model", "mobilenet_v3_small", "--weights", str(tmp_path / "weights.safetensors")]
    assert main([*command, "--labels", str(tmp_path / "labels.csv")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-4].split("  ")[-1].strip() == "right from shards"
    assert [line.count("%") for line in lines[-3:]] == [3, 3, 3]
    assert main(["pack", str(folder), str(tmp_path / "out"), "--resize", "64"]) == 1
    assert "begun with other settings" in capsys.readouterr().err


def test_statistics_are_the_same_to_the_last_bit_on_any_number_of_threads(folder, monkeypatch):
    monkeypatch.setattr("freqvision.inputs.measure.PART", 1)
    spec = fv.FrequencySpec(resize=512, crop=448)  # 13 photos a batch
    sources = find_photos(folder)[:3] * 6
    one, two = (collect_statistics(sources, spec, False, num_threads=threads) for threads in (1, 2))
    assert one.to_json() == two.to_json()


def test_results_come_in_the_order_of_the_parts(monkeypatch):
    """Those of a cluster arrive as its machines finish them."""
    shuffled = random.Random(0).sample(range(7), 7)
    monkeypatch.setattr(
        parts, "_on_ray", lambda work, pieces, *_: ((place, work(pieces[place], None)) for place in shuffled)
    )
    pieces = parts.split(20, 3)
    found = list(parts.map_parts(lambda part, count: part, pieces, ray="a cluster", progress=False))
    assert found == pieces
    assert pieces[-1] == (18, 20)


def test_a_packer_travels_to_other_processes(folder):
    packer = Packer(fv.FrequencySpec(64, None), codec="zstd", level=3, num_threads=1)
    source = find_photos(folder)[:1]
    assert pickle.loads(pickle.dumps(packer))(source) == packer(source)
