"""Run a study: a table of trainings from one YAML file, gathered into CSV, a table and a figure.

    python studies/run.py studies/inputs.yaml [--jobs 2] [--only rgb-112 dct-24-fold]
    python studies/run.py studies/inputs.yaml --gather         # only gather what is there
    python studies/run.py studies/inputs.yaml --prepare        # time how files become each input, and gather

A study has inputs, seeds and learning rates. Each input is trained with the first seed at each learning rate;
the rate with the lowest validation loss in the last epoch is taken for the other seeds: of few photos it
tells more than their top-1 does.
Each training is a ``freqvision fit`` with a config of its own. After each run the results are gathered into
docs/results/STUDY: ``runs.csv``, ``configs/``, ``table.md`` and ``figure.png``. A run is complete if that
folder holds its line and the same settings, whatever machine it ran on; interrupted ones go on. How long a
photo takes to prepare is measured apart, on one thread, best when nothing else runs: ``preparation.csv``.
"""

import argparse
import os
import threading
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

import yaml
from preparation import prepared_in, time_preparation
from study import Run, Study, write_rows
from summary import draw, markdown, summarise

from freqvision.runtime import progress_bar


def execute(study: Study, names: Iterable[str], jobs: int) -> None:
    """All runs that are missing, the learning rates first, then seed by seed."""
    names = [name for name in names if name in study.trained]
    first, *others = study.seeds
    threads = max(1, len(os.sched_getaffinity(0)) // jobs)
    gathering = threading.Lock()

    def train(run: Run) -> str:
        with gathering:
            complete = run.row is not None
        if not complete:
            run.train(threads)
        with gathering:
            gather(study)
        return run.folder.name

    def train_all(runs: list[Run], what: str) -> None:
        with ThreadPoolExecutor(jobs) as pool, progress_bar(total=len(runs), desc=what, unit="run") as bar:
            for future in as_completed([pool.submit(train, run) for run in runs]):
                bar.set_postfix_str(future.result())
                bar.update()

    if len(study.learning_rates) == 1:  # nothing to wait for
        (rate,) = study.learning_rates
        train_all([study.run(name, seed, rate) for seed in study.seeds for name in names], "seeds")
        return
    train_all([study.run(name, first, rate) for rate in study.learning_rates for name in names], "tuning")
    for seed in others:
        rates = {name: study.chosen_rate(name) for name in names}
        train_all([study.run(name, seed, rate) for name, rate in rates.items() if rate], f"seed {seed}")


def gather(study: Study) -> None:
    """Write what the complete runs say to the study's folder."""
    rows = study.rows()
    if not rows:
        return
    write_rows(study.results / "runs.csv", rows)
    groups = summarise({name: one["label"] for name, one in study.inputs.items()}, rows)
    if not groups:  # nothing is tuned yet
        return
    (study.results / "table.md").write_text(markdown(groups, prepared_in(study)))
    draw(study.title, groups, study.results / "figure.png")


def main() -> None:
    """Run what is missing, and gather."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="YAML file; studies/inputs.yaml shows its keys")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, sharing the cores")
    parser.add_argument("--only", nargs="+", metavar="INPUT", help="only these inputs")
    parser.add_argument("--gather", action="store_true", help="train nothing")
    parser.add_argument("--prepare", action="store_true", help="train nothing, time the making of inputs")
    options = parser.parse_args()
    try:
        study = Study.load(options.study)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    unknown = set(options.only or ()) - set(study.inputs)
    if unknown:
        parser.error(f"no input {', '.join(unknown)}; there are {', '.join(study.inputs)}")
    if options.jobs < 1:
        parser.error(f"--jobs is a number from 1 on, not {options.jobs}")
    if options.prepare:
        try:
            time_preparation(study)
        except (OSError, ValueError) as error:
            parser.error(str(error))
    elif not options.gather:
        execute(study, options.only or study.inputs, options.jobs)
    gather(study)


if __name__ == "__main__":
    main()
