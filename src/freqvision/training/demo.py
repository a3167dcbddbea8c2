"""`freqvision demo`: generated photos, a small training, its accuracy, predictions, figures."""

import tempfile
import time
from importlib import resources
from pathlib import Path

from freqvision.analysis.figures import plot_channels, plot_training
from freqvision.data.synthetic import PATTERNS, write_synthetic_photos
from freqvision.models import load
from freqvision.models.predict import predict
from freqvision.training.fit import fit
from freqvision.training.validate import validate

VALIDATION_SEED = 1_000_000  # far from the training photos' seeds, which count up from 0


def demo(
    output: str | Path | None = None, photos: int = 100, epochs: int | None = None, num_threads: int = 0
) -> dict[str, float]:
    """Show the whole path from JPEG files to predictions, and return the metrics of `validate`.

    Nothing is downloaded. A quarter as many photos of each pattern validate as train.
    """
    started = time.perf_counter()
    folder = Path(output) if output else Path(tempfile.mkdtemp(prefix="freqvision-demo-"))
    root, run = folder / "photos", folder / "run"
    if root.exists() or run.exists():
        raise ValueError(f"{folder} holds a demo already: remove it, or choose another folder")

    _step(1, f"Writing {photos + photos // 4} JPEG photos of each of {len(PATTERNS)} patterns to {root}")
    write_synthetic_photos(root / "train", photos)
    write_synthetic_photos(root / "validation", max(1, photos // 4), seed=VALIDATION_SEED)

    _step(2, "Training ResNet-18 on 24 of their 192 DCT channels; no photo is decoded to pixels")
    settings = ["--data.root", str(root), "--output", str(run), "--data.num_threads", str(num_threads)]
    if epochs is not None:
        settings += ["--trainer.max_epochs", str(epochs)]
    with resources.as_file(resources.files("freqvision.training") / "demo.yaml") as config:
        fit(["--config", str(config), *settings])

    _step(3, "Validating the best checkpoint")
    checkpoint = run / "checkpoints" / "best.ckpt"
    metrics = validate(checkpoint, num_threads=num_threads, progress=False)
    chance = 1 / len(PATTERNS)
    print(f"{metrics['photos']} photos: top-1 {metrics['top1']:.1%}; guessing would give {chance:.1%}")

    _step(4, "Predicting one photo of each pattern")
    samples = [root / "validation" / pattern / "000.jpg" for pattern in sorted(PATTERNS)]
    for pattern, result in zip(sorted(PATTERNS), predict(samples, checkpoint, top=1), strict=True):
        guess = result["classes"][0]
        verdict = "right" if guess["class"] == pattern else "wrong"
        print(f"  {pattern}/000.jpg: {guess['class']}, {guess['probability']:.0%} sure ({verdict})")

    _step(5, "Drawing what the model saw, and the training")
    model = load(checkpoint)
    plot_channels(samples[2:5], model.spec, folder / "channels.png")  # type: ignore[arg-type]
    plot_training(run / "metrics.csv", folder / "training.png", chance)
    print(f"\nDone in {time.perf_counter() - started:.0f} s. Results in {folder}:")
    print("  photos/        the photos, train and validation")
    print("  run/           settings, metrics.csv, statistics, checkpoints, TensorBoard logs")
    print("  channels.png   photos, their 24 channels, and what can be rebuilt from them")
    print("  training.png   loss and accuracy over the epochs")
    print(f"Next: freqvision predict YOUR.jpg --checkpoint {checkpoint}")
    return metrics


def _step(number: int, text: str) -> None:
    print(f"\n[{number}/5] {text}", flush=True)
