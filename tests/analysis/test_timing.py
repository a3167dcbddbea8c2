"""The stopwatch: interleaved rounds, ratios within a round."""

import numpy as np
import pytest

from freqvision.analysis.timing import Spread, Task, measure


class Machine:
    """A clock, and tasks that move it; its speed drifts as a busy machine's does."""

    def __init__(self, drift: float):
        self.now, self.drift, self.calls = 0.0, drift, []

    def clock(self) -> float:
        return self.now

    def task(self, name: str, seconds: float, photos: int = 10) -> Task:
        def work() -> None:
            self.calls.append(name)
            self.now += seconds * self.drift ** ((len(self.calls) - 1) // 3)

        return Task(name, work, photos)


def test_measure_gives_milliseconds_a_photo():
    machine = Machine(drift=1.0)
    timings = measure([machine.task("a", 0.5), machine.task("b", 2.0, photos=4)], 4, clock=machine.clock)
    assert timings.ms.shape == (4, 2)
    np.testing.assert_allclose(timings.rounds("a"), 50)
    np.testing.assert_allclose(timings.rounds("b"), 500)


def test_rounds_interleave_in_changing_order_after_a_warmup():
    machine = Machine(drift=1.0)
    names = ["a", "b", "c"]
    measure([machine.task(name, 1.0) for name in names], 6, clock=machine.clock)
    rounds = [machine.calls[start : start + 3] for start in range(0, len(machine.calls), 3)]
    assert len(rounds) == 7  # the first is not recorded
    assert all(sorted(calls) == names for calls in rounds)
    assert {calls[0] for calls in rounds} == set(names)
    followers = {(calls[i], calls[i + 1]) for calls in rounds for i in range(2)}
    assert len(followers) > 3  # of a fixed cycle there would be three


def test_ratios_within_a_round_survive_a_machine_that_slows_down():
    machine = Machine(drift=1.5)  # a round takes half as long again as the one before
    tasks = [machine.task("one", 1.0), machine.task("two", 2.0), machine.task("ten", 10.0)]
    timings = measure(tasks, 9, warmup=0, clock=machine.clock)
    assert timings.rounds("one").max() > 10 * timings.rounds("one").min()
    ratio = timings.ratio("ten", "two")
    assert ratio.low == pytest.approx(5)
    assert ratio.median == pytest.approx(5)
    assert ratio.high == pytest.approx(5)


def test_spread_is_median_and_quartiles():
    values = np.random.default_rng(0).normal(size=101)
    spread = Spread.of(values)
    assert [np.mean(values <= part) for part in (spread.low, spread.median, spread.high)] == pytest.approx(
        [26 / 101, 51 / 101, 76 / 101]
    )
    assert f"{Spread(1.0, 0.5, 2.0):.1f}" == "1.0 (0.5–2.0)"


def test_measure_refuses_nothing_and_twins():
    with pytest.raises(ValueError, match="nothing to time"):
        measure([], 3)
    with pytest.raises(ValueError, match="names of their own"):
        measure([Task("same", lambda: None, 1)] * 2, 3)
