"""Photos with objects: training views against torchvision v2 on pixels, sizes, batches, faults."""

from itertools import product

import pytest
import torch
from PIL import Image
from torchvision import tv_tensors
from torchvision.transforms.v2 import functional as F

import freqvision as fv
from freqvision.data.loader import EpochBatches
from freqvision.detection import DetectionPhotos, RandomDetectionView, read_coco, write_synthetic_scenes
from freqvision.detection.scenes import synthetic_scene
from freqvision.detection.targets import in_truth

ALL = fv.ChannelSet.preset(192)
SPEC = fv.FrequencySpec(resize=192, crop=None, channels=ALL, max_size=320).raw()
PIXELS = fv.PixelSpec(resize=96, crop=None, max_size=160)
AUGMENT = RandomDetectionView(resize=(64, 96), scale=(0.7, 1.5), crop=(64, 72))


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scenes")
    coco = read_coco(write_synthetic_scenes(folder, photos=8, size=(60, 80)), folder / "images")
    # Stored without subsampling, so that nothing but rounding differs.
    for image in coco.images:
        with Image.open(image.path) as photo:
            photo.load()
        photo.save(image.path, quality=98, subsampling="4:4:4")
    return coco


def photos_of(coco, spec=SPEC, augment=AUGMENT, **options):
    return DetectionPhotos(
        [image.path for image in coco.images], coco.target, spec, augment, seed=5, **options
    )


def by_torchvision(image: Image.Image, view: fv.View) -> torch.Tensor:
    """What torchvision v2 makes of the photo's pixels, (3, H, W) from 0 to 1, margins gray."""
    pixels = F.crop(F.to_dtype(F.to_image(image), torch.float32, scale=True), *view.box)
    pixels = F.resize(pixels, list(view.size), antialias=True)
    top, left, height, width = view.crop
    margins = [0, 0, max(0, left + width - view.size[1]), max(0, top + height - view.size[0])]
    pixels = F.crop(F.pad(pixels, margins, fill=128 / 255), top, left, height, width)
    return (F.horizontal_flip(pixels) if view.flip else pixels).clamp(0, 1)


def torchvision_boxes(boxes: torch.Tensor, view: fv.View) -> torch.Tensor:
    """Boxes of the whole photo in what `by_torchvision` gives, clipped to it."""
    found = tv_tensors.BoundingBoxes(boxes, format="XYXY", canvas_size=view.box[2:])
    found = F.crop(F.resize(found, list(view.size)), *view.crop)
    found = F.horizontal_flip(found) if view.flip else found
    return F.clamp_bounding_boxes(found).as_subclass(torch.Tensor)


def test_training_views_are_torchvisions_of_pixels(scenes):
    photos = photos_of(scenes)
    to_cube = fv.PixelTransform(fv.FrequencySpec(resize=None, crop=None, channels=ALL).raw())
    seen = set()
    for epoch in range(3):
        photos.set_epoch(epoch)
        images, targets = photos.__getitems__(range(len(photos)))
        for index, (cube, target) in enumerate(zip(images, targets, strict=True)):
            view = photos._view(index, scenes.images[index].size)
            seen.add((view.size, view.flip, view.crop[:2] != (0, 0)))
            with Image.open(scenes.images[index].path) as image:
                expected = to_cube(by_torchvision(image, view))
            assert cube.shape == expected.shape
            assert (cube - expected).square().mean().sqrt() < 1.5  # of coefficients up to 1024
            height, width = 4 * cube.shape[1], 4 * cube.shape[2]
            assert target["masks"].shape == (len(target["labels"]), height, width)
            boxes = torchvision_boxes(scenes.target(index)["boxes"], view) / 2
            kept = boxes[((boxes[:, 2:] - boxes[:, :2]) >= 1).all(1)]
            torch.testing.assert_close(target["boxes"], kept, atol=1e-3, rtol=0)
            for mask, box in zip(target["masks"], target["boxes"], strict=True):
                ys, xs = torch.nonzero(mask, as_tuple=True)
                whole = bool((box[:2] > 0).all() and box[2] < width and box[3] < height)
                if not whole and not len(xs):
                    continue  # a corner of the box alone is left
                corners = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
                if whole:
                    torch.testing.assert_close(corners.float(), box, atol=3, rtol=0)
                else:  # what is left of a shape need not fill what is left of its box
                    assert (corners[:2] >= box[:2] - 3).all()
                    assert (corners[2:] <= box[2:] + 3).all()
    assert len(seen) > 12  # views do differ, in all that may


def test_pixels_and_frequencies_see_the_same(scenes):
    """A model of pixels gets the same views at half the size, and so the same boxes up to rounding."""
    of_cubes, of_pixels = photos_of(scenes), photos_of(scenes, PIXELS)
    for (cube, target), (pixels, other) in zip(
        map(of_cubes.__getitem__, range(8)), map(of_pixels.__getitem__, range(8)), strict=True
    ):
        assert abs(4 * cube.shape[1] - pixels.shape[1]) <= 8
        assert abs(4 * cube.shape[2] - pixels.shape[2]) <= 8
        if len(target["boxes"]) == len(other["boxes"]):
            torch.testing.assert_close(target["boxes"], other["boxes"], atol=2.5, rtol=0)
    cube, pixels = (photos_of(scenes, spec, None)[1][0] for spec in (SPEC, PIXELS))
    dc = cube[0] / 8 + 128  # mean luma of blocks
    mean, std = (values[:, None, None] for values in PIXELS.normalisation())
    luma = torch.tensor([0.299, 0.587, 0.114]) @ (255 * (pixels * std + mean)).flatten(1)
    luma = torch.nn.functional.avg_pool2d(luma.reshape(1, *pixels.shape[1:]), 4)[0]
    torch.testing.assert_close(dc[:20, :25], luma[:20, :25], atol=4, rtol=0)


@pytest.mark.parametrize("size", [(5, 7), (1, 1), (200, 16), (16, 200), (1, 400)])
def test_any_shape(tmp_path, size):
    path = tmp_path / "photo.jpg"
    Image.new("RGB", size[::-1], "orange").save(path)
    target = {"boxes": torch.tensor([[0.0, 0.0, 1.0, 1.0]]), "labels": torch.tensor([1])}
    for spec, scale in ((SPEC, 4), (PIXELS, 1)):
        for augment in (None, RandomDetectionView(hflip=1.0)):
            image, shown = DetectionPhotos([path], [target], spec, augment)[0]
            height, width = (scale * side for side in image.shape[1:])
            assert max(height, width) <= 168
            assert len(shown["boxes"]) == 1
            assert (shown["boxes"] >= 0).all()
            assert (shown["boxes"][:, 2:] <= torch.tensor([width, height])).all()


def test_windows_stay_within_the_photo():
    augment = RandomDetectionView(scale=(0.5, 2.0), crop=(40, 48))
    generator = torch.Generator().manual_seed(0)
    for _ in range(300):
        view = augment.view((75, 100), SPEC, generator)
        for axis in (0, 1):
            side, crop = view.size[axis], 2 * augment.crop[axis]
            start, length = view.crop[axis], view.crop[2 + axis]
            assert length == (crop if side > crop else -(-side // 8) * 8)
            assert 0 <= start <= max(0, side - crop)


def test_views_depend_on_epoch_and_index_alone(scenes):
    photos, other = photos_of(scenes), photos_of(scenes, num_threads=2)
    images, targets = photos.__getitems__([3, 1])
    again, _ = other.__getitems__([1, 2, 3])
    assert torch.equal(images[0], again[2])
    assert torch.equal(images[1], again[0])
    photos.set_epoch(1)
    later, _ = photos.__getitems__([3, 1])
    assert any(
        one.shape != two.shape or not torch.equal(one, two) for one, two in zip(images, later, strict=True)
    )
    assert targets[0]["orig_size"].tolist() == list(scenes.images[3].size)


def test_crowds_are_no_examples(tmp_path):
    target = {
        "boxes": torch.tensor([[0.0, 0, 20, 20], [5, 5, 30, 30]]),
        "labels": torch.tensor([1, 2]),
        "iscrowd": torch.tensor([1, 0]),
        "image_id": torch.tensor([4]),
    }
    synthetic_scene((40, 40))[0].save(tmp_path / "a.jpg")
    _, shown = DetectionPhotos([tmp_path / "a.jpg"], [target], SPEC)[0]
    assert shown["labels"].tolist() == [2]
    assert shown["image_id"].tolist() == [4]


class TestFaults:
    def target(self, **changes):
        return {"boxes": torch.tensor([[0.0, 0, 5, 5]]), "labels": torch.tensor([1]), **changes}

    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"boxes": torch.tensor([[3.0, 3, 3, 9]])}, "box 0 has no width or height.*xywh"),
            ({"boxes": torch.tensor([[3.0, 3, float("inf"), 9]])}, "box 0"),
            ({"boxes": torch.zeros(1, 5)}, r"boxes are \(N, 4\)"),
            ({"labels": torch.tensor([1, 2])}, "2 labels for 1 boxes"),
            ({"masks": torch.zeros(1, 9, 9)}, "masks have the photo's size, 30×40"),
            ({"orig_size": (40, 30)}, r"30×40 pixels \(height × width\).*are of 40×30"),
        ],
    )
    def test_targets(self, tmp_path, changes, says):
        Image.new("RGB", (40, 30)).save(tmp_path / "photo.jpg")
        photos = DetectionPhotos([tmp_path / "photo.jpg"], [self.target(**changes)], SPEC)
        with pytest.raises(ValueError, match=says) as raised:
            photos[0]
        assert "photo.jpg" in str(raised.value)

    @pytest.mark.parametrize("spec", [SPEC, PIXELS])
    def test_unreadable_photo(self, tmp_path, spec):
        (tmp_path / "photo.jpg").write_bytes(b"\xff\xd8 broken")
        with pytest.raises(ValueError, match=r"photo\.jpg"):
            DetectionPhotos([tmp_path / "photo.jpg"], [self.target(orig_size=(3, 3))], spec)[0]

    def test_arguments(self):
        with pytest.raises(ValueError, match="spec's crop is None, not 448"):
            DetectionPhotos([], [], fv.FrequencySpec())
        with pytest.raises(ValueError, match="1 targets for 0 photos"):
            DetectionPhotos([], [{}], SPEC)
        for arguments in ({"hflip": 2}, {"resize": (0,)}, {"scale": (0.5, 0.1)}, {"crop": (60, 64)}):
            with pytest.raises(ValueError, match=next(iter(arguments))):
                RandomDetectionView(**arguments)


@pytest.mark.parametrize(("count", "batch"), [(20, 3), (7, 4), (2, 4), (12, 1)])
def test_batches_of_like_shapes(count, batch):
    generator = torch.Generator().manual_seed(count)
    groups = torch.randint(2, (count,), generator=generator).tolist()
    sampler = EpochBatches(count, batch, shuffle=False, groups=groups)
    batches = list(sampler)
    assert len(batches) == len(sampler) == max(1, count // batch)
    flat = [index for group in batches for index in group]
    assert len(set(flat)) == len(flat) >= count - batch + 1
    if count >= batch:
        assert all(len(group) == batch for group in batches)
        mixed = [group for group in batches if len({groups[index] for index in group}) > 1]
        assert len(mixed) <= 1


def test_views_without_chance_are_the_specs():
    still = RandomDetectionView(hflip=0)
    for spec in (SPEC, PIXELS):
        assert still.view((375, 500), spec) == spec.view((375, 500))
    assert RandomDetectionView(resize=(48,)).view((375, 500), SPEC).size == (96, 128)
    assert still.view((100, 1000), PIXELS).size == (16, 160)


def turned_pixels(pixels, orientation):
    """(…, H, W) as EXIF has it: how the stored rows and columns are shown."""
    if orientation in (3, 4, 6, 7):
        pixels = pixels.flip(-2)
    if orientation in (2, 3, 7, 8):
        pixels = pixels.flip(-1)
    return pixels.mT if orientation > 4 else pixels


@pytest.mark.parametrize(
    ("kind", "orientation"), [*product(("jpg", "png"), range(1, 9)), ("fqpk", 3), ("fqpk", 6)]
)
class TestOrientation:
    """A bright box in the photo, and its box and mask: they stay together however the photo is shown."""

    def photo(self, folder, orientation, kind):
        stored = torch.zeros(3, 48, 80, dtype=torch.uint8)
        stored[:, 8:16, 40:72] = 255
        exif = Image.Exif()
        exif[0x112] = orientation
        path = folder / f"a.{kind}"
        if kind == "png":
            F.to_pil_image(stored).save(path, exif=exif)
        else:
            F.to_pil_image(stored).save(path, "JPEG", exif=exif, quality=95, subsampling="4:4:4")
        if kind == "fqpk":
            path.write_bytes(fv.pack([path])[0])
        target = {
            "boxes": torch.tensor([[40.0, 8, 72, 16]]),
            "labels": torch.tensor([1]),
            "masks": stored[:1] // 255,
            "orig_size": (48, 80),
        }
        return path, stored, target

    @pytest.mark.parametrize("drawn", ["stored", "exif"])
    @pytest.mark.parametrize("seen", ["stored", "exif"])
    @pytest.mark.parametrize("hflip", [0.0, 1.0])
    def test_boxes_and_masks_follow_the_photo(self, tmp_path, orientation, kind, drawn, seen, hflip):
        path, stored, target = self.photo(tmp_path, orientation, kind)
        if drawn == "exif":  # on the photo shown upright
            target["masks"] = turned_pixels(target["masks"], orientation)
            ys, xs = torch.nonzero(target["masks"][0], as_tuple=True)
            target["boxes"] = torch.tensor([[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]).float()
            target["orig_size"] = tuple(target["masks"].shape[1:])
        for spec in (
            fv.PixelSpec(None, None, mean=(0,) * 3, std=(1,) * 3, orientation=seen),
            fv.FrequencySpec(96, None, channels=ALL, orientation=seen),
        ):
            augment = RandomDetectionView(hflip=hflip)
            image, found = DetectionPhotos([path], [target], spec, augment, orientation=drawn)[0]
            upright = turned_pixels(stored, orientation) if seen == "exif" else stored
            if image.shape[0] == 3:
                expected = upright.flip(-1) if hflip else upright
                assert (image - expected / 255).abs().mean() < 0.02
            assert found["orig_size"].tolist() == list(upright.shape[1:])
            mask = turned_pixels(target["masks"], orientation) if drawn != seen == "exif" else None
            mask = upright[:1] // 255 if mask is None else mask
            assert torch.equal(found["masks"], mask.flip(-1) if hflip else mask)
            ys, xs = torch.nonzero(found["masks"][0], as_tuple=True)
            assert found["boxes"].tolist() == [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]]

    def test_detections_go_back_to_the_truth(self, tmp_path, orientation, kind):
        """What is found in the photo as shown is what was drawn on the photo as stored."""
        path, _, target = self.photo(tmp_path, orientation, kind)
        spec = fv.PixelSpec(None, None)
        photos = DetectionPhotos([path], [target], spec)
        found = photos[0][1]
        size = tuple(found["orig_size"].tolist())
        back = in_truth({key: found[key] for key in ("boxes", "labels", "masks")}, found, size)
        assert torch.equal(back["boxes"], target["boxes"])
        assert torch.equal(back["masks"], target["masks"])


class TestDamagedPhotos:
    def photos(self, folder, **options):
        paths = []
        for number in range(4):
            paths.append(folder / f"{number}.jpg")
            synthetic_scene((40, 48), seed=number)[0].save(paths[-1])
        paths[1].write_bytes(paths[1].read_bytes()[:300])
        paths[3].write_bytes(b"nothing")
        target = {"boxes": torch.tensor([[0.0, 0, 5, 5]]), "labels": torch.tensor([1])}
        return DetectionPhotos(paths, [{**target, "image_id": n} for n in range(4)], SPEC, **options)

    def test_they_are_errors_or_left_out_and_listed(self, tmp_path):
        with pytest.raises(ValueError, match=r"1\.jpg"):
            self.photos(tmp_path).__getitems__([0, 1, 2])
        photos = self.photos(tmp_path, damaged="skip")
        images, targets = photos.__getitems__([0, 1, 2, 3])
        assert [target["image_id"] for target in targets] == [0, 2]
        assert torch.equal(images[1], photos[2][0])
        assert [("1.jpg" in cause, "3.jpg" in cause) for cause in photos.skipped()] == [
            (True, False),
            (False, True),
        ]
        assert photos.__getitems__([1, 3]) == ([], [])
        with pytest.raises(ValueError, match=r"3\.jpg"):
            photos[3]

    def test_what_is_left_may_be_shown(self, tmp_path):
        self.photos(tmp_path)
        whole = (tmp_path / "0.jpg").read_bytes()
        (tmp_path / "0.jpg").write_bytes(whole[: 3 * len(whole) // 4])
        target = {"boxes": torch.tensor([[0.0, 0, 5, 5]]), "labels": torch.tensor([1])}
        paths = [tmp_path / "0.jpg", tmp_path / "2.jpg"]
        with pytest.raises(ValueError, match=r"0\.jpg"):
            DetectionPhotos(paths, [target] * 2, SPEC)[0]
        photos = DetectionPhotos(paths, [target] * 2, SPEC, damaged="decode")
        images, targets = photos.__getitems__([0, 1])
        assert len(images) == len(targets) == 2
        assert images[0].any()
        (cause,) = photos.skipped()
        assert "0.jpg: " in cause

    def test_other_settings_are_refused(self, tmp_path):
        with pytest.raises(ValueError, match="damaged is one of error, skip, decode; got 'raise'"):
            self.photos(tmp_path, damaged="raise")
        with pytest.raises(ValueError, match="orientation is one of stored, exif; got 'upright'"):
            self.photos(tmp_path, orientation="upright")


def test_masks_are_not_drawn_for_a_photo_of_another_size(tmp_path):
    """What the annotations state could be gigabytes."""
    synthetic_scene((40, 48))[0].save(tmp_path / "a.jpg")
    photos = DetectionPhotos(
        [tmp_path / "a.jpg"], lambda index: pytest.fail("drawn"), SPEC, sizes=[(30_000, 30_000)]
    )
    with pytest.raises(ValueError, match=r"a\.jpg has 40×48 pixels .* are of 30000×30000"):
        photos[0]


def test_photos_need_not_be_files(tmp_path):
    synthetic_scene((40, 48))[0].save(tmp_path / "a.jpg")
    target = {"boxes": torch.tensor([[0.0, 0, 5, 5]]), "labels": torch.tensor([1])}
    contents = (tmp_path / "a.jpg").read_bytes()
    one, other = (DetectionPhotos([source], [target], SPEC)[0] for source in (contents, tmp_path / "a.jpg"))
    assert torch.equal(one[0], other[0])
