"""A loader that decodes the next batches while the current one is trained on, and that resumes exactly."""

import os
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import Any

import numpy as np
import torch
from torch import distributed
from torch.utils.data import BatchSampler, DataLoader, Sampler


class EpochBatches(Sampler[list[int]]):
    """Batches of indices that depend on (seed, epoch, rank) only, for one process of several.

    The order of an epoch and each process's share are those of torch's ``DistributedSampler``, unless
    `shuffle_block` is set. All processes have equally many batches.

    Args:
        count: Number of photos.
        batch_size: Photos in a batch of one process.
        shuffle: Whether each epoch has another order.
        seed: Of the order.
        drop_last: Whether the last batch is dropped if it is not full, unless it is the only one, and no
            photo comes twice. Otherwise photos are repeated until all processes have as many.
        shuffle_block: Shuffle blocks of this many neighbours, and then photos within a window, so that shards
            are read in large parts; 0 shuffles all photos. Each process has whole blocks.
        shuffle_window: Photos of consecutive shuffled blocks that are shuffled among each other.
        groups: Group of each photo, such as its shape; batches are of one group where that is possible, and
            what is left of each group forms mixed batches at the end.
        rank: This process's number; None asks ``torch.distributed``, 0 where it is not initialised.
        world_size: Number of processes, likewise.

    Example:
        >>> list(EpochBatches(6, batch_size=2, shuffle=False))
        [[0, 1], [2, 3], [4, 5]]
        >>> list(EpochBatches(6, batch_size=2, shuffle=False, groups=[0, 1, 0, 1, 0, 1]))
        [[0, 2], [1, 3], [4, 5]]
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = True,
        shuffle_block: int = 0,
        shuffle_window: int = 0,
        groups: Sequence[Hashable] | None = None,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"batch_size is at least 1, got {batch_size}")
        if min(shuffle_block, shuffle_window) < 0 or (shuffle_window and not shuffle_block):
            raise ValueError(
                "shuffle_block and shuffle_window are numbers of photos, and a window is of several blocks; "
                f"got {shuffle_block} and {shuffle_window}"
            )
        if shuffle_block and not shuffle:
            raise ValueError("shuffle_block is a way to shuffle: set shuffle=True too, or leave it out")
        if groups is not None and len(groups) != count:
            raise ValueError(f"groups has one entry for each of {count} photos, got {len(groups)}")
        several = distributed.is_available() and distributed.is_initialized()
        self.world_size = (
            (distributed.get_world_size() if several else 1) if world_size is None else world_size
        )
        self.rank = (distributed.get_rank() if several else 0) if rank is None else rank
        if not 0 <= self.rank < self.world_size:
            raise ValueError(f"rank is 0 to {self.world_size - 1} of {self.world_size}, got {self.rank}")
        self.count = count
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.shuffle_block = shuffle_block
        self.shuffle_window = shuffle_window
        self.groups = groups
        self.epoch = 0
        # What was trained on of this epoch before a resume: (processes, photos in a batch, batches of each).
        self._history: list[tuple[int, int, int]] = []
        self._start = 0  # batches of the plan below that have been seen

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; one that is resumed keeps its place when it is chosen again."""
        if epoch != self.epoch:
            self.epoch = epoch
            self.rewind()

    def rewind(self) -> None:
        """Let the next iteration be a whole epoch, whatever part of it was resumed."""
        self._history, self._start = [], 0

    def __iter__(self) -> Iterator[list[int]]:
        return map(np.ndarray.tolist, self._plan()[self._start :])

    def __len__(self) -> int:
        """Batches of a whole epoch of this process."""
        whole, rest = divmod(self._share(self.count, self.world_size), self.batch_size)
        return whole + (rest > 0 and (not self.drop_last or not whole))

    def state_dict(self, done: int) -> dict[str, Any]:
        """The place in the epoch, `done` batches of this process after the iteration began."""
        done += self._start
        last = [(self.world_size, self.batch_size, done)] if done else []
        history = [list(entry) for entry in (*self._history, *last)]
        return {**self._identity(), "epoch": self.epoch, "history": history}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a place that `state_dict` gave, perhaps with another number of processes.

        With as many processes and photos in a batch, the batches left are those of the unbroken epoch; with
        others, they are other batches of the same photos, each of them once.

        Raises:
            ValueError: The state is of another data set, seed or way of shuffling.
        """
        for name, value in self._identity().items():
            if state.get(name, 0) != value:
                raise ValueError(
                    f"the state is of a loader with {name}={state.get(name, 0)}, this one has "
                    f"{name}={value}: resume with the photos, the seed and the shuffling it began with"
                )
        history = [(int(world), int(size), int(done)) for world, size, done in state["history"]]
        self.epoch, self._start = int(state["epoch"]), 0
        if history and history[-1][:2] == (self.world_size, self.batch_size):
            self._start = history.pop()[2]
        self._history = history

    def _identity(self) -> dict[str, int]:
        """What the order of an epoch depends on."""
        return {name: getattr(self, name) for name in ("count", "seed", "shuffle_block", "shuffle_window")}

    def _plan(self) -> list[np.ndarray]:
        """This process's batches of the photos that are left of the epoch."""
        order, resumed = self.order(), False
        for world_size, batch_size, done in self._history:
            left = np.zeros(self.count, dtype=bool)
            seen = np.zeros(self.count, dtype=bool)
            for rank in range(world_size):
                batches = self._batches(order, rank, world_size, batch_size, resumed)
                left[np.concatenate([order[:0], *batches])] = True
                seen[np.concatenate([order[:0], *batches[:done]])] = True
            order, resumed = order[(left & ~seen)[order]], True
        return self._batches(order, self.rank, self.world_size, self.batch_size, resumed)

    def order(self) -> np.ndarray:
        """All photos in the order of the epoch, (count,) int64."""
        photos = torch.arange(self.count, device="cpu")
        if not self.shuffle:
            return photos.numpy()
        generator = torch.Generator().manual_seed(self.seed + self.epoch)

        def shuffled(count: int) -> torch.Tensor:
            return torch.randperm(count, generator=generator, device="cpu")

        if not self.shuffle_block:
            return shuffled(self.count).numpy()
        blocks = photos.split(self.shuffle_block)
        order = torch.cat([blocks[block] for block in shuffled(len(blocks)).tolist()])
        windows = order.split(max(self.shuffle_window, self.shuffle_block))
        return torch.cat([window[shuffled(len(window))] for window in windows]).numpy()

    def _share(self, photos: int, world_size: int) -> int:
        """Photos of a process in an epoch that was not resumed."""
        return max(photos // world_size, 1) if self.drop_last else -(-photos // world_size)

    def _batches(
        self, order: np.ndarray, rank: int, world_size: int, batch_size: int, resumed: bool
    ) -> list[np.ndarray]:
        """One process's batches of photos in a given order.

        All photos of an epoch that is resumed are seen, and none twice: a process that has one photo more,
        and would have a batch more, has it in its last one; one that has none has an empty batch.
        """
        if not len(order):
            return []
        share, surplus = (
            divmod(len(order), world_size) if resumed else (self._share(len(order), world_size), 0)
        )
        size = share + (rank < surplus)
        first, step = (rank * share + min(rank, surplus), 1) if self.shuffle_block else (rank, world_size)
        rest = order[np.arange(first, first + size * step, step) % len(order)]
        batches: list[np.ndarray] = []
        if self.groups is not None:
            waiting: dict[Hashable, list[int]] = {}
            for index in rest.tolist():
                group = waiting.setdefault(self.groups[index], [])
                group.append(index)
                if len(group) == batch_size:
                    batches.append(np.array(group))
                    group.clear()
            rest = np.array([index for group in waiting.values() for index in group], dtype=np.int64)
        batches += [rest[start : start + batch_size] for start in range(0, len(rest), batch_size)]
        if not size:
            return [rest]
        if size > share > 0 == share % batch_size:
            batches[-2:] = [np.concatenate(batches[-2:])]
        if self.drop_last and not resumed and len(batches) > 1 and len(batches[-1]) < batch_size:
            batches.pop()
        return batches


class PhotoLoader:
    """Loads batches of a photo data set ahead of the loop that consumes them.

    A thread decodes the next batches, on as many threads as the data set has, while the current one is
    trained on; with a GPU it also copies them there, from pinned memory and on a stream of its own. Nothing
    is pickled and no process is started, unless `num_workers` asks for it.

    Iterating gives one epoch, then the next one: order and random views follow from (seed, epoch, index).
    `state_dict` and `load_state_dict` resume in the middle of an epoch with the photos that are left.

    Args:
        dataset: A data set of `freqvision.data` or `freqvision.detection`, or any with ``__getitems__`` that
            returns a batch.
        batch_size: Photos in a batch; not with `batch_sampler`.
        shuffle: Whether each epoch has another order; not with `sampler` or `batch_sampler`.
        seed: Of the order; None takes the data set's.
        sampler: Gives indices, as for torch's DataLoader, such as a DistributedSampler. Without one, the
            loader divides the photos among the processes of ``torch.distributed`` by itself.
        batch_sampler: Gives lists of indices.
        drop_last: Whether a last batch that is not full is dropped.
        shuffle_block: Shuffle blocks of this many neighbours and then within a window, see `EpochBatches`.
        shuffle_window: Photos of such a window.
        prefetch: Batches that are kept ready, at least 1.
        device: Where batches go; None leaves them on the CPU.
        num_workers: Worker processes that load batches; 0, which is best here, loads on the thread.

    Raises:
        ValueError: Arguments contradict each other, or a number is out of its range.

    Example:
        >>> import tempfile, freqvision as fv
        >>> from freqvision.data import FrequencyFolder, PhotoLoader, write_synthetic_photos
        >>> with tempfile.TemporaryDirectory() as root:
        ...     write_synthetic_photos(root, photos_per_class=2, size=64)
        ...     loader = PhotoLoader(FrequencyFolder(root, fv.FrequencySpec(resize=64, crop=64)), 4)
        ...     shapes = [tuple(images.shape) for images, labels in loader]
        >>> shapes
        [(4, 24, 8, 8), (4, 24, 8, 8), (4, 24, 8, 8)]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int | None = None,
        *,
        shuffle: bool = False,
        seed: int | None = None,
        sampler: Iterable[int] | None = None,
        batch_sampler: Iterable[list[int]] | None = None,
        drop_last: bool = False,
        shuffle_block: int = 0,
        shuffle_window: int = 0,
        prefetch: int = 2,
        device: str | torch.device | None = None,
        num_workers: int = 0,
    ) -> None:
        if prefetch < 1:
            raise ValueError(f"prefetch is at least 1 batch, got {prefetch}")
        if batch_sampler is not None and (
            sampler is not None or shuffle or drop_last or batch_size is not None
        ):
            raise ValueError(
                "batch_sampler decides batch_size, shuffle, sampler and drop_last: leave them out"
            )
        if shuffle_block and not (shuffle and sampler is batch_sampler is None):
            raise ValueError("shuffle_block is a way to shuffle: set shuffle=True, without a sampler")
        if sampler is not None and shuffle:
            raise ValueError("sampler decides the order: leave shuffle out")
        batch_size = 1 if batch_size is None else batch_size
        if batch_sampler is None and sampler is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        elif batch_sampler is None:
            seed = getattr(dataset, "seed", 0) if seed is None else seed
            batch_sampler = EpochBatches(
                len(dataset),
                batch_size,
                shuffle=shuffle,
                seed=seed,
                drop_last=drop_last,
                shuffle_block=shuffle_block,
                shuffle_window=shuffle_window,
            )
        self.dataset = dataset
        self.batch_sampler: Any = batch_sampler
        self.sampler = getattr(batch_sampler, "sampler", sampler)
        self.prefetch = prefetch
        self.device = None if device is None else torch.device(device)
        self.num_workers = num_workers
        self.epoch = 0
        self._done = 0  # batches handed out since the iteration began
        self._skip = 0  # batches of a resumed epoch that a foreign batch sampler would give again
        self._resumed = False
        self._worker_loader: DataLoader | None = None

    def __len__(self) -> int:
        """Batches of a whole epoch of this process."""
        return len(self.batch_sampler)

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch; without it, an iteration that came to its end is followed by the next epoch."""
        if epoch != self.epoch:
            self._skip = self._done = 0
            self._resumed = False
        self.epoch = epoch
        part: Any
        for part in (self.dataset, self.batch_sampler, self.sampler):
            if hasattr(part, "set_epoch"):
                part.set_epoch(epoch)

    def state_dict(self) -> dict[str, Any]:
        """The place in the epoch, as plain values: after the batch that was handed out last.

        A `batch_sampler` or `sampler` of your own is resumed by skipping as many batches, which is exact if
        it gives the same ones again.
        """
        if isinstance(self.batch_sampler, EpochBatches):
            return self.batch_sampler.state_dict(self._done)
        return {"epoch": self.epoch, "done": self._skip + self._done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Let the next iteration continue from a place that `state_dict` gave.

        Raises:
            ValueError: The state is of another data set or seed.
        """
        self.set_epoch(int(state["epoch"]))
        if isinstance(self.batch_sampler, EpochBatches):
            self.batch_sampler.load_state_dict(state)
        else:
            self._skip = int(state["done"])
        self._done, self._resumed = 0, True

    def __iter__(self) -> Iterator[Any]:
        # All of it with the first batch: Lightning calls iter() once more than it iterates.
        if not self._resumed:  # an epoch that was left early begins again
            self._skip = 0
            if isinstance(self.batch_sampler, EpochBatches):
                self.batch_sampler.rewind()
        self._done, self._resumed = 0, False
        self.set_epoch(self.epoch)
        process = os.getpid()
        on_gpu = self.device is not None and self.device.type == "cuda"
        stream = torch.cuda.Stream(self.device) if on_gpu else None
        load = self._loads()
        pool = ThreadPoolExecutor(1, thread_name_prefix="PhotoLoader")
        ahead: deque[Future[Any]] = deque()
        try:
            while True:
                while len(ahead) <= self.prefetch:
                    ahead.append(pool.submit(self._next, load, stream))
                if os.getpid() != process:
                    raise RuntimeError(
                        "this process was forked while a PhotoLoader was iterated, and its thread stayed "
                        "behind: start a new iteration after the fork"
                    )
                batch, ready = ahead.popleft().result()
                if batch is _END:
                    break
                if ready is not None:
                    _hand_over(batch, ready)
                self._done += 1
                yield batch
            self.set_epoch(self.epoch + 1)
        finally:
            pool.shutdown(wait=os.getpid() == process, cancel_futures=True)

    def _loads(self) -> Iterator[Any]:
        """The batches of this iteration, each loaded when it is asked for."""
        if self.num_workers:
            if self._worker_loader is None:
                self._worker_loader = DataLoader(
                    self.dataset,
                    batch_sampler=_Remaining(self),
                    num_workers=self.num_workers,
                    persistent_workers=True,
                    # Threads that fetch photos do not survive a fork.
                    multiprocessing_context="spawn" if getattr(self.dataset, "ahead", 0) else None,
                    collate_fn=getattr(self.dataset, "collate", None),
                )
            return iter(self._worker_loader)
        collate = getattr(self.dataset, "collate", lambda batch: batch)
        return (collate(self.dataset.__getitems__(indices)) for indices in _Remaining(self))

    def _next(self, load: Iterator[Any], stream: torch.cuda.Stream | None) -> tuple[Any, Any]:
        """On the thread: load a batch and start its copy to the device."""
        batch = next(load, _END)
        if batch is _END or self.device is None:
            return batch, None
        if stream is None:
            return _map(lambda tensor: tensor.to(self.device), batch), None
        with torch.cuda.stream(stream):
            batch = _map(lambda tensor: tensor.pin_memory().to(self.device, non_blocking=True), batch)
            return batch, stream.record_event()


class _Remaining(Sampler[list[int]]):
    """The batches that are left of a loader's epoch; photos that are far away are fetched before."""

    def __init__(self, loader: PhotoLoader) -> None:
        self.loader = loader

    def __iter__(self) -> Iterator[list[int]]:
        dataset = self.loader.dataset
        ahead = getattr(dataset, "ahead", 0)
        waiting: deque[list[int]] = deque()
        photos = 0
        for batch in islice(iter(self.loader.batch_sampler), self.loader._skip, None):
            if ahead:
                dataset.fetch(batch)
            waiting.append(batch)
            photos += len(batch)
            while photos > ahead:
                photos -= len(waiting[0])
                yield waiting.popleft()
        yield from waiting

    def __len__(self) -> int:
        return len(self.loader.batch_sampler)


_END: Any = object()


def _map(change: Callable[[torch.Tensor], torch.Tensor], batch: Any) -> Any:
    """The same structure of tuples, lists and dicts with other tensors."""
    if isinstance(batch, torch.Tensor):
        return change(batch)
    if isinstance(batch, (tuple, list)):
        return type(batch)(_map(change, item) for item in batch)
    if isinstance(batch, dict):
        return {key: _map(change, value) for key, value in batch.items()}
    return batch


def _hand_over(batch: Any, ready: torch.cuda.Event) -> None:
    """Let the consumer's stream wait for the copy, and own the memory from then on."""
    current = torch.cuda.current_stream()
    current.wait_event(ready)

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        tensor.record_stream(current)
        return tensor

    _map(keep, batch)
