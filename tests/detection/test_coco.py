"""Annotations in COCO's format: read right, and refused with file and entry."""

import contextlib
import copy
import json
import logging
import os

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from freqvision.detection import read_coco, write_synthetic_scenes
from freqvision.detection.average_precision import average_precision, coco_results
from freqvision.detection.coco import draw_mask
from freqvision.detection.coco_file import read_segmentation

GOOD = {
    "images": [
        {"id": 5, "file_name": "a.jpg", "height": 30, "width": 40},
        {"id": 9, "file_name": "b.jpg", "height": 20, "width": 20},
    ],
    "categories": [{"id": 7, "name": "cat"}, {"id": 3, "name": "dog"}],
    "annotations": [
        {
            "id": 1,
            "image_id": 5,
            "category_id": 7,
            "bbox": [2, 3, 10, 8],
            "segmentation": [[2, 3, 12, 3, 12, 11, 2, 11]],
        },
        {"id": 2, "image_id": 5, "category_id": 3, "bbox": [39, 0, 1, 1], "iscrowd": 0, "area": 1.0},
        {
            "id": 3,
            "image_id": 5,
            "category_id": 3,
            "bbox": [0, 0, 40, 30],
            "iscrowd": 1,
            "segmentation": {"size": [30, 40], "counts": [600, 600]},
        },
    ],
}


@pytest.fixture
def folder(tmp_path):
    for name, size in (("a.jpg", (40, 30)), ("b.jpg", (20, 20))):
        Image.new("RGB", size, "teal").save(tmp_path / name)
    return tmp_path


def read(folder, values=GOOD):
    path = folder / "instances.json"
    path.write_text(values if isinstance(values, str) else json.dumps(values))
    return read_coco(path, folder)


def test_labels_count_up_in_the_order_of_ids(folder):
    coco = read(folder)
    assert coco.class_names == ("background", "dog", "cat")
    assert coco.category_ids == (0, 3, 7)
    target = coco.target(0, masks=False)
    assert target["labels"].tolist() == [2, 1]  # without the crowd
    assert target["boxes"].tolist() == [[2, 3, 12, 11], [39, 0, 40, 1]]
    assert coco.images[0].size == (30, 40)
    assert [found.crowd for found in coco.images[0].objects] == [False, False, True]


def test_a_photo_without_objects(folder):
    target = read(folder).target(1)
    assert target["boxes"].shape == (0, 4)
    assert target["masks"].shape == (0, 20, 20)


def test_boxes_are_kept_within_the_photo(folder):
    values = copy.deepcopy(GOOD)
    values["annotations"][0]["bbox"] = [-3, 25, 50, 50]
    assert read(folder, values).target(0, masks=False)["boxes"][0].tolist() == [0, 25, 40, 30]


def test_objects_without_area_are_named_and_left_out(folder, caplog):
    values = copy.deepcopy(GOOD)
    values["annotations"][0]["bbox"] = [5, 5, 0, 3]
    values["annotations"][1]["bbox"] = [90, 90, 3, 3]
    with caplog.at_level(logging.WARNING):
        coco = read(folder, values)
    assert len(coco.images[0].objects) == 1
    assert "2 annotations have no area and are left out: 1, 2" in caplog.text


def test_entries_without_ids(folder):
    values = copy.deepcopy(GOOD)
    values["annotations"][0]["id"] = 1  # which is the place of the second
    del values["annotations"][1]["id"]
    assert len(read(folder, values).images[0].objects) == 3


def change(where, key, value):
    def apply(values):
        entry = values[where][0] if where else values
        if value is None:
            del entry[key]
        else:
            entry[key] = value

    return apply


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (change("", "annotations", None), "no list of annotations"),
        (change("", "images", {}), "no list of images"),
        (change("", "images", []), "has no images"),
        (change("annotations", "image_id", 6), r"annotations\[0\] \(id 1, image_id 6\): image_id 6 is not"),
        (change("", "images", ["a.jpg"]), r"images\[0\] is 'a.jpg'"),
        (change("images", "id", None), r"images\[0\] \(file_name a.jpg\).*whole number"),
        (change("images", "id", 9), "the id 9 occurs twice"),
        (change("images", "height", 0), r"images\[0\] \(id 5, file_name a.jpg\): height and width"),
        (change("categories", "name", None), r"categories\[0\] \(id 7\)"),
        (change("categories", "id", 3), "the id 3 occurs twice"),
        (change("annotations", "category_id", 1), r"annotations\[0\] \(id 1, image_id 5\): category_id 1"),
        (change("annotations", "category_id", [7]), "category_id"),
        (change("annotations", "id", 2), "the id 2 occurs twice"),
        (change("annotations", "id", [1]), "id is a whole number, or left out; got"),
        (change("annotations", "bbox", None), "bbox is"),
        (change("annotations", "bbox", [1, 2, 3]), "bbox is"),
        (change("annotations", "bbox", [1, 2, float("nan"), 4]), "bbox is"),
        (change("annotations", "bbox", [1, 2, -3, 4]), "below 0"),
        (change("annotations", "iscrowd", 2), "iscrowd is 0 or 1"),
        (change("annotations", "area", "big"), "area"),
        (change("annotations", "area", 10**400), "area"),
        (change("images", "width", 10**400), "height and width"),
        (change("annotations", "segmentation", [[1, 2, 3, 4, 5, 6, 7]]), "three points or more"),
        (change("annotations", "segmentation", [[1, 2, 3, 4, 5, "6"]]), "three points or more"),
        (change("annotations", "segmentation", {"size": [40, 30], "counts": [1200]}), r"\[30, 40\]"),
        (change("annotations", "segmentation", {"size": [30, 40], "counts": [1]}), "1200 pixels"),
    ],
)
def test_broken_annotations(folder, fault, says):
    values = copy.deepcopy(GOOD)
    fault(values)
    with pytest.raises(ValueError, match=says) as raised:
        read(folder, values)
    assert "instances.json" in str(raised.value)


HOSTILE = [
    float("nan"),
    float("-inf"),
    -(10**400),
    1e308,
    "\0",
    "\ud800",
    10_000 * "x",
    [[[]]],
    [[1, [2]]],
    {"a": {}},
    True,
    None,
    {"size": [30, 40], "counts": [[1200]]},
    {"size": [30, 40], "counts": [10**30, -(10**30), 1200]},
    {"size": [10**9, 10**9], "counts": [10**18]},
    {"size": "3040", "counts": 7},
    [[1e308, -1e308] * 3],
    [[float("inf")] * 6],
    [{"size": [30, 40], "counts": "a"}],
]


@pytest.mark.parametrize("value", HOSTILE, ids=range(len(HOSTILE)))
def test_hostile_values_of_every_field(folder, value):
    """Each is an error that names the file, or harmless; nothing else is raised."""
    for where in ("images", "annotations", "categories"):
        for key in [*GOOD[where][0], "iscrowd", "area"]:
            values = copy.deepcopy(GOOD)
            values[where][0][key] = value
            del values["annotations"][1:]
            said = "instances.json"
            with contextlib.suppress(FileNotFoundError):
                try:
                    coco = read(folder, values)
                    coco.target(0)
                    average_precision(coco, [], [5])
                except ValueError as error:
                    said = str(error)
            assert "instances.json" in said
            assert len(said) < 1000


def test_huge_polygons_are_cut_down_before_they_are_drawn(folder):
    values = copy.deepcopy(GOOD)
    values["annotations"][1:] = []
    for far in (1e4, 1e9, 1e308):
        values["annotations"][0]["segmentation"] = [[-far, 10, far, 10, far, far, -far, far]]
        coco = read(folder, values)
        assert np.abs(coco.images[0].objects[0].segmentation[0]).max() <= 80
        (mask,) = coco.target(0)["masks"]
        assert mask[10:].all()
        assert not mask[:10].any()
        average_precision(coco, [], [5])


def test_cut_polygons_cover_the_same_pixels():
    """Against the library's own drawing of polygons that reach far beyond the photo; edges are rounded."""
    generator = np.random.default_rng(1)
    cut, differ = 0, []
    for _ in range(200):
        polygon = generator.uniform(-300, 400, 2 * generator.integers(3, 9)).round(2)
        found, _ = read_segmentation([polygon.tolist()], (50, 60))
        whole = draw_mask([polygon], (50, 60))
        assert len(found) or not whole.any()
        if len(found):
            cut += len(found[0]) != len(polygon) or (found[0] != polygon).any()
            differ.append((draw_mask(found, (50, 60)) != whole).mean())
    assert cut > 150
    assert np.mean(differ) < 0.002
    assert max(differ) < 0.02
    near = generator.uniform(-50, 100, 12)
    assert (read_segmentation([near.tolist()], (50, 60))[0][0] == near).all()


def test_outlines_without_end_are_refused(folder):
    values = copy.deepcopy(GOOD)
    values["annotations"][0]["segmentation"] = [[-30, 0, 70, 20] * 100]
    with pytest.raises(
        ValueError, match=r"annotations\[0\].*its outline of 20,\d+ pixels is longer than any"
    ):
        read(folder, values)


def test_masks_of_too_many_objects_are_refused_before_they_are_drawn(folder, monkeypatch):
    monkeypatch.setattr("freqvision.detection.coco.MAX_MASKS", 2000)
    values = copy.deepcopy(GOOD)
    values["annotations"][1]["segmentation"] = values["annotations"][0]["segmentation"]
    coco = read(folder, values)
    assert len(coco.target(0, masks=False)["boxes"]) == 2
    with pytest.raises(ValueError, match=r"instances\.json: image 5 has 2 objects in 40×30 pixels"):
        coco.target(0)


def test_degenerate_polygons_are_left_out_and_counted(folder, caplog):
    values = copy.deepcopy(GOOD)
    good = values["annotations"][0]["segmentation"][0]
    one, other, _ = values["annotations"]
    one["segmentation"] = [[], good, [5, 5, 6, 6], [900, 900, 901, 900, 901, 901]]
    other["segmentation"] = [[1, 2, 3, 4]]
    with caplog.at_level(logging.WARNING):
        coco = read(folder, values)
    assert "2 annotations have polygons of fewer than three points" in caplog.text
    assert caplog.text.rstrip().endswith(": 1, 2")
    assert [found.id for found in coco.images[0].objects] == [1, 3]
    assert (coco.target(0)["masks"][0].numpy() == draw_mask([np.array(good)], (30, 40))).all()
    found = {**coco.target(0), "scores": torch.ones(1)}
    found["masks"] = found["masks"].bool()
    metrics = average_precision(coco, coco_results(found, 5, coco.category_ids), [5])
    assert metrics["mask_ap"] == pytest.approx(1)  # what is left out is not missed either


@pytest.mark.parametrize(
    "name", ["../b.jpg", "x/../../b.jpg", "..\\b.jpg", "/etc/passwd", "C:\\b.jpg", "\\b.jpg"]
)
def test_file_names_stay_in_the_folder_unless_allowed(folder, name):
    values = copy.deepcopy(GOOD)
    values["images"][0]["file_name"] = name
    with pytest.raises(ValueError, match=r"images\[0\].*leads out of the folder.*paths_outside=True"):
        read(folder, values)
    values["images"][0]["file_name"] = str(folder / "b.jpg")
    (folder / "instances.json").write_text(json.dumps(values))
    coco = read_coco(folder / "instances.json", folder, paths_outside=True)
    assert coco.images[0].path == str(folder / "b.jpg")


def test_only_files_are_photos(folder):
    (folder / "b.jpg").unlink()
    os.mkfifo(folder / "b.jpg")
    with pytest.raises(FileNotFoundError, match="1 of the 2 photos"):
        read(folder)


def test_sizes_that_no_photo_has(folder):
    values = copy.deepcopy(GOOD)
    values["images"][0].update(height=2**20, width=2**20)
    with pytest.raises(ValueError, match=r"images\[0\] \(id 5, file_name a.jpg\): 1048576×1048576 pixels"):
        read(folder, values)


def test_broken_files(folder):
    with pytest.raises(ValueError, match=r"instances\.json is no JSON, or cut off"):
        read(folder, json.dumps(GOOD)[:-20])
    with pytest.raises(ValueError, match=r"instances\.json is no JSON"):
        read(folder, 100_000 * "[")
    with pytest.raises(ValueError, match="not in COCO's format"):
        read(folder, [1, 2])
    assert read(folder, "\ufeff" + json.dumps(GOOD)).target(1)["boxes"].shape == (0, 4)  # as Windows begins
    with pytest.raises(FileNotFoundError, match="no file of annotations"):
        read_coco(folder / "none.json", folder)
    with pytest.raises(FileNotFoundError, match="no folder of photos"):
        read_coco(folder / "instances.json", folder / "none")
    (folder / "b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match=r"1 of the 2 photos.*b\.jpg \(image 9\)"):
        read(folder)


def test_masks_that_cannot_be_drawn(folder):
    values = copy.deepcopy(GOOD)
    with pytest.raises(ValueError, match="annotation 2 of image 5 has no segmentation"):
        read(folder, values).target(0)
    with pytest.raises(ValueError, match="annotation 2 of image 5 has no segmentation"):
        read(folder, values).require_outlines(crowds=False)
    values["annotations"][1]["segmentation"] = values["annotations"][0]["segmentation"]
    del values["annotations"][2]["segmentation"]  # of the crowd
    read(folder, values).require_outlines(crowds=False)
    with pytest.raises(ValueError, match="annotation 3 of image 5 has no segmentation"):
        read(folder, values).require_outlines(crowds=True)
    values["annotations"][1]["segmentation"] = {"size": [30, 40], "counts": "\x01broken\x02"}
    with pytest.raises(ValueError, match="annotation 2 of image 5: its segmentation cannot be drawn"):
        read(folder, values).target(0)


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools' own
def test_masks_agree_with_pycocotools_and_with_drawing():
    from pycocotools import mask as coco_mask

    generator = np.random.default_rng(0)
    for _ in range(20):
        polygons = [generator.uniform(0, 50, 2 * corners).round(2) for corners in (3, 7)]
        mask = draw_mask(polygons, (50, 60))
        encoded = coco_mask.merge(coco_mask.frPyObjects([polygon.tolist() for polygon in polygons], 50, 60))
        assert (mask == coco_mask.decode(encoded)).all()
        assert (draw_mask({"size": [50, 60], "counts": encoded["counts"].decode()}, (50, 60)) == mask).all()
        edges = np.flatnonzero(np.diff(mask.T.ravel(), prepend=0, append=0))
        counts = np.diff([0, *edges, mask.size]).tolist()
        assert (draw_mask({"size": [50, 60], "counts": counts}, (50, 60)) == mask).all()
    square = Image.new("1", (60, 50))
    ImageDraw.Draw(square).rectangle((10, 20, 39, 44), fill=1)
    drawn = draw_mask([np.array([10, 20, 40, 20, 40, 45, 10, 45])], (50, 60))
    assert (drawn == np.asarray(square)).all()


def test_synthetic_scenes_read_back(tmp_path):
    coco = read_coco(write_synthetic_scenes(tmp_path, photos=8, size=(60, 80)), tmp_path / "images")
    assert coco.class_names == ("background", "ball", "box", "tent")
    counts = [len(image.objects) for image in coco.images]
    assert counts[4] == 0
    assert min(counts[:4]) >= 2
    assert [found.crowd for found in coco.images[5].objects] == [True] + [False] * (counts[5] - 1)
    for index, image in enumerate(coco.images):
        target = coco.target(index)
        single = [found for found in image.objects if not found.crowd]
        assert target["masks"].shape == (len(single), *image.size)
        for mask, box, found in zip(target["masks"], target["boxes"], single, strict=True):
            ys, xs = torch.nonzero(mask, as_tuple=True)
            corners = torch.stack([xs.min(), ys.min(), xs.max() + 1, ys.max() + 1])
            torch.testing.assert_close(corners.float(), box, atol=1.5, rtol=0)
            assert abs(int(mask.sum()) - found.area) < 0.1 * found.area + 8
