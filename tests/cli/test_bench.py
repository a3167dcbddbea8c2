import json

import pytest
from PIL import Image

from freqvision.cli.bench import main


@pytest.fixture
def folder(tmp_path):
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.jpg")
    return str(tmp_path)


def test_bench_prints_a_table(folder, capsys):
    main([folder, "--rounds", "2", "--threads", "1"])
    head, *rows = capsys.readouterr().out.splitlines()
    assert "photos/s, 1 thread" in head
    assert any(row.startswith("torchvision PIL RGB-224 float32") for row in rows)
    assert "1 photos; medians and quartiles of 2 rounds" in rows[-1]


def test_bench_prints_json(folder, capsys):
    main([folder, "--rounds", "1", "--threads", "1", "--json"])
    values = json.loads(capsys.readouterr().out)
    assert values["photos"] == 1
    assert values["speeds"][0]["name"] == "freqvision DCT-24@448 float32"
    assert all(speed["ms"]["median"] > 0 for speed in values["speeds"])


def test_help_explains_on_one_screen(capsys):
    with pytest.raises(SystemExit) as leave:
        main(["--help"])
    assert leave.value.code == 0
    printed = capsys.readouterr().out
    assert "folder of JPEG photos" in printed
    assert len(printed.splitlines()) < 40
