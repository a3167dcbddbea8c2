"""What huge pages are worth to training on a CPU: seconds of a step, without and with them, in turns.

    python benchmarks/huge_pages.py [--rounds 2] [--batch 32]

Prints the medians and their ratio. The setting is glibc's, so it is made before Python starts.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time

SETTING = ":".join(
    f"glibc.malloc.{name}"
    for name in ("hugetlb=1", "mmap_threshold=17179869184", "trim_threshold=17179869184", "top_pad=268435456")
)
VARIANTS = {"as it is": {}, "huge pages": {"GLIBC_TUNABLES": SETTING}}


def measure(batch: int, steps: int) -> list[float]:
    """Seconds of some training steps of ResNet-50 on 24 channels at 448, after one to warm up."""
    import torch

    import freqvision as fv

    spec = fv.FrequencySpec()
    model = fv.create_model("resnet50", spec=spec, num_classes=10, start="slice")
    model = model.to(memory_format=torch.channels_last)
    images = torch.randn(batch, *spec.shape).contiguous(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    seconds = []
    for _ in range(steps + 1):
        begin = time.perf_counter()
        model(images).logsumexp(1).mean().backward()
        optimizer.step()
        optimizer.zero_grad()
        seconds.append(time.perf_counter() - begin)
    return seconds[1:]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=2, help="of each variant in each round")
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)  # in a process of its own
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.batch, options.steps)))
        return
    times: dict[str, list[float]] = {name: [] for name in VARIANTS}
    for _ in range(options.rounds):
        for name, environment in VARIANTS.items():
            command = [
                sys.executable,
                __file__,
                "--measure",
                "--batch",
                options.batch,
                "--steps",
                options.steps,
            ]
            run = subprocess.run(
                [str(part) for part in command],
                env={**os.environ, **environment},
                capture_output=True,
                check=True,
            )
            times[name] += json.loads(run.stdout)
    medians = {name: statistics.median(values) for name, values in times.items()}
    for name, seconds in medians.items():
        print(f"{name:>12}  {seconds:6.2f} s a step of {options.batch} photos")
    print(f"{'ratio':>12}  {medians['as it is'] / medians['huge pages']:6.2f}")


if __name__ == "__main__":
    main()
