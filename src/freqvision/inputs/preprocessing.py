"""Other libraries' preprocessing, read from its objects: torchvision, timm and transformers.

Nothing of these libraries is imported: their objects say what they do by attributes.
"""

import math
from collections.abc import Mapping
from typing import Any

# transformers' own base classes, and classes that override them as is read below.
_BACKENDS = ("TorchvisionBackend", "PilBackend", "BaseImageProcessorFast")
_KNOWN = ("CLIP", "Siglip", "ViT", "Bit", "ConvNext", "DINOv3ViT")
_STEPS = ("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb")
_PILLOW = {2: "bilinear", 3: "bicubic"}


def preprocessing_fields(source: Any) -> dict[str, Any]:
    """Fields of the `PixelSpec` that does what another library's preprocessing does, see `PixelSpec.like`.

    Example:
        >>> config = {"input_size": (3, 224, 224), "crop_pct": 0.9, "interpolation": "bicubic"}
        >>> fields = preprocessing_fields({**config, "mean": (0.5,) * 3, "std": (0.5,) * 3})
        >>> fields["resize"], fields["crop"], fields["interpolation"]
        (248, 224, 'bicubic')
    """
    if callable(getattr(source, "transforms", None)):  # torchvision's weights
        source = source.transforms()
    source = getattr(source, "image_processor", source)  # of transformers' processors
    config = getattr(source, "pretrained_cfg", source)  # of timm's models
    if isinstance(config, Mapping) and "input_size" in config:
        return _timm(config)
    if hasattr(source, "resize_size") and hasattr(source, "crop_size"):
        return _torchvision(source)
    if hasattr(source, "image_mean"):
        return _transformers(source)
    raise TypeError(
        "like() reads torchvision's weights.transforms(), timm's resolve_data_config(…) and transformers' "
        f"image processors; got {type(source).__name__}"
    )


def _torchvision(preset: Any) -> dict[str, Any]:
    if preset.antialias is False:
        raise ValueError("these transforms resize without antialiasing, which a spec always does")
    (crop,), resize = preset.crop_size, preset.resize_size
    return {
        "resize": resize[0] if len(resize) == 1 else tuple(resize),
        "crop": crop,
        "mean": tuple(preset.mean),
        "std": tuple(preset.std),
        "interpolation": _interpolation(preset.interpolation.value),
    }


def _timm(config: Mapping[str, Any]) -> dict[str, Any]:
    """As ``timm.data.create_transform`` does it for evaluation."""
    channels, height, width = config["input_size"]
    if channels != 3:
        raise ValueError(f"input_size is (3, height, width) for photos; got {config['input_size']}")
    mode = config.get("crop_mode") or "center"
    resize = tuple(math.floor(side / (config.get("crop_pct") or 0.875)) for side in (height, width))
    if mode not in ("center", "squash") or (mode == "center" and height != width):
        raise ValueError(
            f"a spec cannot express timm's crop_mode={mode!r} for {height}×{width}: pass 'squash', or "
            "'center' for squares"
        )
    return {
        "resize": resize if mode == "squash" else resize[0],
        "crop": _crop(height, width),
        **{name: tuple(config[name]) for name in ("mean", "std") if config.get(name)},  # ImageNet's otherwise
        "interpolation": _interpolation(config.get("interpolation", "bilinear")),
    }


def _transformers(processor: Any) -> dict[str, Any]:
    name = type(processor).__name__
    _check_class(processor)
    others = sorted(
        step
        for step in dir(processor)
        if step.startswith("do_") and step not in _STEPS and getattr(processor, step) is True
    )
    if others:
        raise ValueError(
            f"{name} has {', '.join(others)}, which a spec cannot express: pass {others[0]}=False"
        )
    resize: Any = None
    crop: Any = None
    if processor.do_resize:
        resize, crop = _transformers_size(processor)
    if getattr(processor, "do_center_crop", False):
        crop = _crop(*(_side(processor.crop_size, name) for name in ("height", "width")))
    # (pixel · factor − mean) / std, in units of pixels from 0 to 1.
    factor = 255 * processor.rescale_factor if processor.do_rescale else 255
    mean, std = (
        (processor.image_mean, processor.image_std) if processor.do_normalize else ((0,) * 3, (1,) * 3)
    )
    return {
        "resize": resize,
        "crop": crop,
        "mean": tuple(value / factor for value in mean),
        "std": tuple(value / factor for value in std),
        "interpolation": _interpolation(getattr(processor.resample, "value", processor.resample)),
        "centring": "floor",
    }


def _transformers_size(processor: Any) -> tuple[Any, Any]:
    """Resize, and the crop that belongs to it."""
    size = processor.size
    short, height, width = (_side(size, name) for name in ("shortest_edge", "height", "width"))
    if _side(size, "longest_edge") or not (short or (height and width)):
        raise ValueError(
            f"{type(processor).__name__} resizes to {size}; a spec resizes to a shortest edge or to an exact "
            "height and width"
        )
    if not short:
        return (height, width), None
    if _name(processor) != "ConvNext":  # others keep a crop_pct that they are given, and never use it
        return short, None
    # ConvNeXt crops below 384 pixels, and squashes from there on.
    return (int(short / processor.crop_pct), short) if short < 384 else ((short, short), None)


def _check_class(processor: Any) -> None:
    """Refuse a class that overrides steps of the preprocessing in a way that is not known here."""
    kind, name = type(processor), _name(processor)
    methods = (getattr(kind, step, None) for step in ("_preprocess", "preprocess", "resize", "center_crop"))
    owners = {method.__qualname__.partition(".")[0] for method in methods if method is not None}
    if name not in _KNOWN and not owners <= {*_BACKENDS, "BaseImageProcessor"}:
        raise ValueError(
            f"{kind.__name__} has steps of its own that a spec may not express; known are the processors "
            f"{', '.join(_KNOWN)}, and those that only set sizes and numbers. Decode with a PixelSpec and do "
            "the rest after it, as examples/qwen2_vl.py does"
        )


def _name(processor: Any) -> str:
    name = type(processor).__name__
    return name.removesuffix("Fast").removesuffix("Pil").removesuffix("ImageProcessor")


def _interpolation(name: Any) -> str:
    name = _PILLOW.get(name, name)
    if name not in _PILLOW.values():
        raise ValueError(f"a spec resizes with {' or '.join(_PILLOW.values())}, antialiased; got {name}")
    return str(name)


def _crop(height: Any, width: Any) -> Any:
    return height if height == width else (height, width)


def _side(size: Any, name: str) -> int | None:
    return size.get(name) if isinstance(size, Mapping) else getattr(size, name, None)
