# The native core; see native/bindings*.cpp.
from typing import Any

import numpy as np

def isa() -> str: ...
def available_isas() -> list[str]: ...
def set_isa(name: str) -> None: ...
def read_file(path: Any, max_bytes: int, count: int) -> bytes: ...
def read_header(source: Any, max_pixels: int, max_bytes: int) -> dict[str, Any]: ...
def read_coefficients(source: Any, strict: bool, max_pixels: int, max_bytes: int) -> dict[str, Any]: ...
def judge(source: Any, max_pixels: int, max_bytes: int) -> None: ...
def read_rows(
    source: Any,
    ranges: Any,
    frequencies: Any,
    transposed: bool = False,
    whole: bool = False,
    strict: bool = True,
    max_pixels: int = ...,
) -> Any: ...
def pack_planes(
    planes: np.ndarray,
    channels: list[int],
    steps: np.ndarray,
    height: int,
    width: int,
    origin_y: int,
    origin_x: int,
    source_height: int,
    source_width: int,
    orientation: int,
    codec: str,
    level: int,
) -> bytes: ...
def pack_blocks(
    planes: list[np.ndarray],
    tables: list[np.ndarray],
    sampling: list[tuple[int, int]],
    height: int,
    width: int,
    orientation: int,
    codec: str,
    level: int,
) -> bytes: ...
def unpack(source: Any, max_pixels: int, check: bool = True) -> dict[str, Any]: ...
def advise_huge_pages(address: int, size: int) -> None: ...

# What went wrong with a source: (io | jpeg | colour | damage, message, kind of JpegError, byte offset).
Failure = tuple[str, str, str, int]

class BatchDecoder:
    def __init__(
        self,
        specs: list[dict[str, Any]],
        threads: int,
        max_pixels: int,
        max_bytes: int,
        upright: bool,
        lenient: bool,
    ) -> None: ...
    def open(self, sources: list[object]) -> list[tuple[int, int, Failure | None]]: ...
    def decode(self, jobs: np.ndarray, addresses: list[int]) -> list[Failure | None]: ...
    def bytes(self, item: int) -> bytes: ...
    def close(self) -> None: ...
