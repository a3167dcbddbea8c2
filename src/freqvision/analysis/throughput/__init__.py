"""Times from JPEG bytes to a network's input: freqvision and its rivals, measured side by side."""

from freqvision.analysis.throughput.report import (
    bar_chart,
    line_charts,
    markdown_table,
    save_charts,
    text_table,
)
from freqvision.analysis.throughput.run import Benchmark, Row, Settings, run, task_name
from freqvision.analysis.throughput.timing import Spread, Task, Timings, measure

__all__ = [
    "Benchmark",
    "Row",
    "Settings",
    "Spread",
    "Task",
    "Timings",
    "bar_chart",
    "line_charts",
    "markdown_table",
    "measure",
    "run",
    "save_charts",
    "task_name",
    "text_table",
]
