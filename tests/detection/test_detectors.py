"""Detectors of DCT channels against torchvision's own of pixels, and lists of images of any size."""

import copy

import pytest
import torch
from torch.nn import functional as F
from torchvision.models.detection import FCOS, FasterRCNN, MaskRCNN, RetinaNet
from torchvision.models.detection.backbone_utils import resnet_fpn_backbone
from torchvision.models.detection.image_list import ImageList
from torchvision.models.detection.retinanet import _default_anchorgen
from torchvision.ops.feature_pyramid_network import LastLevelP6P7

import freqvision as fv
from freqvision.detection import paste_in_photo
from freqvision.detection.targets import with_area
from freqvision.models.reconstruction import pixel_operator

pytestmark = pytest.mark.usefixtures("small_resnets")
CLASSES = 4
# All of the 4×4 low frequencies of all components: these and 4×4 pixels are the same thing.
LOW = fv.ChannelSet(
    tuple(64 * component + 8 * u + v for component in range(3) for u in range(4) for v in range(4))
)
SPEC = fv.FrequencySpec(resize=None, crop=None, channels=LOW, mean=(3.0,) * 48, std=(60.0,) * 48)
PIXELS = fv.PixelSpec(resize=None, crop=None)
# So that networks with random weights find something.
KEEN = {"score_threshold": 0.01, "detections": 8}


def torchvision_detector(kind: str) -> torch.nn.Module:
    """Torchvision's RGB detector with random weights, in evaluation mode, which resizes nothing."""
    torch.manual_seed(3)
    rcnn = kind in ("fasterrcnn", "maskrcnn")
    backbone = resnet_fpn_backbone(
        backbone_name="resnet18",
        weights=None,
        trainable_layers=5,
        returned_layers=None if rcnn else [2, 3, 4],
        extra_blocks=None if rcnn else LastLevelP6P7(256, 256),
    )
    # Without a random size, for which torchvision would draw a number.
    sizes = {"min_size": 32, "max_size": 1000, "_skip_resize": True}
    if rcnn:
        network = {"fasterrcnn": FasterRCNN, "maskrcnn": MaskRCNN}[kind](
            backbone, CLASSES, box_score_thresh=0.01, box_detections_per_img=8, **sizes
        )
    else:
        anchors = {"anchor_generator": _default_anchorgen()} if kind == "retinanet" else {}
        network = {"retinanet": RetinaNet, "fcos": FCOS}[kind](
            backbone, CLASSES, score_thresh=0.01, detections_per_img=8, **sizes, **anchors
        )
    for name, parameter in network.named_parameters():
        if name.endswith(("cls_logits.weight", "cls_score.weight")):
            torch.nn.init.normal_(parameter, std=0.05)  # scores that differ, so that their order is certain
    return few_proposals(network).eval()


def few_proposals(network: torch.nn.Module) -> torch.nn.Module:
    """Heads are slow, and ten proposals show all that thousands do."""
    if hasattr(network, "rpn"):
        network.rpn._post_nms_top_n = {"training": 10, "testing": 10}
    return network


@pytest.fixture(scope="module", params=["fasterrcnn", "maskrcnn", "retinanet", "fcos"])
def pair(request, small_resnets):
    """Torchvision's detector, and the same folded to read blocks."""
    rgb = torchvision_detector(request.param)
    name = f"{request.param}_resnet18_fpn"
    model = fv.create_detector(name, SPEC, CLASSES, weights=rgb.state_dict(), start="fold", options=KEEN)
    few_proposals(model.network)
    return rgb, model.eval()


@pytest.fixture(scope="module")
def maskrcnn(small_resnets):
    torch.manual_seed(4)
    spec = fv.FrequencySpec(resize=None, crop=None, mean=(5.0,) * 24, std=(50.0,) * 24)
    model = fv.create_detector("maskrcnn_resnet18_fpn", spec, CLASSES, options={"norm": "frozen", **KEEN})
    few_proposals(model.network)
    return model.eval()


def cubes(*grids: tuple[int, int], channels: int = 24, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(channels, *grid, generator=generator) for grid in grids]


def pixels_of(cube: torch.Tensor) -> torch.Tensor:
    """The RGB image (3, 4h, 4w) that channels make, not clamped."""
    weight, offset = (values.float() for values in pixel_operator(SPEC, 4))
    return F.pixel_shuffle(F.conv2d(cube[None], weight.flatten(0, 2)[:, :, None, None], offset.flatten()), 4)[
        0
    ]


def targets_for(*images: torch.Tensor, seed: int = 0) -> list[dict[str, torch.Tensor]]:
    """Three objects in each image, the last of one pixel."""
    generator = torch.Generator().manual_seed(seed)
    targets = []
    for image in images:
        height, width = 4 * image.shape[1], 4 * image.shape[2]
        corners = torch.rand(2, 2, generator=generator) * torch.tensor([width / 2, height / 2])
        boxes = torch.cat([corners, corners + torch.tensor([width / 3, height / 3])], 1)
        boxes = torch.cat([boxes, torch.tensor([[4.0, 4.0, 5.0, 5.0]])])
        masks = torch.zeros(3, height, width, dtype=torch.uint8)
        for mask, (left, top, right, bottom) in zip(masks, boxes.int().tolist(), strict=True):
            mask[top : bottom + 1, left : right + 1] = 1
        targets.append({"boxes": boxes, "labels": torch.tensor([1, 3, 2]), "masks": masks})
    return targets


def assert_same(first, second):
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert one.keys() == other.keys()
        assert len(one["labels"])
        torch.testing.assert_close(one["labels"], other["labels"])
        torch.testing.assert_close(one["boxes"], other["boxes"], atol=0.05, rtol=0)
        torch.testing.assert_close(one["scores"], other["scores"], atol=1e-4, rtol=0)
        if "masks" in one:
            torch.testing.assert_close(one["masks"], other["masks"], atol=2e-2, rtol=0)


class TestAgainstTorchvision:
    # Sides that are multiples of 32 pixels, since torchvision pads with another colour than gray.
    GRIDS = ((8, 16), (8, 16))

    def test_folded_detections_are_those_of_pixels(self, pair):
        rgb, model = pair
        images = cubes(*self.GRIDS, channels=48)
        with torch.no_grad():
            # Random networks find much beyond the edge, which torchvision's one-stage detectors keep.
            assert_same(model(images), with_area(rgb([pixels_of(image) for image in images])))

    def test_losses_and_their_targets_agree(self, pair):
        """Losses follow from anchors, matched targets, sampled proposals and pooled features together."""
        rgb, model = pair
        images = cubes(*self.GRIDS, channels=48)
        targets = targets_for(*images)
        losses = []
        for network, batch in ((model, images), (rgb, [pixels_of(image) for image in images])):
            network.train()  # normalisation is frozen
            torch.manual_seed(0)  # the sampling of anchors and proposals
            with torch.no_grad():
                losses.append(network(batch, targets))
            network.eval()
        assert losses[0].keys() == losses[1].keys()
        for name, value in losses[0].items():
            torch.testing.assert_close(value, losses[1][name], atol=1e-3, rtol=1e-3, msg=name)

    def test_anchors(self, pair):
        rgb, model = pair
        image = cubes((24, 40), channels=48)[0]
        batch, _ = model.network.transform([image])
        assert batch.tensors.shape == (1, 48, 24, 40)
        assert batch.image_sizes == [(96, 160)]
        features = list(rgb.backbone(torch.zeros(1, 3, 96, 160)).values())
        of_pixels = ImageList(torch.zeros(1, 3, 96, 160), [(96, 160)])
        of_rgb, of_model = (getattr(network, "rpn", network) for network in (rgb, model.network))
        expected = of_rgb.anchor_generator(of_pixels, features)[0]
        assert torch.equal(of_model.anchor_generator(batch, features)[0], expected)

    def test_proposals_and_their_targets_for_the_same_features(self, pair):
        rgb, model = pair
        if not hasattr(rgb, "rpn"):
            pytest.skip("one stage: no proposals")
        features = rgb.backbone(torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(1)))
        images = cubes((16, 24), (12, 17), channels=48)
        targets = targets_for(*images)
        batch, _ = model.network.transform(images)
        of_pixels = ImageList(torch.zeros(2, 3, 64, 96), [(64, 96), (48, 68)])
        expected, _ = rgb.rpn(of_pixels, features)
        proposals, _ = model.network.rpn(batch, features)
        pooled = []
        for network, images_, boxes in ((rgb, of_pixels, expected), (model.network, batch, proposals)):
            torch.manual_seed(0)
            heads = network.roi_heads
            heads.training = True
            sampled, matched, labels, regression = heads.select_training_samples(boxes, targets)
            heads.training = False
            if network is rgb:
                heads.box_roi_pool.scales = None  # so that they are worked out for these images
            pooled.append(
                (
                    sampled,
                    matched,
                    labels,
                    regression,
                    heads.box_roi_pool(features, sampled, images_.image_sizes),
                )
            )
            assert heads.box_roi_pool.scales == [1 / 4, 1 / 8, 1 / 16, 1 / 32]
        torch.testing.assert_close(pooled[0], pooled[1], atol=0, rtol=0)

    def test_a_model_of_pixels_is_torchvisions(self):
        rgb = torchvision_detector("maskrcnn")
        model = fv.create_detector(
            "maskrcnn_resnet18_fpn", PIXELS, CLASSES, weights=rgb.state_dict(), options=KEEN
        )
        few_proposals(model.network)
        images = [torch.rand(3, 32, 50), torch.rand(3, 60, 32)]
        mean, std = (values[:, None, None] for values in PIXELS.normalisation())
        with torch.no_grad():
            # One by one, since in torchvision the size of one changes what is found in the other.
            expected = [rgb([image])[0] for image in images]
            assert_same(model.eval()([(image - mean) / std for image in images]), expected)


def test_coordinates_stay_exact_under_autocast(pair):
    """In bfloat16 they would be multiples of 8 here, those of targets too."""
    _, model = pair
    model = copy.deepcopy(model)
    image = cubes((4, 300), channels=48)
    masks = torch.zeros(1, 16, 1200, dtype=torch.uint8)
    target = {"boxes": torch.tensor([[1101.0, 5, 1190, 15]]), "labels": torch.tensor([1]), "masks": masks}
    anchors, truth = [], []
    generator = (model.network.rpn if hasattr(model.network, "rpn") else model.network).anchor_generator
    generator.register_forward_hook(lambda layer, inputs, outputs: anchors.append(outputs[0]))
    if hasattr(model.network, "roi_heads"):
        heads = model.network.roi_heads
        sample = heads.select_training_samples

        def remember(*arguments):
            proposals, *rest = sample(*arguments)
            truth.extend(proposals)
            return proposals, *rest

        heads.select_training_samples = remember
    with torch.no_grad():
        model(image)
        with torch.autocast("cpu", torch.bfloat16):
            (found,) = model(image)
            model.train()(image, [target])
    assert found["boxes"].dtype == found["scores"].dtype == torch.float32
    assert (found["boxes"] != found["boxes"].bfloat16()).any()
    assert torch.equal(anchors[0], anchors[1])
    assert torch.equal(anchors[0], anchors[2])
    for proposals in truth:  # which the boxes of targets join
        assert (proposals == target["boxes"]).all(1).any()


class TestPadding:
    def test_padding_is_gray(self, maskrcnn):
        """In a batch with a larger image, a photo is what it would be with gray margins."""
        small, large = cubes((10, 12), (16, 23))
        gray = maskrcnn.network.transform.fill
        # The same batch without padding that the model itself would have to add.
        canvas = gray.expand(24, 16, 24).clone()
        canvas[:, :10, :12] = small
        batch, _ = maskrcnn.network.transform([small, large])
        assert torch.equal(batch.tensors[0], canvas)
        mean, std = maskrcnn.spec.normalisation()
        assert (gray[:, 0, 0] * std + mean).abs().max() < 1e-5  # coefficients of gray
        decoded = fv.PixelTransform(maskrcnn.spec)(torch.full((3, 8, 8), 128, dtype=torch.uint8))
        torch.testing.assert_close(decoded, gray.expand_as(decoded), atol=1e-3, rtol=0)

    def test_nothing_leaks_from_other_images_or_padding(self, maskrcnn):
        small, large, other = cubes((7, 9), (8, 15), (8, 15))
        with torch.no_grad():
            first, second = maskrcnn([small, large])[0], maskrcnn([small, other])[0]
        assert_same([first], [second])
        height, width = 28, 36
        assert first["masks"].shape[2:] == (height, width)
        assert (first["boxes"] >= 0).all()
        assert (first["boxes"][:, 2] <= width).all()
        assert (first["boxes"][:, 3] <= height).all()

    @pytest.mark.parametrize("grid", [(8, 16), (13, 21), (24, 9)])
    def test_alone_or_beside_another_of_any_size(self, pair, grid):
        """The size of the other image changes nothing, neither detections nor losses."""
        _, model = pair
        small, large = cubes((5, 10), grid, channels=48)
        with torch.no_grad():
            alone = model([small])
            assert_same(model([large, small])[1:], alone)
            targets = targets_for(small, large)
            model.train()  # normalisation is frozen
            torch.manual_seed(0)  # the sampling of anchors and proposals
            together = model([small, large], targets)
            torch.manual_seed(0)
            if grid != (8, 16):
                apart = [
                    model([image], [target]) for image, target in zip((small, large), targets, strict=True)
                ]
                for name, loss in together.items():
                    torch.testing.assert_close(loss, (apart[0][name] + apart[1][name]) / 2)
            model.eval()

    def test_statistics_of_a_batch_are_of_all_of_it(self):
        model = fv.create_detector("retinanet_resnet18_fpn", SPEC, CLASSES, options={"norm": "batch"})
        images = cubes((5, 10), (13, 21), (8, 12), channels=48)
        assert model.train()._groups(images) == [[0, 1, 2]]
        assert model.eval()._groups(images) == [[0, 2], [1]]

    def test_boxes_in_the_padding_are_left_out(self, maskrcnn):
        boxes = torch.tensor([[3.0, 4, 20, 9], [20, 4, 20, 9], [3, 4, 9, 4]])
        found = {"boxes": boxes, "scores": torch.tensor([0.9, 0.8, 0.7])}
        (kept,) = maskrcnn.network.transform.postprocess([found], [(16, 20)], [(16, 20)])
        assert kept["scores"].tolist() == pytest.approx([0.9])
        assert torch.equal(kept["boxes"], boxes[:1])


class TestWeights:
    def test_a_classifier_gives_the_backbone(self):
        torch.manual_seed(0)
        classifier = fv.create_model("resnet18", PIXELS, 7)
        model = fv.create_detector(
            "retinanet_resnet18_fpn",
            SPEC,
            CLASSES,
            weights_backbone=classifier.network.state_dict(),
            start="fold",
        )
        body = model.network.backbone.body
        stage = classifier.network.layer3[0].conv2.weight
        assert torch.equal(body.layer3[0].conv2.weight, stage)
        assert not any("backbone.body" in layer for layer in model.new_layers)
        assert model.settings["detector"]["norm"] == "frozen"
        assert not list(body.layer1[0].bn1.parameters())
        detailed = fv.create_detector(
            "retinanet_resnet18_fpn",
            fv.FrequencySpec(None, None, fv.ChannelSet.preset(48)),
            CLASSES,
            weights_backbone=classifier.network.state_dict(),
            start="fold",
        )
        added = {layer for layer in detailed.new_layers if "backbone.body" in layer}
        assert added == {"network.backbone.body.conv1.detail.convolution"}
        assert detailed.settings["detector"]["norm"] == "frozen"  # zero at first, it changes nothing
        sliced = fv.create_detector(
            "retinanet_resnet18_fpn",
            SPEC,
            CLASSES,
            weights_backbone=classifier.network.state_dict(),
            start="slice",
        )
        assert "network.backbone.body.layer1.0.conv1" in sliced.new_layers
        assert sliced.settings["detector"]["norm"] == "batch"  # the stem's statistics are of no use

    def test_a_classifier_of_channels_gives_the_backbone(self):
        torch.manual_seed(0)
        classifier = fv.create_model("resnet18", SPEC, 7)
        model = fv.create_detector(
            "fcos_resnet18_fpn",
            SPEC,
            CLASSES,
            weights_backbone=classifier.state_dict(),
            options={"norm": "frozen"},
        )
        first = classifier.network.layer1[0].conv1.weight
        assert torch.equal(model.network.backbone.body.layer1[0].conv1.weight, first)
        assert not any("backbone.body" in layer for layer in model.new_layers)

    def test_other_classes_start_anew_and_all_else_is_kept(self, pair):
        _, model = pair
        other = fv.create_detector(model.settings["name"], SPEC, 9, weights=model.state_dict(), start="fold")
        heads = fv.models.architecture(model.settings["name"]).heads
        assert set(other.new_layers) == {f"network.{head}" for head in heads}
        state, changed = model.state_dict(), 0
        for key, value in other.state_dict().items():
            if key.rpartition(".")[0] in other.new_layers:
                changed += 1
            else:
                assert torch.equal(value, state[key])
        assert changed == 2 * len(heads)

    def test_save_and_load(self, maskrcnn, tmp_path):
        fv.models.save(maskrcnn, tmp_path, ["background", "a", "b", "c"])
        loaded = fv.models.load(tmp_path)
        few_proposals(loaded.network)
        assert loaded.class_names == ["background", "a", "b", "c"]
        image = cubes((9, 9))
        with torch.no_grad():
            assert_same(loaded(image), maskrcnn(image))

    def test_arguments(self, pair):
        _, model = pair
        name, state = model.settings["name"], model.state_dict()
        with pytest.raises(ValueError, match="leave weights_backbone out"):
            fv.create_detector(name, SPEC, CLASSES, weights=state, weights_backbone=state)
        with pytest.raises(ValueError, match="use weights_backbone="):
            fv.create_detector(name, SPEC, CLASSES, weights={"conv1.weight": torch.zeros(64, 3, 7, 7)})
        with pytest.raises(ValueError, match=r"is a detector, which fv\.create_detector creates"):
            fv.create_model(name, SPEC, CLASSES)
        with pytest.raises(ValueError, match="no detector"):
            fv.create_detector("resnet18", num_classes=2, weights_backbone=state)
        with pytest.raises(ValueError, match="has no option colour; it has norm"):
            fv.create_detector(name, SPEC, CLASSES, options={"colour": 1})
        with pytest.raises(ValueError, match="frozen, batch"):
            fv.create_detector(name, SPEC, CLASSES, options={"norm": "group"})
        with pytest.raises(ValueError, match="samples is a number of boxes"):
            fv.create_detector(name, SPEC, CLASSES, options={"samples": 0})

    def test_samples_are_of_regions(self):
        options = {"samples": 48}
        model = fv.create_detector("maskrcnn_resnet18_fpn", SPEC, CLASSES, options=options)
        assert model.network.roi_heads.fg_bg_sampler.batch_size_per_image == 48
        assert model.settings["detector"]["samples"] == 48
        with pytest.raises(ValueError, match="which fasterrcnn and maskrcnn have"):
            fv.create_detector("fcos_resnet18_fpn", SPEC, CLASSES, options=options)


class TestTraining:
    def test_gradients_reach_the_channels(self, pair):
        _, model = pair
        model = copy.deepcopy(model).train()
        images = cubes((8, 8), (9, 12), channels=48)
        sum(model(images, targets_for(*images)).values()).backward()
        first = model.network.backbone.body.conv1.convolution.weight
        assert torch.isfinite(first.grad).all()
        assert first.grad.abs().sum() > 0

    def test_images_without_objects(self, pair):
        _, model = pair
        model = copy.deepcopy(model).train()
        images = cubes((8, 8), (8, 8), channels=48)
        empty = [
            {
                "boxes": torch.zeros(0, 4),
                "labels": torch.zeros(0, dtype=torch.int64),
                "masks": torch.zeros(0, 32, 32, dtype=torch.uint8),
            }
        ] * 2
        for targets in (empty, [*targets_for(images[0]), *empty[1:]]):
            loss = sum(model(images, targets).values())
            assert torch.isfinite(loss)
            loss.backward()

    @pytest.mark.parametrize("grid", [(1, 1), (40, 1)])
    def test_any_shape(self, pair, grid):
        _, model = pair
        model = copy.deepcopy(model)
        image = cubes(grid, channels=48)
        with torch.no_grad():
            (found,) = model(image)
            assert (found["boxes"][:, 2:] <= torch.tensor([4.0 * grid[1], 4.0 * grid[0]])).all()
            target = {
                "boxes": torch.tensor([[1.0, 1.0, 2.0, 2.0]]),
                "labels": torch.tensor([1]),
                "masks": torch.ones(1, 4 * grid[0], 4 * grid[1], dtype=torch.uint8),
            }
            assert all(torch.isfinite(loss) for loss in model.train()(image, [target]).values())


def test_int8_is_dequantised_on_the_device(maskrcnn):
    spec = fv.FrequencySpec(
        resize=None,
        crop=None,
        mean=maskrcnn.spec.mean,
        std=maskrcnn.spec.std,
        scale=(2.0,) * 24,
        dtype="int8",
    )
    model = fv.create_detector(
        "maskrcnn_resnet18_fpn", spec, CLASSES, maskrcnn.state_dict(), options=KEEN
    ).eval()
    few_proposals(model.network)
    steps = [(20 * cube).round().clamp(-128, 127).to(torch.int8) for cube in cubes((8, 9), (10, 7))]
    mean, std = (values[:, None, None] for values in spec.normalisation())
    with torch.no_grad():
        assert_same(model(steps), maskrcnn([(2.0 * step - mean) / std for step in steps]))


def test_detections_in_the_photo(maskrcnn):
    """A mirrored view's detections are mirrored back; all lie in the photo, of whatever size it is."""
    photo_size = (60, 100)
    view = fv.View((0, 0, *photo_size), (120, 200), (0, 0, 120, 200))
    image = cubes(view.grid)
    with torch.no_grad():
        (found,) = maskrcnn.detect(image)
        (whole,) = maskrcnn(image)
    plain = paste_in_photo(found, view, photo_size, maskrcnn.spec)
    torch.testing.assert_close(plain["boxes"], whole["boxes"])  # here the image has the photo's size
    assert torch.equal(plain["masks"], whole["masks"][:, 0] >= 0.5)
    mirrored = paste_in_photo(found, view.flipped(), photo_size, maskrcnn.spec)
    torch.testing.assert_close(mirrored["boxes"][:, [2, 0]], 100 - plain["boxes"][:, [0, 2]])
    overlap = (mirrored["masks"].flip(-1) & plain["masks"]).sum() / plain["masks"].sum()
    assert overlap > 0.9  # pasting rounds boxes to pixels
    double = paste_in_photo(
        found, fv.View((0, 0, 120, 200), (120, 200), (0, 0, 120, 200)), (120, 200), maskrcnn.spec
    )
    torch.testing.assert_close(double["boxes"], 2 * plain["boxes"])


def test_nothing_is_found_beyond_the_photo(maskrcnn):
    """Its last block may reach further than the photo."""
    view = fv.View((0, 0, 60, 99), (120, 198), (0, 0, 120, 200))
    boxes = torch.tensor([[99.2, 3.0, 100.0, 20.0], [90.0, 3.0, 100.0, 20.0]])
    found = {"boxes": boxes, "labels": torch.tensor([1, 2]), "masks": torch.ones(2, 1, 28, 28)}
    result = paste_in_photo(found, view, (60, 99), maskrcnn.spec)
    assert result["labels"].tolist() == [2]
    assert result["boxes"].tolist() == [[90, 3, 99, 20]]
    assert result["masks"].shape == (1, 60, 99)


class TestMisuse:
    def test_images(self, maskrcnn):
        with pytest.raises(ValueError, match="one image or more"):
            maskrcnn([])
        with pytest.raises(ValueError, match=r"float32 tensors of shape \(B, 24, h, w\).*Decoder"):
            maskrcnn([torch.zeros(3, 8, 8)])
        with pytest.raises(ValueError, match="int8"):
            maskrcnn([torch.zeros(24, 8, 8, dtype=torch.int8)])

    def test_targets(self, maskrcnn):
        model = copy.deepcopy(maskrcnn).train()
        images = cubes((8, 8))
        (good,) = targets_for(*images)
        with pytest.raises(ValueError, match="a dictionary for each of 1 images; got none"):
            model(images)
        with pytest.raises(ValueError, match=r"target 0 has no masks; it has boxes, labels"):
            model(images, [{"boxes": good["boxes"], "labels": good["labels"]}])
        with pytest.raises(
            ValueError, match=r"masks of 3 objects have the shape \(3, 32, 32\).*got \(3, 64, 64\)"
        ):
            model(images, [{**good, "masks": torch.zeros(3, 64, 64)}])
        with pytest.raises(ValueError, match=r"boxes of 3 objects"):
            model(images, [{**good, "boxes": good["boxes"][:2]}])


def test_masks_fill_the_box_that_was_found_even_beyond_the_photo(maskrcnn):
    """A mask of which the right half is set, in a box that reaches 4 pixels beyond the photo's 100."""
    view = fv.View((0, 0, 60, 100), (120, 200), (0, 0, 120, 208))
    mask = torch.zeros(1, 1, 28, 28)
    mask[..., 14:] = 1
    found = {"boxes": torch.tensor([[50.0, 3, 104, 20]]), "labels": torch.tensor([1]), "masks": mask}
    result = paste_in_photo(found, view, (60, 100), maskrcnn.spec)
    assert result["boxes"].tolist() == [[50, 3, 100, 20]]
    assert result["masks"][0, 10].nonzero()[0].item() == pytest.approx((50 + 104) / 2, abs=1)


def test_weights_of_other_channels_are_refused(tmp_path):
    one, other = (
        fv.FrequencySpec(64, None, fv.ChannelSet.parse(text), max_size=96) for text in ("Y0-5", "Y0-4+Cb0")
    )
    folder = fv.save(fv.create_detector("fasterrcnn_resnet18_fpn", one, 3), tmp_path / "one")
    with pytest.raises(ValueError, match=r"Y0-5, and the spec has Y0-4\+Cb0"):
        fv.create_detector("fasterrcnn_resnet18_fpn", other, 3, weights=folder / "model.safetensors")
