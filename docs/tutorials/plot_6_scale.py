"""
Scale
=====

Photos packed once, in shards that are read at random, with a loader that resumes where it stopped.
"""

# %%
# Photos as files, and packed: the channels that are wanted, resized once, int8 and compressed.

import tempfile
from pathlib import Path

import matplotlib.pyplot as plt

import freqvision as fv
from freqvision.cli.main import main
from freqvision.data import PhotoLoader, PhotoShards, RandomView, write_synthetic_photos

folder = tempfile.TemporaryDirectory()
root = Path(folder.name)
write_synthetic_photos(root / "photos", 8, size=375)
files = sorted(map(str, (root / "photos").rglob("*.jpg")))
spec = fv.FrequencySpec(resize=256, crop=None)
sizes = {"JPEG files": sum(Path(file).stat().st_size for file in files)}
for codec in ("lz4", "zstd"):
    sizes[f"24 channels at 256, {codec}"] = sum(map(len, fv.pack(files, spec, codec=codec)))
sizes["all coefficients, zstd"] = sum(map(len, fv.pack(files, codec="zstd")))

figure, axes = plt.subplots(figsize=(7, 2.2), layout="constrained")
axes.barh(list(sizes), [size / len(files) / 1000 for size in sizes.values()])
axes.set_xlabel("kB per photo")
axes.invert_yaxis()

# %%
# ``freqvision pack`` writes shards in the layout of WebDataset, with an index. A stopped run
# continues.

main(["pack", f"{root}/photos", f"{root}/packed", "--channels", "24", "--resize", "256", "--crop", "224"])
print(sorted(path.name for path in (root / "packed").iterdir()))

# %%
# A loader reads them at random and decodes the next batches meanwhile. Its state, kept in a
# checkpoint, resumes in mid-epoch.

photos = PhotoShards(root / "packed", fv.FrequencySpec(resize=256, crop=224), RandomView(scale=(0.35, 1)))
loader = PhotoLoader(photos, batch_size=8, shuffle=True)
iterator = iter(loader)
images, labels = next(iterator)
state = loader.state_dict()
rest = [labels.tolist() for _, labels in iterator]
print(images.shape, state)

# %%
# Another process continues with the very same batches.

resumed = PhotoLoader(photos, batch_size=8, shuffle=True)
resumed.load_state_dict(state)
assert [labels.tolist() for _, labels in resumed] == rest
print(f"{len(rest)} batches are left, and they are the same")
