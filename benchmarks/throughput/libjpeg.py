"""libjpeg-turbo itself as a rival: libjpeg.c, compiled on first use."""

import ctypes
import functools
import os
import shlex
import subprocess
import sysconfig
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

_SOURCE = Path(__file__).with_name("libjpeg.c")
_HOW = (
    "install a C compiler and the headers of libjpeg-turbo "
    "(Debian: libjpeg62-turbo-dev, Ubuntu: libjpeg-turbo8-dev)"
)


@functools.cache
def load() -> ctypes.CDLL:
    """Compile and load the rival.

    Raises:
        ModuleNotFoundError: There is no compiler, or no libjpeg-turbo to compile against.
    """
    # sysconfig's compiler may be one that built Python elsewhere; CC lets a user choose.
    compiler = shlex.split(os.environ.get("CC") or "cc")
    with tempfile.TemporaryDirectory(prefix="freqvision-libjpeg-") as folder:
        library = Path(folder) / f"libjpeg_rival{sysconfig.get_config_var('SHLIB_SUFFIX') or '.so'}"
        command = [*compiler, "-O3", "-fPIC", "-shared", str(_SOURCE), "-o", str(library), "-ljpeg"]
        try:
            subprocess.run(command, check=True, capture_output=True, text=True)
            rival = ctypes.CDLL(str(library))
        except (OSError, subprocess.CalledProcessError) as error:
            output = (getattr(error, "stderr", None) or str(error)).strip().splitlines()
            cause = next((line for line in output if "error" in line), output[0] if output else "unknown")
            raise ModuleNotFoundError(f"{_HOW}; the compiler says: {cause.strip()}") from error
    rival.libjpeg_version.restype = ctypes.c_char_p
    file = [ctypes.c_char_p, ctypes.c_ulong]
    rival.libjpeg_read_coefficients.argtypes = rival.libjpeg_decode_rgb.argtypes = file
    rival.libjpeg_planes.restype = ctypes.c_long
    rival.libjpeg_planes.argtypes = [*file, ctypes.c_int, ctypes.c_int, ctypes.c_void_p, ctypes.c_long]
    return rival


def version() -> str:
    """Version of the libjpeg-turbo that was compiled against."""
    return load().libjpeg_version().decode()


def read_coefficients(files: Sequence[bytes]) -> None:
    """Read the quantised coefficients of all files and drop them."""
    _each(load().libjpeg_read_coefficients, files)


def decode_rgb(files: Sequence[bytes]) -> None:
    """Decode all files to RGB and drop the pixels."""
    _each(load().libjpeg_decode_rgb, files)


def planes(file: bytes, components: range, shape: tuple[int, int]) -> np.ndarray:
    """Dequantised coefficients of some components that all have the same size in blocks.

    Args:
        file: A JPEG file.
        components: Which ones, e.g. ``range(1, 3)`` for chroma.
        shape: (blocks_high, blocks_wide) of each.

    Returns:
        int16 (components, blocks_high, blocks_wide, 64).

    Raises:
        ValueError: The file is damaged, or its components have another size.
    """
    result = np.empty((len(components), *shape, 64), np.int16)
    written = load().libjpeg_planes(
        file, len(file), components.start, components.stop, result.ctypes.data, result.size
    )
    if written != result.size:
        raise ValueError(f"the JPEG file has no components {components} of {shape} blocks, or is damaged")
    return result


def _each(function: Callable[[bytes, int], int], files: Sequence[bytes]) -> None:
    for place, file in enumerate(files):
        if function(file, len(file)):
            raise ValueError(f"libjpeg-turbo cannot read file {place} of {len(files)}")
