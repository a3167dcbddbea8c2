"""How long a photo takes to become each input of a study."""

import csv
import time
from functools import partial
from pathlib import Path

from freqvision.analysis.speed import busy_cores
from freqvision.analysis.timing import Task, measure
from freqvision.data.folder import find_photos
from freqvision.inputs.decoder import Decoder
from freqvision.training.photos import PhotoFolder

from study import Study  # isort: skip  # next to this file


def time_preparation(study: Study, photos: int = 64, rounds: int = 7) -> None:
    """Time, in CPU time of one thread, how validation photos become each input, including transported ones.

    Writes ``preparation.csv``: milliseconds per photo, as median and quartiles of interleaved rounds, and how
    many cores other programs kept busy before.

    Raises:
        FileNotFoundError: The photos do not exist.
    """
    busy = busy_cores()
    tasks = []
    for name, one in study.inputs.items():
        sent = one.get("transport")
        trained = sent["of"] if sent else name
        data = study.run(trained, study.seeds[0], study.learning_rates[0]).arguments["data"]
        files = find_photos(Path(data["root"]) / data.get("validation", "validation"))
        files = files[:: max(1, len(files) // photos)][:photos]
        spec = PhotoFolder(**{**data, "dtype": "float32"}).spec
        # Any statistics take the same time.
        spec = study.sent_spec(name, spec) if sent else spec.with_dtype(data.get("dtype", "float32"))
        tasks.append(Task(name, partial(Decoder(spec, 1), files), len(files)))
    timings = measure(tasks, rounds, clock=time.process_time)
    study.results.mkdir(parents=True, exist_ok=True)
    with open(study.results / "preparation.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["input", "ms", "ms_q25", "ms_q75", "photos", "rounds", "busy_cores"])
        for task in tasks:
            spread = timings.spread(task.name)
            times = [f"{value:.3f}" for value in (spread.median, spread.low, spread.high)]
            writer.writerow([task.name, *times, task.photos, rounds, busy])


def prepared_in(study: Study) -> dict[str, str]:
    """Milliseconds per photo of each input that was measured."""
    path = study.results / "preparation.csv"
    if not path.exists():
        return {}
    with open(path, newline="") as file:
        return {row["input"]: row["ms"] for row in csv.DictReader(file)}
