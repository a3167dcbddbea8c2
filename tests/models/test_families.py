"""Every family through the same cases."""

from dataclasses import replace

import pytest
import torch
from model_families import CLASSES, FAMILIES, RGB_SIZE, small_model, small_spec

from freqvision.models import FrequencyModel, architecture, export_onnx, export_pt2, list_models, load, save
from freqvision.models.surgery import remove_stem
from freqvision.models.transport import Transport

REAL = [name for name in list_models() if not name.startswith("tiny_") and not architecture(name).backbone]


# Folds of 48 channels: the pixels show some, and the others have a way of their own.
FOLDS = [("tiny_resnet18", 48, "fold"), ("tiny_vit", 48, "fold")]


@pytest.fixture(scope="module", params=[*((name, 24, None) for name in FAMILIES), *FOLDS], ids=str)
def model(request):
    name, channels, start = request.param
    if name.startswith("timm/"):
        pytest.importorskip("timm")
    torch.manual_seed(0)
    built = small_model(name, small_spec(name, channels), start=start)
    # A pass in training mode gives BatchNorm statistics of some input; torchvision's ViT has a head of zeros.
    for parameter in built.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    built.train()(_inputs(built, batch=8))
    return built.eval()


def _inputs(model, batch=2, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(batch, *model.spec.shape, generator=generator)


def _close(actual, expected, tolerance=1e-4):
    spread = (expected - expected.mean()).abs().max() + 1e-12
    torch.testing.assert_close(actual, expected, rtol=0, atol=float(tolerance * spread))


def test_logits_have_the_shape_promised_and_depend_on_every_channel(model):
    inputs = _inputs(model).requires_grad_()
    logits = model(inputs)
    assert logits.shape == (2, CLASSES)
    logits.square().sum().backward()
    assert inputs.grad.abs().amax(dim=(0, 2, 3)).min() > 0
    model.zero_grad()


def test_gradients_reach_every_parameter(model):
    model.train()
    torch.nn.functional.cross_entropy(model(_inputs(model, 4)), torch.arange(4)).backward()
    without = [name for name, parameter in model.named_parameters() if parameter.grad is None]
    model.zero_grad()
    model.eval()
    assert not without


SEEN: dict[str, set[type]] = {}  # the layers that were compiled, and those that were exported


def of_known_layers(model, what):
    """Whether earlier networks had all its classes: tracing depends on their code, not their sizes."""
    kinds, seen = {type(part) for part in model.modules()}, SEEN.setdefault(what, set())
    known = kinds <= seen
    seen.update(kinds)
    return known


def test_compiles_into_one_graph(model):
    if of_known_layers(model, "compiled"):
        return
    torch.compiler.reset()
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    inputs = _inputs(model)
    with torch.no_grad():
        _close(compiled(inputs), model(inputs))


def test_saves_and_loads(model, tmp_path):
    inputs = _inputs(model)
    again = load(save(model, tmp_path, classes=list("abcde")))
    assert again.spec == model.spec
    assert again.settings == model.settings
    assert again.class_names == list("abcde")
    with torch.no_grad():
        assert torch.equal(again(inputs), model(inputs))


@pytest.fixture(scope="module")
def exported(model, tmp_path_factory):
    """The network from its archive, or None for one of known layers."""
    if of_known_layers(model, "exported"):
        return None
    return torch.export.load(export_pt2(model, tmp_path_factory.mktemp("pt2") / "model.pt2"))


def test_exports_with_a_batch_of_any_size(model, exported):
    if exported is None:
        return
    inputs = _inputs(model, batch=3)
    with torch.no_grad():
        _close(exported.module()(inputs), model(inputs))


TRANSLATED: set[str] = set()  # operators that were compared with onnxruntime's


def test_exports_to_onnx(model, exported, tmp_path):
    """PyTorch translates operator by operator, so a family without new ones need not take its seconds."""
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("onnxscript")
    if exported is None:
        return
    operators = {str(node.target) for node in exported.graph.nodes if node.op == "call_function"}
    assert len(operators) > 5
    if operators <= TRANSLATED:
        return
    TRANSLATED.update(operators)
    path = export_onnx(model, tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    inputs = _inputs(model, batch=3)
    with torch.no_grad():
        _close(torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0]), model(inputs))


def test_wrong_input_is_an_error_that_says_what_to_pass(model):
    channels, height, width = model.spec.shape
    with pytest.raises(
        ValueError, match=rf"shape \(B, {channels}, h, w\), the channels Y0-.*fv.Decoder\(model.spec\)"
    ):
        model(torch.zeros(1, 192, height, width))
    with pytest.raises(ValueError, match=r"float32 tensors .* got int8"):
        model(torch.zeros(1, channels, height, width, dtype=torch.int8))


def test_channels_last_and_bfloat16_change_nothing_but_rounding(model):
    inputs = _inputs(model)
    with torch.no_grad():
        expected = model(inputs)
        _close(model(inputs.to(memory_format=torch.channels_last)), expected)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            half = model(inputs)
    assert half.dtype == torch.bfloat16
    _close(half.float(), expected, tolerance=0.15)


def test_int8_is_dequantised_and_normalised_by_the_model(model):
    scale = tuple(0.5 + 0.1 * i for i in range(model.channels))
    spec = replace(model.spec, dtype="int8", scale=scale)
    of_integers = FrequencyModel(model.network, spec, model.settings).eval()
    generator = torch.Generator().manual_seed(2)
    integers = torch.randint(-128, 128, (2, *spec.shape), generator=generator).to(torch.int8)
    mean, std = (values[:, None, None] for values in spec.normalisation())
    with torch.no_grad():
        expected = model((integers * torch.tensor(scale)[:, None, None] - mean) / std)
        _close(of_integers(integers), expected)


def test_half_precision_transfer_only_rounds_the_input(model):
    spec = model.spec.with_dtype("float16")
    of_halves = FrequencyModel(model.network, spec, model.settings).eval()
    inputs = _inputs(model).half()
    with torch.no_grad():
        assert torch.equal(of_halves(inputs), model(inputs.float()))


def test_fold_is_the_rgb_network_on_the_pixels_of_the_channels(model):
    name = model.settings["name"]
    found = architecture(name)
    torch.manual_seed(3)
    rgb = found.build(CLASSES, RGB_SIZE)
    for parameter in rgb.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.02)
    rgb.train()(torch.randn(8, 3, RGB_SIZE, RGB_SIZE))
    folded = small_model(name, weights=rgb.state_dict(), start="fold").eval()
    transport = Transport(
        rgb.eval(), folded.spec, pixels=found.stem.pixels, mean=found.mean, std=found.std, clamp=False
    )
    inputs = _inputs(folded)
    with torch.no_grad():
        _close(folded(inputs), transport(inputs))


@pytest.mark.parametrize(
    "name", [name for name in REAL if not name.startswith("regnet")] + ["regnet_y_400mf"]
)
def test_stems_are_described_as_they_are(name):
    """Every real network has the layers its stem names, and logits come out behind the surgery."""
    found = architecture(name)
    device = "cpu" if name.startswith("regnet") else "meta"  # RegNet works out its widths with tensors
    with torch.device(device):
        network = found.build(CLASSES, found.rgb_size)
        assert found.stem.first_convolution(network).in_channels == 3
        before = {layer: network.get_submodule(layer) for layer in found.stem.rest}
        assert not any(isinstance(part, torch.nn.Conv2d) for part in before.values())
        if found.stem.entry:
            remove_stem(network, found.stem, 24, slice_weights=True)
            grid = found.rgb_size // found.stem.stride
            assert network.eval()(torch.zeros(1, 24, grid, grid)).shape == (1, CLASSES)
