"""Peak memory of a pipeline, in a process of its own."""

import multiprocessing
import re
import sys
from pathlib import Path

import torch

from throughput.photos import Photos
from throughput.pipelines import pipelines


def peak_memory(name: str, photos: Photos, batch: int) -> float | None:
    """Megabytes that one pass over the photos on one thread needs beyond libraries and files at rest.

    Args:
        name: Of a pipeline that is installed.
        photos: What it reads.
        batch: Photos in a batch; one batch of results is alive at a time.

    Returns:
        None where the system does not tell (Windows).
    """
    # A fork server imports everything once and is then copied; importing takes longer than the pass.
    method = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
    context = multiprocessing.get_context(method)
    context.set_forkserver_preload([__name__])
    with context.Pool(1) as pool:
        return pool.apply(_growth, (name, photos.root, batch))


def _growth(name: str, root: Path, batch: int) -> float | None:
    torch.set_num_threads(1)
    pipeline = pipelines()[name]
    pipeline.require()
    photos = Photos.read(root)
    before = _peak(reset=True)
    for result in pipeline.open(photos, 1, batch)():
        del result
    after = _peak()
    return None if before is None or after is None else round(after - before, 1)


def _peak(reset: bool = False) -> float | None:
    """Largest resident size so far, in megabytes; after a reset, where the system can, the present size."""
    try:
        # Linux: the usual ru_maxrss would be that of the parent process if that is larger.
        if reset:
            Path("/proc/self/clear_refs").write_text("5")
        found = re.search(r"^VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text(), re.MULTILINE)
        return int(found.group(1)) * 1024 / 1e6 if found else None
    except OSError:
        pass
    try:
        import resource
    except ImportError:
        return None
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size / 1e6 if sys.platform == "darwin" else size * 1024 / 1e6
