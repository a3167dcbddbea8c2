"""The page that shows what channel selection found."""

from freqvision.analysis.report.load import Run, Selection
from freqvision.analysis.report.write import write_report

__all__ = ["Run", "Selection", "write_report"]
