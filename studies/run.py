"""Run a study: the trainings that one YAML file plans, gathered into a CSV file, a table and a figure.

    python studies/run.py studies/inputs.yaml [--jobs 2] [--only rgb-112 dct-24-fold]
    python studies/run.py studies/inputs.yaml --gather         # write the table and the figure again
    python studies/run.py studies/inputs.yaml --prepare        # time how files become each input, then gather
    python studies/run.py studies/inputs.yaml --settings RUN   # print the settings of one run

A study has inputs, seeds and learning rates. Each input is trained with the first seed at each learning
rate. The rate with the lowest validation loss in the last epoch is used for the other seeds: with few
photos the loss is less noisy than top-1.
Each training is a ``freqvision fit`` with its own config. After each run the results are gathered into
docs/results/STUDY: ``runs.csv``, ``table.md`` and ``figure.png``. A run's settings follow from the YAML
file, so ``runs.csv`` holds only their fingerprint. A run is complete if it has a line with the
fingerprint that the YAML file gives today, whatever machine it ran on; an interrupted run resumes.
Preparation times are measured separately, on one thread, best when nothing else runs:
``preparation.csv``.
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
    """Train every missing run: first the learning rates, then seed by seed."""
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

    if len(study.learning_rates) == 1:  # nothing to choose
        (rate,) = study.learning_rates
        train_all([study.run(name, seed, rate) for seed in study.seeds for name in names], "seeds")
        return
    train_all([study.run(name, first, rate) for rate in study.learning_rates for name in names], "tuning")
    for seed in others:
        rates = {name: study.chosen_rate(name) for name in names}
        train_all([study.run(name, seed, rate) for name, rate in rates.items() if rate], f"seed {seed}")


def gather(study: Study) -> None:
    """Write the results of all complete runs to the study's folder."""
    rows = study.rows()
    if not rows:
        return
    write_rows(study.results / "runs.csv", rows)
    groups = summarise({name: one["label"] for name, one in study.inputs.items()}, rows)
    if not groups:  # no learning rate is chosen yet
        return
    (study.results / "table.md").write_text(markdown(groups, prepared_in(study)))
    draw(study.title, groups, study.results / "figure.png")


def main() -> None:
    """Train what is missing, and gather."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("study", type=Path, help="YAML file; studies/inputs.yaml shows its keys")
    parser.add_argument("--jobs", type=int, default=1, help="runs at the same time, which share the cores")
    parser.add_argument("--only", nargs="+", metavar="INPUT", help="only these inputs")
    parser.add_argument("--gather", action="store_true", help="train nothing")
    parser.add_argument("--prepare", action="store_true", help="train nothing, time how inputs are prepared")
    parser.add_argument(
        "--settings", metavar="RUN", help="print the settings of a run of runs.csv, as a config"
    )
    options = parser.parse_args()
    try:
        study = Study.load(options.study)
    except (OSError, ValueError, yaml.YAMLError) as error:
        parser.error(str(error))
    unknown = set(options.only or ()) - set(study.inputs)
    if unknown:
        parser.error(f"no input {', '.join(unknown)}; there are {', '.join(study.inputs)}")
    if options.jobs < 1:
        parser.error(f"--jobs must be at least 1, not {options.jobs}")
    if options.settings is not None:
        planned = study.planned()
        if options.settings not in planned:
            parser.error(f"no run {options.settings}; there are {', '.join(planned)}")
        print(yaml.safe_dump(planned[options.settings], sort_keys=False), end="")
        return
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
