"""`freqvision demo`, at its smallest."""

import pytest
from PIL import Image

from freqvision.training.demo import demo


def test_the_demo_writes_all_it_promises(small_resnets, tmp_path, capsys):
    metrics = demo(tmp_path / "demo", photos=4, epochs=1)
    assert metrics["photos"] == 6
    output = capsys.readouterr().out
    for number in range(1, 6):
        assert f"[{number}/5]" in output
    assert str(tmp_path / "demo") in output
    assert (tmp_path / "demo" / "run" / "checkpoints" / "best.ckpt").is_file()
    for name in ("channels.png", "training.png"):
        with Image.open(tmp_path / "demo" / name) as image:
            assert image.width > 800
            low, high = image.convert("L").getextrema()
            assert high - low > 200
    with pytest.raises(ValueError, match="holds a demo already"):
        demo(tmp_path / "demo")
