"""Reading coefficients and headers from files and buffers."""

import operator
import os
from collections.abc import Callable
from typing import Any, TypeAlias

from freqvision import _native
from freqvision.jpeg.coefficients import Coefficients, Header
from freqvision.jpeg.errors import JpegError

# bytes, bytearray, memoryview, a contiguous array: whatever has a buffer.
Source: TypeAlias = "str | os.PathLike[str] | Any"

MAX_PIXELS = 2**28


def read_coefficients(source: Source, *, strict: bool = True, max_pixels: int = MAX_PIXELS) -> Coefficients:
    """Read the quantised DCT coefficients of a JPEG file.

    Baseline, extended sequential and progressive Huffman files of 8 bits, 1 to 4 components and any sampling,
    as in ITU-T T.81. The result is what libjpeg reads, without the padding blocks of MCUs. Other threads run
    meanwhile.

    Args:
        source: A path, or the file's bytes as bytes, memoryview or any other contiguous buffer.
        strict: Raise if anything is lost. If False, whatever could be decoded is returned, the rest is 0, and
            `warnings` says what happened; a file whose header cannot be read raises all the same.
        max_pixels: Refuse files that claim to be larger, before memory for them is taken; a positive integer.

    Returns:
        The coefficients, quantisation tables and header.

    Raises:
        JpegError: The file is damaged, too large, or of a kind that is not supported; `kind` says which.
        OSError: The path cannot be read.
        TypeError: `source` is neither a path nor a contiguous buffer.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> import freqvision as fv
        >>> file = io.BytesIO()
        >>> Image.new("RGB", (50, 30), "red").save(file, "JPEG", quality=90, subsampling="4:2:0")
        >>> coefficients = fv.read_coefficients(file.getvalue())
        >>> coefficients.size, [plane.shape for plane in coefficients.planes]
        ((30, 50), [(4, 7, 8, 8), (2, 4, 8, 8), (2, 4, 8, 8)])
    """
    fields = _named(
        _native.read_coefficients, source, _contents(source), bool(strict), check_max_pixels(max_pixels)
    )
    return Coefficients(**fields)


def read_header(source: Source, *, max_pixels: int = MAX_PIXELS) -> Header:
    """Read size, sampling, colour model and orientation of a JPEG file, without its image data.

    Args:
        source: As for `read_coefficients`. Of a path, only the beginning of the file is read as a rule.
        max_pixels: Refuse files that claim to be larger.

    Returns:
        The header.

    Raises:
        JpegError: The header is damaged, or of a kind that `read_coefficients` does not support.
        OSError: The path cannot be read.
        TypeError: `source` is neither a path nor a buffer.

    Example:
        >>> import io
        >>> from PIL import Image
        >>> import freqvision as fv
        >>> file = io.BytesIO()
        >>> Image.new("L", (50, 30)).save(file, "JPEG")
        >>> header = fv.read_header(file.getvalue())
        >>> header.size, header.colour_model, header.blocks
        ((30, 50), 'gray', ((4, 7),))
    """
    max_pixels = check_max_pixels(max_pixels)
    if _is_path(source):
        # A header seldom passes a few kilobytes; thumbnails and colour profiles make exceptions.
        beginning = _contents(source, 2**16)
        try:
            return _header(_native.read_header(beginning, max_pixels))
        except JpegError as error:
            if error.kind != "truncated" or len(beginning) < 2**16:
                raise _with_path(error, source) from None
    return _header(_named(_native.read_header, source, _contents(source), max_pixels))


def _header(fields: dict[str, Any]) -> Header:
    del fields["quant_tables"]  # those of later scans are not known yet
    return Header(**fields)


def _is_path(source: Source) -> bool:
    return isinstance(source, (str, os.PathLike))


def _contents(source: Any, limit: int = -1) -> Any:
    """The bytes of a file, or the buffer itself."""
    if _is_path(source):
        with open(source, "rb") as file:
            return file.read(limit)
    return check_buffer(source)


def check_buffer(source: Any) -> memoryview:
    """The contiguous buffer of a source that is no path.

    Raises:
        TypeError: It has none; the message says what to pass instead.
    """
    kind = type(source).__name__
    try:
        view = memoryview(source)
    except TypeError:
        hint = next((f"; pass its .{name}()" for name in ("read", "numpy") if hasattr(source, name)), "")
        raise TypeError(
            "a source is a path (str or os.PathLike) or the bytes of a file (bytes, memoryview or another "
            f"contiguous buffer), not {kind}{hint}"
        ) from None
    if not view.c_contiguous:
        raise TypeError(f"a source is a contiguous buffer, and this {kind} is not: pass its .tobytes()")
    return view


def check_max_pixels(value: Any) -> int:
    """A limit that the native core takes: a positive integer, of which more than 2⁶² mean no limit."""
    try:
        pixels = operator.index(value)
    except TypeError:
        raise TypeError(f"max_pixels is an integer, got {value!r}; the default is {MAX_PIXELS}") from None
    if pixels <= 0:
        raise ValueError(f"max_pixels is positive, got {value!r}; the default is {MAX_PIXELS}")
    return min(pixels, 2**62)


def _named(function: Callable[..., dict[str, Any]], source: Source, *arguments: Any) -> dict[str, Any]:
    """Call a native function; its errors name the file."""
    try:
        return function(*arguments)
    except JpegError as error:
        raise _with_path(error, source) from None


def _with_path(error: JpegError, source: Source) -> JpegError:
    if not _is_path(source):
        return error
    return JpegError(f"{os.fspath(source)}: {error}", error.kind, error.offset)
