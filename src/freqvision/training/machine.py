"""Precision and device for Lightning; which messages are silenced."""

import logging
import warnings
from pathlib import Path

import torch


def fastest_precision(accelerator: str = "auto") -> str:
    """bf16-mixed where the hardware multiplies bfloat16, else 16-mixed on GPUs and 32-true on CPUs."""
    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.is_file() and "amx_bf16" in flags.read_text()
    return "bf16-mixed" if has_bf16 else "32-true"


def quieten() -> None:
    """Silence what Lightning says about itself; `Announce` prints what matters of it."""
    for name in ("lightning.pytorch", "lightning.fabric"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for message in (
        ".*smaller than the logging interval.*",
        ".*exists and is not empty.*",
        ".*treespec.*",
        ".*num_workers.*",  # threads decode, not processes
        ".*find_unused_parameters.*",
        ".*barrier.*device.*",
    ):
        warnings.filterwarnings("ignore", message=message)
