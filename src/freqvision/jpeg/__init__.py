"""JPEG files as what they hold: quantised DCT coefficients."""

from freqvision.jpeg.coefficients import Coefficients, Header
from freqvision.jpeg.errors import JpegError
from freqvision.jpeg.read import find_damage, read_coefficients, read_header

__all__ = ["Coefficients", "Header", "JpegError", "find_damage", "read_coefficients", "read_header"]
