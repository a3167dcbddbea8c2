"""Photos as data sets: folders of classes, tar shards, tables, and generated photos."""

from freqvision.data.check import PhotoCheck
from freqvision.data.folder import FrequencyFolder, PhotoDataset, PixelFolder, RandomView
from freqvision.data.loader import EpochBatches, PhotoLoader
from freqvision.data.remote import Storage
from freqvision.data.shards import PhotoShards
from freqvision.data.synthetic import write_synthetic_photos
from freqvision.data.table import PhotoTable

__all__ = [
    "EpochBatches",
    "FrequencyFolder",
    "PhotoCheck",
    "PhotoDataset",
    "PhotoLoader",
    "PhotoShards",
    "PhotoTable",
    "PixelFolder",
    "RandomView",
    "Storage",
    "write_synthetic_photos",
]
