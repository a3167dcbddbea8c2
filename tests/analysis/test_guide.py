"""Every command of the guide on channel selection is one that freqvision understands."""

import re
import shlex
from pathlib import Path

import pytest

from freqvision.cli import report, select
from freqvision.cli.main import main

ROOT = Path(__file__).resolve().parents[2]


def guide_commands():
    text = (ROOT / "docs/selection.md").read_text(encoding="utf-8")
    blocks = re.findall(r"^```\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    return [shlex.split(line) for line in lines if line.startswith("freqvision ")]


def test_what_a_command_reads_an_earlier_one_has_written():
    """Folders of runs and of selections."""
    written = set()
    for _, command, *arguments in guide_commands():
        options = [word for word in arguments if word.startswith(("runs/", "selection/"))]
        output = arguments[arguments.index("--output") + 1] if "--output" in arguments else None
        for path in options:
            folder = "/".join(path.split("/")[:2])
            assert folder in written or path == output, f"{command}: nothing has written {path}"
        if command == "fit" and output is None:
            output = f"runs/{Path(arguments[arguments.index('--config') + 1]).stem}"
        written.add(output)


def test_commands_parse(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    commands = guide_commands()
    assert {command for _, command, *_ in commands} == {"fit", "select", "report"}
    for _, command, *arguments in commands:
        if command == "fit":
            with pytest.raises(SystemExit) as stop:
                main(["fit", *arguments, "--print_config"])
            assert not stop.value.code, capsys.readouterr().err
        else:
            {"select": select, "report": report}[command].parser().parse_args(arguments)
