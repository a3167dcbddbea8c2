"""Folders of photos: the same batches however they are loaded, and every bad file told."""

import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch.utils.data import BatchSampler, ConcatDataset, DataLoader, Subset
from torch.utils.data.distributed import DistributedSampler

import freqvision as fv
from freqvision.data import FrequencyFolder, PhotoCheck, PixelFolder, RandomView
from freqvision.data.folder import EXTENSIONS, find_photos, list_classes

SPEC = fv.FrequencySpec(resize=72, crop=64)


@pytest.fixture
def folder(photos):
    return FrequencyFolder(photos / "train", SPEC, RandomView(), seed=3, num_threads=1)


def test_classes_and_labels_are_imagefolders(photos):
    from torchvision.datasets import ImageFolder

    ours, theirs = FrequencyFolder(photos / "train", SPEC), ImageFolder(str(photos / "train"))
    assert ours.classes == theirs.classes
    assert ours.class_to_idx == theirs.class_to_idx
    assert [(path, int(label)) for path, label in zip(ours.paths, ours.labels, strict=True)] == theirs.samples


def test_without_augmentation_a_batch_is_the_decoders(photos):
    plain = FrequencyFolder(photos / "train", SPEC)
    images, labels = plain.__getitems__([5, 2, 17])
    assert torch.equal(images, fv.Decoder(SPEC)([plain.paths[index] for index in (5, 2, 17)]))
    assert torch.equal(labels, plain.labels[[5, 2, 17]])


def test_views_depend_on_seed_epoch_and_index_alone(photos, folder):
    folder.set_epoch(2)
    batch, _ = folder.__getitems__([7, 1, 20])
    assert torch.equal(batch[1], folder[1][0])
    again = FrequencyFolder(photos / "train", SPEC, RandomView(), seed=3, num_threads=2)
    again.set_epoch(2)
    assert torch.equal(again.__getitems__([20, 7])[0], batch[[2, 0]])
    again.set_epoch(3)
    assert not torch.equal(again[7][0], batch[0])
    other = FrequencyFolder(photos / "train", SPEC, RandomView(), seed=4)
    other.set_epoch(2)
    assert not torch.equal(other[7][0], batch[0])


@pytest.mark.parametrize(("workers", "start"), [(0, None), (2, "fork"), (2, "spawn")])
def test_loader_gives_the_same_batches_with_and_without_workers(folder, workers, start):
    loader = DataLoader(
        folder,
        batch_size=5,
        num_workers=workers,
        multiprocessing_context=start,
        persistent_workers=workers > 0,
        collate_fn=folder.collate,
    )
    for epoch in (0, 1):
        folder.set_epoch(epoch)
        batches = list(loader)
        assert [len(labels) for _, labels in batches] == [5, 5, 5, 5, 4]
        expected, labels = folder.__getitems__(range(24))
        assert torch.equal(torch.cat([images for images, _ in batches]), expected)
        assert torch.equal(torch.cat([labels for _, labels in batches]), labels)


def test_other_ways_to_load_work_or_say_what_to_pass(folder):
    """Without collate_fn, in a ConcatDataset or Subset, and with samplers of batches."""
    expected, labels = folder.__getitems__(range(8))
    batches = BatchSampler(range(8), 4, drop_last=False)
    both = ConcatDataset([Subset(folder, range(4)), Subset(folder, range(4, 8))])
    for loader in (
        DataLoader(folder, batch_sampler=batches, collate_fn=folder.collate),
        DataLoader(folder, sampler=batches, batch_size=None),
        DataLoader(Subset(folder, range(8)), batch_size=4, collate_fn=folder.collate),
        DataLoader(both, batch_size=4, collate_fn=folder.collate),
        DataLoader(both, batch_size=4),
    ):
        loaded = [torch.cat(parts) for parts in zip(*loader, strict=True)]
        assert torch.equal(loaded[0], expected)
        assert torch.equal(loaded[1], labels)
    for loader in (
        DataLoader(folder, batch_size=4),
        DataLoader(folder, batch_sampler=batches),
        DataLoader(Subset(folder, range(8)), batch_size=4),
    ):
        with pytest.raises(TypeError, match=r"pass collate_fn=dataset\.collate to DataLoader"):
            next(iter(loader))


def test_data_sets_and_coefficients_show_themselves_in_a_line(folder):
    for shown in (folder, fv.read_coefficients(folder.paths[0]), fv.ChannelStatistics.default()):
        assert "\n" not in repr(shown)
        assert len(repr(shown)) < 400
    assert repr(folder).startswith("FrequencyFolder(24 photos, 6 classes, FrequencySpec(")


def test_what_pillow_reads_is_read(photos, tmp_path):
    source = photos / "train" / "dots" / "000.jpg"
    (tmp_path / "dots").mkdir()
    for suffix in {".gif", ".jp2", ".avif"} & set(EXTENSIONS):
        Image.open(source).save(tmp_path / "dots" / f"photo{suffix}")
    images, _ = FrequencyFolder(tmp_path, SPEC).__getitems__(range(len(os.listdir(tmp_path / "dots"))))
    expected = fv.Decoder(SPEC)([source])
    assert len(images) >= 2
    assert ((images - expected).flatten(1).norm(dim=1) < 0.5 * expected.norm()).all()


def test_distributed_sampler_shares_the_photos_out(folder):
    shares = []
    for rank in range(3):
        sampler = DistributedSampler(folder, num_replicas=3, rank=rank, shuffle=True, seed=1)
        loader = DataLoader(folder, batch_size=4, sampler=sampler, collate_fn=folder.collate)
        shares.append(torch.cat([images for images, _ in loader]))
    together = {tuple(image.flatten()[:9].tolist()) for share in shares for image in share}
    everything = {tuple(image.flatten()[:9].tolist()) for image in folder.__getitems__(range(24))[0]}
    assert together == everything


@pytest.mark.parametrize("augment", [None, RandomView()])
def test_pixel_folder_sees_the_same_views(photos, augment):
    """What the pixels show, turned into coefficients, is what the frequency folder gives."""
    whole = fv.FrequencySpec(resize=72, crop=64, channels=fv.ChannelSet.preset(64)).raw()
    pixel_spec = fv.PixelSpec(resize=72, crop=64, mean=(0, 0, 0), std=(1, 1, 1))
    frequencies = FrequencyFolder(photos / "train", whole, augment, seed=5).__getitems__(range(0, 24, 5))[0]
    pixels = PixelFolder(photos / "train", pixel_spec, augment, seed=5).__getitems__(range(0, 24, 5))[0]
    encode = fv.PixelTransform(whole.replace(resize=None, crop=None))
    # Rounding to 8 bits, and Pillow's way with chroma, leave about a unit; another view, tens.
    assert (encode(pixels) - frequencies).abs().mean() < 2
    assert (encode(pixels.flip(-1)) - frequencies).abs().mean() > 4


def test_pixel_folder_in_evaluation_is_torchvisions(photos):
    from torchvision.datasets import ImageFolder
    from torchvision.transforms import v2

    spec = fv.PixelSpec(resize=70, crop=50)
    steps = [v2.Resize(70, antialias=True), v2.CenterCrop(50), v2.ToImage(), v2.ToDtype(torch.float32, True)]
    theirs = ImageFolder(str(photos / "train"), v2.Compose([*steps, v2.Normalize(spec.mean, spec.std)]))
    ours = PixelFolder(photos / "train", spec)
    std = torch.tensor(spec.std)[:, None, None]
    for index in (0, 11, 23):
        difference = 255 * std * (ours[index][0] - theirs[index][0])
        assert difference.square().mean().sqrt() < 1.2  # gray levels: rounding, and colours that are clipped


def test_sixteen_bit_gray_is_not_cut_off(tmp_path):
    (tmp_path / "deep").mkdir()
    Image.new("I;16", (8, 8), 257 * 100).save(tmp_path / "deep" / "a.png")
    pixels, _ = PixelFolder(tmp_path, fv.PixelSpec(resize=8, crop=8, dtype="uint8"))[0]
    assert pixels.unique().tolist() == [100]


def test_pixel_types_and_colours(photos):
    rgb = PixelFolder(photos / "train", fv.PixelSpec(72, 64, dtype="uint8"))[3][0]
    assert rgb.dtype == torch.uint8
    ycbcr = PixelFolder(photos / "train", fv.PixelSpec(72, 64, "ycbcr", (0,) * 3, (1 / 255,) * 3))[3][0]
    luma = torch.tensor([0.299, 0.587, 0.114]) @ rgb.float().flatten(1)
    assert (luma - ycbcr[0].flatten()).abs().max() < 1.5


@pytest.fixture
def damaged(photos, tmp_path):
    """The tiny data set with a truncated photo and a text file among them."""
    shutil.copytree(photos / "train", tmp_path / "train")
    truncated = tmp_path / "train" / "dots" / "001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:900])
    (tmp_path / "train" / "rays" / "no_photo.jpg").write_text("hello")
    return tmp_path / "train"


KINDS = [(FrequencyFolder, SPEC), (PixelFolder, fv.PixelSpec(72, 64))]


@pytest.mark.parametrize(("kind", "spec"), KINDS)
def test_unreadable_photo_stops_with_its_path_and_cause(damaged, kind, spec):
    folder = kind(damaged, spec)
    bad = next(index for index, path in enumerate(folder.paths) if path.endswith("dots/001.jpg"))
    with pytest.raises((ValueError, OSError), match=r"dots/001\.jpg.*truncated"):
        folder.__getitems__([0, bad, 1])


@pytest.mark.parametrize(("kind", "spec"), KINDS)
@pytest.mark.parametrize("workers", [0, 1])
def test_unreadable_photos_are_left_out_and_reported(damaged, kind, spec, workers):
    folder = kind(damaged, spec, RandomView(), damaged="skip")
    assert len(folder) == 25
    loader = DataLoader(folder, batch_size=5, num_workers=workers, collate_fn=folder.collate)
    counts = torch.cat([labels for _, labels in loader]).bincount()
    assert counts.tolist() == [4, 4, 3, 4, 4, 4]
    first, second = folder.skipped()
    assert "dots/001.jpg" in first
    assert "rays/no_photo.jpg" in second


@pytest.mark.parametrize(("kind", "spec"), KINDS)
@pytest.mark.parametrize("workers", [0, 1])
def test_damaged_photos_can_be_shown_in_part_and_are_reported(photos, tmp_path, kind, spec, workers):
    shutil.copytree(photos / "train", tmp_path / "train")
    truncated = tmp_path / "train" / "dots" / "001.jpg"
    truncated.write_bytes(truncated.read_bytes()[:900])
    folder = kind(tmp_path / "train", spec, damaged="decode")
    loader = DataLoader(folder, batch_size=6, num_workers=workers, collate_fn=folder.collate)
    assert sum(len(labels) for _, labels in loader) == 24
    (line,) = folder.skipped()
    assert line.startswith(f"{truncated}: ")


def test_a_list_of_damaged_photos_leaves_them_out(damaged, tmp_path):
    check = PhotoCheck.of(damaged, find_photos(damaged), num_threads=1)
    check.save(tmp_path / "damaged.json")
    moved = tmp_path / "elsewhere"
    moved.mkdir()
    for name in ("train", "damaged.json"):  # the list travels with its photos
        shutil.move(tmp_path / name, moved / name)
    folder = FrequencyFolder(moved / "train", SPEC, exclude=moved / "damaged.json")
    assert len(folder) == 23
    assert folder.labels.bincount().tolist() == [4, 4, 3, 4, 4, 4]
    assert len(folder.__getitems__(range(23))[1]) == 23
    read = PhotoCheck.load(moved / "damaged.json")
    assert read.checked == 25
    assert all(read.covers(path) for path in folder.paths)
    assert not read.covers(tmp_path / "train2" / "1.jpg")
    causes = {Path(path).name: cause for path, cause in read.damaged.items()}
    assert "truncated" in causes["001.jpg"]
    assert causes.keys() == {"001.jpg", "no_photo.jpg"}
    (moved / "damaged.json").write_text("[]")
    with pytest.raises(ValueError, match="no list of freqvision check"):
        FrequencyFolder(moved / "train", SPEC, exclude=moved / "damaged.json")


def test_hidden_names_links_and_what_is_no_regular_file(photos, tmp_path):
    cat = tmp_path / "cat"
    shutil.copytree(photos / "train" / "dots", cat / "b")
    expected = find_photos(cat)
    for name in ("._000.jpg", ".ipynb_checkpoints/000.jpg", ".hidden/000.jpg"):
        (cat / name).parent.mkdir(exist_ok=True)
        shutil.copy(cat / "b" / "000.jpg", cat / name)
    os.mkfifo(cat / "pipe.jpg")
    (cat / "folder.jpg").mkdir()
    (cat / "gone.jpg").symlink_to("nowhere.jpg")
    (cat / "itself.jpg").symlink_to("itself.jpg")
    for name in ("loop", "again"):  # without a memory of visited folders, 2 to the power of 40 paths
        (cat / name).symlink_to(".")
    (cat / "twice").symlink_to("b")
    assert find_photos(cat) == expected
    assert list_classes(tmp_path) == ["cat"]
    (tmp_path / "linked").symlink_to(cat)
    assert [len(find_photos(tmp_path / name)) for name in ("cat", "linked")] == [len(expected)] * 2


def test_a_batch_without_one_readable_photo_is_an_error(damaged):
    folder = FrequencyFolder(damaged, SPEC, damaged="skip")
    bad = [index for index, path in enumerate(folder.paths) if "no_photo" in path]
    with pytest.raises(fv.JpegError, match="no_photo"):
        folder.__getitems__(bad)


def test_errors_say_what_is_wrong_with_the_folder(photos, tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        FrequencyFolder(tmp_path / "nowhere", SPEC)
    with pytest.raises(ValueError, match="no sub-folders"):
        FrequencyFolder(tmp_path, SPEC)
    (tmp_path / "cat").mkdir()
    with pytest.raises(ValueError, match="no photos"):
        FrequencyFolder(tmp_path, SPEC)
    shutil.copytree(photos / "train" / "dots", tmp_path / "dots")
    (tmp_path / "cat" / "1.heic").touch()
    with pytest.raises(ValueError, match=r"no photos in 1 of the 2 class folders.*: cat; looked for"):
        FrequencyFolder(tmp_path, SPEC)
    with pytest.raises(ValueError, match=r"not among the 2 given classes: clouds, rays, rings, stripes"):
        FrequencyFolder(photos / "train", SPEC, classes=["checks", "dots"])
    with pytest.raises(ValueError, match="damaged is one of error, skip, decode"):
        FrequencyFolder(photos / "train", SPEC, damaged="ignore")
    with pytest.raises(TypeError, match="FrequencySpec"):
        FrequencyFolder(photos / "train", fv.PixelSpec())
    with pytest.raises(ValueError, match="crop"):
        FrequencyFolder(photos / "train", fv.FrequencySpec(crop=None), RandomView())


def test_given_classes_decide_the_labels(photos):
    names = sorted(FrequencyFolder(photos / "train", SPEC).classes, reverse=True)
    folder = FrequencyFolder(photos / "train", SPEC, classes=[*names, "unseen"])
    assert folder.paths[0].split("/")[-2] == names[0]
    assert int(folder.labels[0]) == 0


@pytest.mark.parametrize("bad", [{"scale": (0, 1)}, {"scale": (0.5, 2)}, {"ratio": (2, 1)}, {"hflip": 1.1}])
def test_random_view_refuses_impossible_ranges(bad):
    with pytest.raises(ValueError, match=next(iter(bad))):
        RandomView(**bad)


def test_pixels_heed_max_size():
    """As the spec of DCT channels does: a long photo is made smaller than resize says."""
    decode = fv.Decoder(fv.PixelSpec(resize=50, crop=None, max_size=60))
    file = io.BytesIO()
    Image.new("RGB", (200, 100)).save(file, "JPEG")
    (image,) = decode.each([file.getvalue()])
    assert image.shape == decode([file.getvalue()])[0].shape == (3, 30, 60)


def test_batches_of_pixels_without_a_photo():
    """They have the shape and type of other batches."""
    spec = fv.PixelSpec(40, 32, dtype="uint8")
    decode = fv.Decoder(spec)
    for sources in ([], ["nowhere.jpg"] * 2):
        batch, errors = decode.try_decode(sources)
        assert batch.shape == (len(sources), 3, 32, 32)
        assert batch.dtype == torch.uint8
        assert len(errors) == len(sources)


def test_batches_of_pixels_have_one_size():
    files = [io.BytesIO(), io.BytesIO()]
    for file, size in zip(files, [(64, 48), (48, 64)], strict=True):
        Image.new("RGB", size).save(file, "JPEG")
    with pytest.raises(ValueError, match="set the specification's crop"):
        fv.Decoder(fv.PixelSpec(40, crop=None))([file.getvalue() for file in files])


def test_pixels_of_many_files_are_open_a_few_at_a_time(photos, tmp_path):
    """A process may have 1,024 files open, or fewer, and batches and workers add up."""
    (tmp_path / "many.py").write_text(
        "import resource, sys\n"
        "from freqvision import Decoder, PixelSpec\n"
        "decode = Decoder(PixelSpec(40, 32), num_threads=2)\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))\n"
        "batch, errors = decode.try_decode([sys.argv[1]] * 80)\n"
        "assert not errors, errors\n"
    )
    photo = str(photos / "train" / "dots" / "000.jpg")
    subprocess.run([sys.executable, tmp_path / "many.py", photo], check=True)
