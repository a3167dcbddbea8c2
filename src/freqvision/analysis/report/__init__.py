"""The page that shows what channel selection found."""

from freqvision.analysis.report.write import write_report

__all__ = ["write_report"]
