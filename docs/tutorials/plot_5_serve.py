"""
Serve
=====

A model as an ONNX file that carries its own preprocessing.
"""

# %%
# Any model of ``fv.create_model`` or ``fv.load``. The input is int8, half the bytes of RGB pixels.

import io
import tempfile
import time

import matplotlib.pyplot as plt
import numpy as np
import onnxruntime
import torch

import freqvision as fv
from freqvision.data.synthetic import synthetic_photo
from freqvision.models import export_onnx

torch.manual_seed(0)
spec = fv.FrequencySpec(resize=256, crop=224, dtype="int8")
model = fv.create_model("resnet18", spec, num_classes=6).eval()
model.class_names = ["checks", "clouds", "dots", "rays", "rings", "stripes"]
folder = tempfile.TemporaryDirectory()
path = export_onnx(model, f"{folder.name}/model.onnx")

# %%
# The server needs the file, onnxruntime and a decoder. Spec and names of classes come from the file.

session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
metadata = session.get_modelmeta().custom_metadata_map
decode = fv.Decoder(fv.FrequencySpec.from_json(metadata["freqvision.spec"]))
print(decode.spec.shape, metadata["freqvision.classes"])

# %%
# A request's bytes go in, logits come out. Damaged photos of a batch cost only themselves.


def jpeg(pattern, seed):
    file = io.BytesIO()
    synthetic_photo(pattern, 375, seed).save(file, "JPEG", quality=90)
    return file.getvalue()


photos = [jpeg("rings", 1), jpeg("dots", 2)[:2000], jpeg("rays", 3)]
batch, errors = decode.try_decode(photos)
(logits,) = session.run(None, {session.get_inputs()[0].name: batch.numpy()})
print(logits.shape, errors)
with torch.inference_mode():
    print("largest difference from PyTorch:", np.abs(logits - model(batch).numpy()).max())

# %%
# Where the time of a request goes, on the machine that built this page.

times = {"decode": [], "network": []}
for _ in range(5):
    start = time.perf_counter()
    batch = decode(photos[:1]).numpy()
    middle = time.perf_counter()
    session.run(None, {session.get_inputs()[0].name: batch})
    times["decode"].append(1000 * (middle - start))
    times["network"].append(1000 * (time.perf_counter() - middle))
figure, axes = plt.subplots(figsize=(6, 1.6), layout="constrained")
axes.barh(list(times), [np.median(values) for values in times.values()])
axes.set_xlabel("median, ms per photo")
