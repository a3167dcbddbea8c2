"""`freqvision info`, and that the documentation's table is what it prints."""

from pathlib import Path

import pytest

from freqvision.cli.info import main, rows
from freqvision.runtime import markdown

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_a_model_stands_beside_its_rgb_original(capsys):
    main(["resnet18", "--channels", "24,6", "--classes", "10"])
    header, rgb, dct24, dct6 = capsys.readouterr().out.splitlines()
    assert header.split()[:4] == ["model", "input", "photo", "tensor"]
    assert rgb.split()[1:4] == ["RGB", "224×224", "3×224×224"]
    assert dct24.split()[1:4] == ["DCT-24", "448×448", "24×56×56"]
    assert dct24.split()[-2:] == ["75,264", "301,056"]
    assert dct6.split()[3] == "6×56×56"


def test_without_a_model_all_are_listed(capsys):
    main([])
    listed = capsys.readouterr().out.split()
    assert {"resnet50", "mobilenet_v2", "vit_b_16"} <= set(listed)


def test_a_detector_leads_to_its_backbone():
    with pytest.raises(ValueError, match=r"fcos_resnet34_fpn is a detector.*its backbone, resnet34"):
        main(["fcos_resnet34_fpn"])


def test_the_documented_table_is_what_the_command_prints():
    documented = PAGE.read_text(encoding="utf-8").splitlines()
    for start in ("new", "fold"):
        for line in markdown(rows("mobilenet_v2", ["24", "6"], start=start), 2).splitlines():
            assert line in documented


def test_documented_cost_of_each_start_is_what_the_command_prints():
    documented = PAGE.read_text(encoding="utf-8")
    gmac = [rows("mobilenet_v2", ["24", "48"], start=start) for start in ("new", "fit", "fold")]
    cells = [lines[0][5] for lines in gmac[:1]] + [f"{lines[1][5]}, {lines[2][5]}" for lines in gmac]
    assert f"| mobilenet_v2 at 896 | {' | '.join(cells)} |" in documented


def test_markdown_is_of_the_model_and_the_start_that_were_asked_for(capsys):
    main(["resnet18", "--start", "fold", "--table"])
    _, _, rgb, folded = (line.split(" | ") for line in capsys.readouterr().out.splitlines())
    assert (rgb[0], folded[0]) == ("| resnet18", "| resnet18")
    assert float(folded[5]) > float(rgb[5])  # which a network without its stem does not need
