"""The loader that decodes ahead: order, exact resume, threads, and that it hides the decoding."""

import os
import signal
import subprocess
import sys
import threading

import pytest
import torch
from torch.utils.data.distributed import DistributedSampler

from freqvision import FrequencySpec
from freqvision.data import EpochBatches, FrequencyFolder, PhotoLoader, write_synthetic_photos


class Numbers:
    """A data set of which every item is its index."""

    seed = 0

    def __init__(self, count, bad=None):
        self.count, self.bad = count, bad
        self.epoch, self.loaded = 0, 0

    def __len__(self):
        return self.count

    def __getitems__(self, indices):
        if self.bad in indices:
            raise ValueError(f"photo {self.bad} is damaged")
        self.loaded += 1
        return torch.tensor(indices), self.epoch

    def set_epoch(self, epoch):
        self.epoch = epoch


def flat(loader):
    return [index for batch, _ in loader for index in batch.tolist()]


def threads():
    return sum(thread.name.startswith("PhotoLoader") for thread in threading.enumerate())


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_process_gets_the_share_that_a_distributed_sampler_gives_it(world, shuffle):
    for epoch in (0, 3):
        for rank in range(world):
            batches = EpochBatches(
                20, 3, shuffle=shuffle, seed=7, drop_last=False, rank=rank, world_size=world
            )
            batches.set_epoch(epoch)
            sampler = DistributedSampler(range(20), world, rank, shuffle=shuffle, seed=7)
            sampler.set_epoch(epoch)
            assert [index for batch in batches for index in batch] == list(sampler)
            assert len(list(batches)) == len(batches)


def test_all_processes_have_equally_many_batches_of_each_kind():
    groups = [index % 5 for index in range(103)]
    for world in (1, 2, 4):
        plans = [
            list(EpochBatches(103, 4, groups=groups, rank=rank, world_size=world)) for rank in range(world)
        ]
        assert {len(plan) for plan in plans} == {len(EpochBatches(103, 4, rank=0, world_size=world))}
        assert all(len(batch) == 4 for plan in plans for batch in plan)


def test_iterations_are_epochs_with_their_own_order_and_views():
    data = Numbers(10)
    loader = PhotoLoader(data, 3, shuffle=True)
    first, second = list(loader), list(loader)
    assert {epoch for _, epoch in first} == {0}
    assert {epoch for _, epoch in second} == {1}
    orders = [[index for batch, _ in epoch for index in batch.tolist()] for epoch in (first, second)]
    assert orders[0] != orders[1]
    assert sorted(orders[0]) == sorted(orders[1]) == list(range(10))
    loader.set_epoch(0)
    assert flat(loader) == orders[0]


@pytest.mark.parametrize("stop", range(5))
def test_a_resumed_epoch_continues_with_the_very_batches_that_were_left(stop):
    whole = [batch.tolist() for batch, _ in PhotoLoader(Numbers(17), 4, shuffle=True, seed=3)]
    loader = PhotoLoader(Numbers(17), 4, shuffle=True, seed=3)
    iterator = iter(loader)
    seen = [next(iterator)[0].tolist() for _ in range(stop)]
    state = loader.state_dict()
    iterator.close()
    resumed = PhotoLoader(Numbers(17), 4, shuffle=True, seed=3)
    resumed.load_state_dict(state)
    assert seen + [batch.tolist() for batch, _ in resumed] == whole
    assert len(flat(resumed)) == 17, "the epoch after a resumed one is whole"


@pytest.mark.parametrize("worlds", [(1, 2, 1), (3, 1, 2), (2, 4, 3), (3, 5), (3, 9)])
@pytest.mark.parametrize("options", [{}, {"drop_last": True}, {"groups": 7}, {"shuffle_block": 9}], ids=str)
def test_an_epoch_resumed_on_other_numbers_of_processes_sees_every_photo_once(worlds, options):
    """Those of the unbroken epoch, which drops what is left of a last batch, or nothing."""
    for count in (240, 239, 233, 188):  # 239, 233: primes; 188: 8 are left for 5 or 9
        how = {"seed": 5, "drop_last": False, **options}
        if "groups" in options:
            how["groups"] = [index % options["groups"] for index in range(count)]

        def opened(world, count=count, how=how):
            return [EpochBatches(count, 4, rank=rank, world_size=world, **how) for rank in range(world)]

        whole: set[int] = set()
        for batches in opened(worlds[0]):
            batches.set_epoch(2)
            whole.update(index for batch in batches for index in batch)
        assert len(whole) > count - 4 * worlds[0] - worlds[0]
        seen: list[int] = []
        state = None
        for place, world in enumerate(worlds):
            states, lengths = [], set()
            for batches in opened(world):
                if state is None:
                    batches.set_epoch(2)
                else:
                    batches.load_state_dict(state)
                plan = list(batches)
                lengths.add(len(plan))
                done = len(plan) if place == len(worlds) - 1 else 15 if len(worlds) == 2 else 5
                seen += [index for batch in plan[:done] for index in batch]
                states.append(batches.state_dict(done))
            state = states[0]
            assert all(other == state for other in states), "every process can write the checkpoint"
            assert len(lengths) == 1, "processes wait for each other at each batch"
        assert sorted(seen) == sorted(whole)


def test_blocks_keep_neighbours_together_and_processes_have_blocks_of_their_own():
    """Each window of an epoch is of few blocks; without a window, of one."""
    for window, blocks_of_batch in ((0, 2), (40, 6)):  # a batch may begin in one window and end in the next
        orders = []
        for epoch in (0, 1):
            owners: dict[int, set[int]] = {}
            order: list[int] = []
            for rank in range(2):
                batches = EpochBatches(
                    400, 8, shuffle_block=10, shuffle_window=window, rank=rank, world_size=2
                )
                batches.set_epoch(epoch)
                for batch in batches:
                    blocks = {index // 10 for index in batch}
                    assert len(blocks) <= blocks_of_batch
                    for block in blocks:
                        owners.setdefault(block, set()).add(rank)
                order += [index for batch in batches for index in batch]
            assert sorted(order) == list(range(400))
            assert all(len(ranks) == 1 for ranks in owners.values())
            orders.append(order)
        assert orders[0] != orders[1]
        assert orders[0] != sorted(orders[0])


def test_a_state_of_other_photos_is_refused():
    state = PhotoLoader(Numbers(17), 4).state_dict()
    with pytest.raises(ValueError, match="count=17, this one has count=18"):
        PhotoLoader(Numbers(18), 4).load_state_dict(state)
    with pytest.raises(ValueError, match="shuffle_block=0, this one has shuffle_block=4"):
        PhotoLoader(Numbers(17), 4, shuffle=True, shuffle_block=4).load_state_dict(state)


def test_a_sampler_of_the_users_is_resumed_by_skipping():
    loader = PhotoLoader(Numbers(9), 2, sampler=range(8, -1, -1))
    iterator = iter(loader)
    next(iterator)
    state = loader.state_dict()
    again = PhotoLoader(Numbers(9), 2, sampler=range(8, -1, -1))
    again.load_state_dict(state)
    assert flat(again) == [6, 5, 4, 3, 2, 1, 0]
    assert flat(again) == [8, 7, 6, 5, 4, 3, 2, 1, 0]


def test_an_error_arrives_at_its_batch_and_ends_the_thread():
    loader = PhotoLoader(Numbers(10, bad=5), 2)
    iterator = iter(loader)
    assert [next(iterator)[0].tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(ValueError, match="photo 5 is damaged"):
        next(iterator)
    assert threads() == 0


def test_leaving_early_ends_the_thread():
    data = Numbers(1000)
    for _ in PhotoLoader(data, 2, prefetch=3):
        break
    assert threads() == 0
    assert data.loaded <= 5, "no more than what is kept ready is loaded"


def test_a_fork_in_the_middle_is_an_error_not_a_hang():
    loader = iter(PhotoLoader(Numbers(100), 2))
    next(loader)
    child = os.fork()
    if child == 0:
        signal.alarm(20)
        try:
            next(loader)
        except RuntimeError as error:
            os._exit(0 if "forked" in str(error) else 3)
        os._exit(4)
    assert os.waitpid(child, 0)[1] == 0
    loader.close()


def test_ctrl_c_ends_a_loop_within_a_batch():
    program = (
        "import time, signal, os, threading\n"
        "from freqvision.data import PhotoLoader\n"
        "class Slow:\n"
        "    def __len__(self): return 10**6\n"
        "    def __getitems__(self, indices): time.sleep(0.2); return indices\n"
        "threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()\n"
        "try:\n"
        "    for batch in PhotoLoader(Slow(), 2): pass\n"
        "except KeyboardInterrupt: print('stopped')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "stopped\n", done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_photos_are_those_of_the_data_set(tmp_path, workers):
    write_synthetic_photos(tmp_path, photos_per_class=2, size=64)
    folder = FrequencyFolder(tmp_path, FrequencySpec(resize=64, crop=64), num_threads=1)
    loader = PhotoLoader(folder, 5, num_workers=workers)
    for _ in range(2):
        batches = list(loader)
        images = torch.cat([images for images, _ in batches])
        labels = torch.cat([labels for _, labels in batches])
        expected, truth = folder.__getitems__(range(len(folder)))
        torch.testing.assert_close(images, expected, rtol=0, atol=0)
        assert labels.tolist() == truth.tolist()


def test_the_next_batches_load_while_the_loop_works():
    started = threading.Semaphore(0)

    class Photos(Numbers):
        def __getitems__(self, indices):
            started.release()
            return super().__getitems__(indices)

    iterator = iter(PhotoLoader(Photos(100), 2, prefetch=3))
    next(iterator)
    for _ in range(1 + 3):  # the batch at hand, and those that are to be ready behind it
        assert started.acquire(timeout=30), "nothing is loaded before it is asked for"
    iterator.close()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"prefetch": 0}, "prefetch is at least 1"),
        ({"sampler": [0], "shuffle": True}, "sampler decides the order"),
        ({"batch_sampler": [[0]], "batch_size": 2}, "batch_sampler decides batch_size"),
        ({"batch_size": 0}, "batch_size is at least 1"),
        ({"shuffle_block": 8}, "shuffle_block is a way to shuffle"),
        ({"shuffle": True, "shuffle_window": 8}, "a window is of several blocks"),
    ],
)
def test_contradictions_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PhotoLoader(Numbers(4), **arguments)
