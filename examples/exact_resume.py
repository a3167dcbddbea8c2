"""A training loop of your own that resumes in the middle of an epoch, exactly.

    python examples/exact_resume.py

Trains twice for the same steps: once straight, once stopped after some steps of an epoch and continued from a
checkpoint by new objects, as after a kill. The weights are equal to the last bit.
"""

import argparse
import tempfile
from pathlib import Path

import torch
from torch.nn import functional as F

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoLoader, RandomView, write_synthetic_photos

SPEC = fv.FrequencySpec(resize=72, crop=64)


def train(photos: Path, checkpoint: Path, epochs: int, stop: int | None = None) -> torch.nn.Module:
    """Train to the end, or stop after some steps; continues from the checkpoint if there is one."""
    data = FrequencyFolder(photos, SPEC, RandomView(), seed=0, num_threads=1)
    loader = PhotoLoader(data, 8, shuffle=True)
    torch.manual_seed(0)
    model = fv.create_model("resnet18", SPEC, num_classes=len(data.classes))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        loader.load_state_dict(state["loader"])
        print(f"continues in epoch {loader.epoch}")
    step = 0
    while loader.epoch < epochs:
        for images, labels in loader:  # in a resumed epoch the photos that are left
            loss = F.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1
            if step == stop:
                place = loader.state_dict()  # after the batch that was given last
                state = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "loader": place,
                }
                torch.save(state, checkpoint)
                return model
    return model


def main() -> None:
    """Train both ways, and compare."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stop", type=int, default=4, help="steps before the interruption")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        photos, checkpoint = Path(temporary, "photos"), Path(temporary, "last.pth")
        write_synthetic_photos(photos, photos_per_class=4, size=72)  # 24 photos: 3 steps an epoch
        straight = train(photos, checkpoint, epochs=2)
        train(photos, checkpoint, epochs=2, stop=options.stop)
        resumed = train(photos, checkpoint, epochs=2)
    weights = zip(straight.state_dict().values(), resumed.state_dict().values(), strict=True)
    same = all(torch.equal(one, other) for one, other in weights)
    print("the weights are equal to the last bit" if same else "the weights differ")
    if not same:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
