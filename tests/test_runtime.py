"""Progress bars: drawn on a terminal, few lines in a file. Files: written whole or not at all."""

import io
import json
import re
import sys
from pathlib import Path

import numpy as np
import pytest

import freqvision
import freqvision as fv
from freqvision import runtime
from freqvision.analysis.figures import plot_training
from freqvision.cli.main import main
from freqvision.detection.coco import draw_mask
from freqvision.models import export_onnx
from freqvision.runtime import EXTRAS, parse_json, progress_bar, read_text, replacing, write_text


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def clock(monkeypatch):
    """Seconds that a test lets pass."""
    seconds = [0.0]
    monkeypatch.setattr(runtime.time, "monotonic", lambda: seconds[0])
    return seconds


def test_a_line_a_minute_in_a_file(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    with progress_bar(total=3000, desc="statistics", unit="photo", mininterval=0) as bar:
        for i in range(3000):
            clock[0] = i / 10  # 300 seconds in all
            bar.set_postfix_str(f"photo {i}")
            bar.update()
    lines = file.getvalue().splitlines()
    assert len(lines) == 4
    assert all("statistics" in line and "/3000" in line for line in lines)
    assert "\r" not in file.getvalue()


def test_nothing_of_what_is_done_within_a_minute(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", file := io.StringIO())
    assert list(progress_bar(range(1000), mininterval=0)) == list(range(1000))
    assert file.getvalue() == ""


def test_a_bar_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(progress_bar(range(3), desc="adding")) == [0, 1, 2]
    assert "3/3" in terminal.getvalue()
    assert "\r" in terminal.getvalue()


def test_hidden(monkeypatch):
    monkeypatch.setattr(sys, "stderr", terminal := Terminal())
    assert list(progress_bar(range(3), shown=False)) == [0, 1, 2]
    assert terminal.getvalue() == ""


def test_stats_does_not_draw_into_a_log(photos, capfd):
    assert main(["stats", str(photos / "train"), "--resize", "72", "--crop", "64", "--num_threads", "1"]) == 0
    printed = capfd.readouterr()
    assert "24 photos" in printed.out
    assert printed.err == ""


def test_all_bars_are_of_this_kind():
    """A plain tqdm would draw into log files again."""
    files = list(Path(freqvision.__file__).parent.rglob("*.py"))
    assert len(files) > 100
    assert not [file for file in files if "tqdm(" in file.read_text()]


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_file_whose_writing_fails_keeps_its_content(tmp_path, error):
    path = tmp_path / "metrics.csv"
    path.write_text("before")

    def write():
        with replacing(path) as draft:
            draft.write_text("half")
            raise error

    with pytest.raises(type(error)):
        write()
    assert path.read_text() == "before"
    with replacing(path) as draft:
        draft.write_text("after")
    assert path.read_text() == "after"
    assert [file.name for file in tmp_path.iterdir()] == ["metrics.csv"]


def test_a_link_to_a_file_that_is_written_stays_a_link(tmp_path):
    (tmp_path / "link.json").symlink_to(tmp_path / "file.json")
    with replacing(tmp_path / "link.json") as draft:
        draft.write_text("{}")
    assert (tmp_path / "link.json").is_symlink()
    assert (tmp_path / "file.json").read_text() == "{}"


def _train():
    fv.fit(data="nowhere")


def _timm():
    fv.create_model("timm/resnet18")


def _onnx():
    export_onnx(fv.create_model("resnet18", fv.FrequencySpec(72, 64), 3), "model.onnx")


def _figure():
    plot_training("metrics.csv", "curve.png")


def _mask():
    draw_mask([np.array([0, 0, 0, 9, 9, 9])], (10, 10))


@pytest.mark.parametrize(
    ("extra", "module", "use"),
    [
        ("train", "lightning", _train),
        ("timm", "timm", _timm),
        ("export", "onnxscript", _onnx),
        ("report", "matplotlib", _figure),
        ("detection", "faster_coco_eval", _mask),
        ("hub", "huggingface_hub", lambda: fv.load("hf://owner/name")),
    ],
)
def test_a_missing_extra_is_named_where_it_is_needed(extra, module, use, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == module]:
        monkeypatch.delitem(sys.modules, name)
    for name in [name for name in sys.modules if name.startswith("freqvision.training.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'freqvision\[{extra}\]'"):
        use()


def test_every_extra_that_people_install_has_modules_that_name_it():
    text = (Path(__file__).parents[1] / "pyproject.toml").read_text(encoding="utf-8")
    (everything,) = re.findall(r'^all = \["freqvision\[(.*)\]"\]', text, re.MULTILINE)
    assert set(EXTRAS.values()) == set(everything.split(","))


def test_bars_are_drawn_in_notebooks_too(monkeypatch):
    class OutStream(io.StringIO):
        """Stands for ipykernel's stderr, which is no terminal."""

    OutStream.__module__ = "ipykernel.iostream"
    monkeypatch.setattr(sys, "stderr", stream := OutStream())
    assert list(progress_bar([1, 2], desc="reading")) == [1, 2]
    assert "reading: 100%" in stream.getvalue()


def test_processes_on_a_machine_divide_its_cores(monkeypatch):
    monkeypatch.setattr(runtime, "available_cores", lambda: 5)
    for processes, threads in ((None, 5), ("2", 2), ("8", 1)):  # torchrun says how many there are
        if processes:
            monkeypatch.setenv("LOCAL_WORLD_SIZE", processes)
        assert runtime.threads_here(0) == threads
        assert runtime.threads_here(3) == 3


def test_names_that_are_no_utf8_come_back_from_json(tmp_path):
    write_text(tmp_path / "a.json", json.dumps(["\udcff"], ensure_ascii=False))
    assert parse_json(read_text(tmp_path / "a.json")) == ["\udcff"]
