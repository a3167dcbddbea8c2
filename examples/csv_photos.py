"""Photos and their labels from CSV files: a data module of one's own for `freqvision fit`.

    export PYTHONPATH=examples
    freqvision fit --data csv_photos.CsvPhotos --data.root PHOTOS --model.name resnet18

The CSV files have the columns file (relative to the root) and label.
"""

import csv
from pathlib import Path
from typing import Any

import freqvision as fv
from freqvision.data import PhotoDataset, PhotoLoader, RandomView
from freqvision.data.sources import Files
from freqvision.training import PhotoData


class CsvPhotos(PhotoData):
    """Its arguments are the settings --data.root, --data.crop and so on.

    Args:
        root: Folder of train.csv and validation.csv.
        resize: Shorter side in pixels.
        crop: Side of the square in pixels.
        settings: Those that all data modules have, such as batch_size.
    """

    def __init__(self, root: str, resize: int = 512, crop: int = 448, **settings: Any) -> None:
        self.root = Path(root)
        classes = sorted({row["label"] for row in self.rows("train")})
        super().__init__(fv.FrequencySpec(resize, crop), classes, **settings)
        self.save_hyperparameters()

    def rows(self, part: str) -> list[dict[str, str]]:
        """The lines of a CSV file."""
        with (self.root / f"{part}.csv").open(newline="") as lines:
            return list(csv.DictReader(lines))

    def photos(self, part: str) -> Files:
        """The photos of a CSV file, with their labels."""
        rows = self.rows(part)
        labels = [self.class_names.index(row["label"]) for row in rows]
        return Files([str(self.root / row["file"]) for row in rows], labels, self.class_names)

    def statistics_photos_of(self) -> Files:
        """The photos over which mean and deviation of the channels are measured."""
        return self.photos("train")

    def setup(self, stage: str) -> None:
        """Open the data sets, once the spec has its statistics."""
        super().setup(stage)
        view = RandomView(scale=(0.35, 1))
        self.train_set = PhotoDataset(self.photos("train"), self.spec, view, seed=self.seed)
        self.validation_set = PhotoDataset(self.photos("validation"), self.spec)

    def train_dataloader(self) -> PhotoLoader:
        """All training photos, shuffled, of each process its share."""
        return self.train_loader()
