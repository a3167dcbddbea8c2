"""The Python of the README and of the guides runs as it stands there."""

import re
from pathlib import Path

import numpy as np
import pytest
import torchvision
from PIL import Image
from safetensors.torch import save_file

from freqvision.data import write_synthetic_photos

ROOT = Path(__file__).resolve().parents[1]


PAGES = ["README.md", *(f"docs/{name}.md" for name in ("guide", "models", "selection", "detection"))]


@pytest.mark.parametrize("page", PAGES)
def test_python_blocks(page, tmp_path, monkeypatch):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0)
    for name in ("cat", "dog"):
        Image.fromarray(noise.integers(0, 256, (60, 80, 3), dtype=np.uint8)).save(f"{name}.jpg")
    write_synthetic_photos("photos/train", photos_per_class=2, size=64)
    save_file(torchvision.models.resnet50().state_dict(), "resnet50.safetensors")
    names = {"pretrained": torchvision.models.resnet18()}
    for block in blocks:
        exec(compile(block, page, "exec"), names)


def test_headline_table_is_that_of_the_study():
    def table(path: str, first: str) -> list[dict[str, str]]:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        start = next(number for number, line in enumerate(lines) if line.startswith(first))
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[start:]]
        rows = rows[: next((number for number, row in enumerate(rows) if len(row) < 2), len(rows))]
        return [dict(zip(rows[0], row, strict=True)) for row in rows[2:]]

    measured = {row["input"]: row for row in table("docs/results/inputs/table.md", "| input |")}
    headline = table("README.md", "| input |")
    assert len(headline) >= 6
    for row in headline:
        assert row.items() <= measured[row["input"]].items()
