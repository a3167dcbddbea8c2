"""Progress bars, tables, batches, devices, files that are written whole or not at all, a folder's lock."""

import csv
import errno
import json
import os
import re
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, ClassVar, TypeVar

from tqdm import tqdm

INTERVAL = 60.0  # seconds between lines
DRAFT = ".draft"  # ends the names of files that are being written

# Modules that are not installed with the package, and the extra that brings them.
EXTRAS = {
    "datasets": "table",
    "faster_coco_eval": "detection",
    "gradio": "explore",
    "huggingface_hub": "hub",
    "jinja2": "report",
    "lightning": "train",
    "matplotlib": "report",
    "obstore": "remote",
    "onnx": "export",
    "onnxruntime": "export",
    "onnxscript": "export",
    "pyarrow": "embed",
    "ray": "ray",
    "tensorboard": "train",
    "timm": "timm",
    "torchmetrics": "train",
}

Item = TypeVar("Item")
Kept = TypeVar("Kept", bound="JsonFile")


def progress_bar(iterable: Iterable[Any] | None = None, *, shown: bool = True, **options: Any) -> tqdm:
    """Tqdm's bar on a terminal or in a notebook; elsewhere a line a minute, none for what is done sooner.

    Options are tqdm's, such as total, desc and unit.

    Example:
        >>> sum(progress_bar([1, 2, 3], desc="adding"))
        6
    """
    in_notebook = type(sys.stderr).__module__.startswith("ipykernel")  # which redraws lines like a terminal
    kind = tqdm if in_notebook or sys.stderr.isatty() else _Lines
    return kind(iterable, disable=not shown, **options)


def batches(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    """Consecutive slices of a size; the last may be shorter.

    Example:
        >>> list(batches("abcde", 2))
        ['ab', 'cd', 'e']
    """
    return (items[start : start + size] for start in range(0, len(items), size))


def aligned(rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A table for a terminal: the first columns flush left, the others, numbers, flush right.

    Example:
        >>> print(aligned([("input", "bytes"), ("RGB", "150,528")]))
        input    bytes
        RGB    150,528
    """
    rows = list(rows)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < left else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )


def markdown(rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """The same table in Markdown; the first row is the head."""
    head, *others = rows
    rule = ["---" if place < left else "---:" for place in range(len(head))]
    return "\n".join(f"| {' | '.join(row)} |" for row in (head, rule, *others))


class _Lines(tqdm):
    """A bar for files, which keep every state of one that is redrawn ten times a second."""

    def __init__(self, *args: Any, **options: Any) -> None:
        self.printed = time.monotonic()
        super().__init__(*args, **{**options, "leave": False})

    def display(self, msg: str | None = None, pos: int | None = None) -> None:
        """Print a line if the last one is old enough; a message is only the empty one that wipes a bar."""
        now = time.monotonic()
        if msg is None and now - self.printed >= INTERVAL:
            self.printed = now
            self.fp.write(f"{self}\n")
            self.fp.flush()


@contextmanager
def naming_extras() -> Iterator[None]:
    """Say in the error for a module that is not installed which extra brings it."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = EXTRAS.get((error.name or "").partition(".")[0])
        if extra is None or "pip install" in str(error):
            raise
        way_out = f"{error}: pip install 'freqvision[{extra}]'"
        raise ModuleNotFoundError(way_out, name=error.name) from error


def available_cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads_here(num_threads: int) -> int:
    """The rule for every `num_threads`: 0 is all cores, but one thread in a worker process of a DataLoader.

    Workers share the cores among themselves, so that more than one thread in each would only compete. The
    processes that torchrun started on a machine divide its cores.
    """
    from torch.utils.data import get_worker_info

    if num_threads or get_worker_info():
        return num_threads or 1
    return max(1, available_cores() // int(os.environ.get("LOCAL_WORLD_SIZE", 1)))


def choose_device(name: str | None) -> str:
    """A device by torch's name for it, or by None a GPU where there is one."""
    import torch

    name = name or ("cuda" if torch.cuda.is_available() else "cpu")
    try:
        torch.empty(0, device=name)
    except (RuntimeError, AssertionError) as error:  # the latter of builds without CUDA
        cause = str(error).partition("\n")[0]
        raise ValueError(f"device {name!r} cannot be used here, but cpu can: {cause}") from error
    return name


def printable(text: str, keep: str = "") -> str:
    r"""Text with escapes for what could control a terminal, or change the order of what it shows.

    Names of classes and files may come from anywhere.

    Example:
        >>> printable("cat\x1b[2J")
        'cat\\x1b[2J'
    """
    if text.isprintable():
        return text
    return "".join(
        c if c.isprintable() or c in keep else c.encode("unicode_escape").decode("ascii") for c in text
    )


def read_text(path: str | Path, max_bytes: int = 2**28) -> str:
    """The text of a file that may come from anywhere.

    Raises:
        OSError: It cannot be read, or is no regular file; the end of a FIFO would never come.
        ValueError: It is no UTF-8, or has more than `max_bytes`.
    """
    from freqvision import _native

    return _native.read_file(path, max_bytes, max_bytes).decode("utf-8-sig")


def parse_json(text: str | bytes) -> Any:
    """The values in JSON that may come from anywhere.

    Example:
        >>> parse_json('{"a": [1, 2]}')
        {'a': [1, 2]}
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError("JSON that is nested too deeply") from error


class JsonFile:
    """Values that a file keeps as JSON; subclasses have `to_json` and `from_json`."""

    what: ClassVar[str]  # it holds
    writer: ClassVar[str]  # of such files

    def to_json(self) -> str:
        """JSON text."""
        raise NotImplementedError

    @classmethod
    def from_json(cls: type[Kept], text: str) -> Kept:
        """Read what `to_json` wrote."""
        raise NotImplementedError

    def save(self, path: str | Path) -> None:
        """Write `to_json` to a file."""
        write_text(path, self.to_json() + "\n")

    @classmethod
    def load(cls: type[Kept], path: str | Path) -> Kept:
        """Read a file that `save` wrote.

        Raises:
            FileNotFoundError: There is none.
            ValueError: It holds something else.
        """
        try:
            return cls.from_json(read_text(path))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"no {cls.what} at {path}: {cls.writer} writes such files") from error
        except ValueError as error:  # which does not know the file
            raise ValueError(f"{path} holds no {cls.what}: {error}") from error


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Write a file atomically: it has its old content or the whole new one, also after a kill or a full disk.

    Yields a path in the same folder, which is made, to write to; it replaces `path` when the block ends
    without an error.

    Raises:
        OSError: The disk is full, whatever the library that writes made of that.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with replacing(Path(folder) / "runs" / "a.json") as draft:
        ...         _ = draft.write_text("{}")
        ...     [file.name for file in Path(folder).rglob("*.json")]
        ['a.json']
    """
    target = Path(os.path.realpath(path))  # a link stays one
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}{DRAFT}")
    try:
        yield draft
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(target)
    except BaseException as error:
        if isinstance(error, Exception):
            try:
                with draft.open("ab") as file:
                    file.write(bytes(2**20))
            except OSError as fault:  # torch and safetensors have errors of their own for it
                raise OSError(fault.errno, fault.strerror, str(target)) from error
        raise
    finally:
        draft.unlink(missing_ok=True)


def check_writable(path: str | Path) -> None:
    """Fail before the work if a file or folder could not be written after it."""
    place = Path(path).absolute()
    folder = next(folder for folder in place.parents if folder.exists())
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def lock(folder: Path) -> IO[str]:
    """Claim a folder for this process until it closes the returned file, or ends in whatever way."""
    file = (folder / ".lock").open("a+")
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file.fileno(), 2**20, os.SEEK_SET)  # others cannot read what is locked: not the text
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # unlike flock's, no worker inherits it
    except OSError as error:
        if error.errno not in (errno.EACCES, errno.EAGAIN):  # a file system without locks
            return file
        file.seek(0)
        raise ValueError(
            f"another run is writing to {folder} (process {file.read().strip() or 'unknown'}): wait for its "
            "end, or name another --output"
        ) from error
    with suppress(OSError):  # of a full disk; the number is for the message only
        file.truncate(0)
        os.write(file.fileno(), str(os.getpid()).encode())
    return file


def address(path: object) -> str | None:
    """Where something lies that is not on this machine; None for a path. `Path` makes one slash of two.

    Example:
        >>> address(Path("s3://bucket/photos")), address("photos")
        ('s3://bucket/photos', None)
    """
    found = re.match(r"(\w{2,}):/+(.*)", str(path))
    return f"{found[1]}://{found[2]}" if found else None


def write_text(path: str | Path, text: str) -> None:
    """Write a file of text, see `replacing`."""
    with replacing(path) as draft:
        draft.write_text(text, encoding="utf-8", errors="backslashreplace")  # JSON reads that back


def write_table(path: str | Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV file, see `replacing`; rows may have different columns."""
    with replacing(path) as draft, draft.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)), restval="")
        writer.writeheader()
        writer.writerows(rows)


def read_table(path: str | Path) -> list[dict[str, str]]:
    """Rows of a CSV file; none if there is no such file.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     write_table(Path(folder) / "a.csv", [{"epoch": 1}, {"epoch": 2, "val/top1": 0.5}])
        ...     read_table(Path(folder) / "a.csv")
        [{'epoch': '1', 'val/top1': ''}, {'epoch': '2', 'val/top1': '0.5'}]
    """
    if not Path(path).is_file():
        return []
    with Path(path).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def fastest_precision(accelerator: str = "auto") -> str:
    """Lightning's name of the precision that suits the machine.

    bf16-mixed where the hardware multiplies bfloat16, else 16-mixed on GPUs and 32-true on CPUs.
    """
    import torch

    if accelerator in ("auto", "gpu", "cuda") and torch.cuda.is_available():
        return "bf16-mixed" if torch.cuda.is_bf16_supported(including_emulation=False) else "16-mixed"
    flags = Path("/proc/cpuinfo")
    has_bf16 = flags.is_file() and "amx_bf16" in flags.read_text()
    return "bf16-mixed" if has_bf16 else "32-true"
