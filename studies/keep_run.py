"""Keep a training run for the record: its metrics, its channel statistics and a plot of the metrics.

    python studies/keep_run.py runs/resnet50_dct24 docs/results/clothing-resnet50-dct24

Settings and weights are not kept: the command on the page of results makes them again.
"""

import argparse
import shutil
from pathlib import Path

from freqvision.analysis.figures import plot_training


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="folder of the run")
    parser.add_argument("output", type=Path, help="folder to keep it in")
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    for name in ("metrics.csv", "statistics.json"):
        if (options.run / name).exists():  # pixels have no statistics
            shutil.copy(options.run / name, options.output / name)
    plot_training(options.output / "metrics.csv", options.output / "curve.png")


if __name__ == "__main__":
    main()
