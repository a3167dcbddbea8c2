import json

import pytest
from PIL import Image

from freqvision.cli.bench import main


def test_bench_prints_a_table_and_saves_everything(tmp_path, capsys):
    pytest.importorskip("matplotlib")
    Image.linear_gradient("L").convert("RGB").save(tmp_path / "photo.jpg")
    output = tmp_path / "results"
    few = ["--rounds", "2", "--threads", "1", "--sweeps", "false", "--memory", "false"]
    main(
        [str(tmp_path), *few, "--pipelines", "freqvision DCT-24@448", "*PIL RGB-224", "--output", str(output)]
    )
    printed = capsys.readouterr().out
    assert "torchvision PIL RGB-224" in printed
    values = json.loads((output / "throughput.json").read_text())
    assert [row["pipeline"] for row in values["results"]] == [
        "freqvision DCT-24@448",
        "torchvision PIL RGB-224",
    ]
    assert (output / "throughput.txt").read_text().strip() in printed
    assert Image.open(output / "throughput-times.png").width > 500


def test_help_explains(capsys):
    with pytest.raises(SystemExit) as leave:
        main(["--help"])
    assert leave.value.code == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Folder of JPEG photos" in printed
    assert "How many of the folder's photos" in printed
