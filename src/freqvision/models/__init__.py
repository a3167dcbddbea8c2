"""Networks that read DCT channels: registry, input surgery, starts from RGB weights, transport, export."""

from freqvision.models.architecture import Architecture
from freqvision.models.batchnorm import recalibrate_batchnorm
from freqvision.models.create import create_model, default_spec, rgb_spec
from freqvision.models.export import export_onnx, export_pt2
from freqvision.models.frequency_model import FrequencyModel
from freqvision.models.info import ModelInfo, model_info
from freqvision.models.registry import architecture, list_models, register
from freqvision.models.released import load_released
from freqvision.models.saved import SavedModel, load, read_saved, save
from freqvision.models.surgery import Stem
from freqvision.models.transport import Transport

__all__ = [
    "Architecture",
    "FrequencyModel",
    "ModelInfo",
    "SavedModel",
    "Stem",
    "Transport",
    "architecture",
    "create_model",
    "default_spec",
    "export_onnx",
    "export_pt2",
    "list_models",
    "load",
    "load_released",
    "model_info",
    "read_saved",
    "recalibrate_batchnorm",
    "register",
    "rgb_spec",
    "save",
]
