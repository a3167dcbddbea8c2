"""The machine that a measurement was taken on."""

import contextlib
import datetime
import importlib.metadata
import platform
import re
from pathlib import Path
from typing import Any

import torch

from freqvision import __version__, _native
from freqvision.analysis.speed import busy_cores
from freqvision.runtime import available_cores
from throughput import libjpeg

_PACKAGES = (
    "torch",
    "torchvision",
    "torchcodec",
    "kornia-rs",
    "turboloader",
    "numpy",
    "pillow",
    "simplejpeg",
    "opencv-python-headless",
    "opencv-python",
    "nvidia-dali-cuda130",
    "nvidia-dali-cuda120",
)


def facts() -> dict[str, Any]:
    """Processor, instruction sets, versions of what is installed, date, and how busy the machine is."""
    versions = {"freqvision": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    with contextlib.suppress(ModuleNotFoundError):
        versions["libjpeg-turbo"] = libjpeg.version()
    return {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "cpu": _cpu(),
        "cores": available_cores(),
        "architecture": platform.machine(),
        "system": platform.system(),
        "freqvision_isa": _native.isa(),
        "torch_isa": torch.backends.cpu.get_cpu_capability(),
        "load": busy_cores(),
        "versions": versions,
    }


def _cpu() -> str:
    try:
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found.group(1).strip() if found else platform.processor() or platform.machine()
