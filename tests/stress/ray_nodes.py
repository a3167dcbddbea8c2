"""A Ray cluster of two nodes on this machine, one of which is killed while pack, embed, check and stats run.

python tests/stress/ray_nodes.py [--photos 60]

What the cluster writes equals what this process writes, byte for byte, and the machine that is left has done
the other's part. Ends with 77 where Ray is not installed or does not start.
"""

import argparse
import contextlib
import io
import os
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

# Ray lowers the priority of workers by 15, with which they would not start on a busy machine.
os.environ.update(OMP_NUM_THREADS="1", RAY_USAGE_STATS_ENABLED="0", RAY_worker_niceness="0")

import torch
import torchvision
from safetensors.torch import save_file

from freqvision import parts
from freqvision.cli.main import main as command
from freqvision.data import write_synthetic_photos

torch.set_num_threads(1)


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def ports() -> dict[str, int]:
    """Ports of a node's agents: without them Ray gives up on a busy machine, where agents start late."""
    names = ("metrics_agent", "metrics_export", "dashboard_agent_listen", "runtime_env_agent")
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in names]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return {f"{name}_port": one.getsockname()[1] for name, one in zip(names, sockets, strict=True)}


def join(cluster, attempts: int = 3):
    """One more node of the cluster; Ray gives it 30 s to start, which a busy machine may exceed."""
    for left in reversed(range(attempts)):
        try:
            return cluster.add_node(num_cpus=1, **ports())
        except Exception as error:  # whatever keeps Ray's many processes from starting
            if not left:
                print(f"Ray does not start here: {error}")
                raise SystemExit(77) from error


@contextlib.contextmanager
def killed_after(parts_done: int, kill: Callable[[], None]) -> Iterator[threading.Event]:
    """Call `kill` once, when the command has got the results of `parts_done` parts from the cluster."""
    whole, killed = parts._on_ray, threading.Event()

    def watched(*arguments):
        for number, found in enumerate(whole(*arguments), 1):
            if number == parts_done and not killed.is_set():
                kill()
                killed.set()
            yield found

    parts._on_ray = watched
    try:
        yield killed
    finally:
        parts._on_ray = whole


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--photos", type=int, default=60)
    options = parser.parse_args()
    try:
        import ray
        from ray.cluster_utils import Cluster
    except ImportError:
        print("Ray is not installed: pip install 'freqvision[ray]'")
        raise SystemExit(77) from None
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        os.environ["TMPDIR"] = folder  # Ray leaves its logs there
        write_synthetic_photos("photos", photos_per_class=options.photos // 6, size=160)
        bad = sorted(Path("photos").rglob("*.jpg"))[options.photos // 2]
        bad.write_bytes(bad.read_bytes()[:-300])
        save_file(torchvision.models.mobilenet_v3_small().state_dict(), "weights.safetensors")
        network = ["--model", "mobilenet_v3_small", "--weights", "weights.safetensors", "--device", "cpu"]
        skip = ["--damaged", "skip", "--num_threads", "1"]
        shards = ["--photos_per_shard", "4"]
        commands = {
            "pack": ["pack", "photos", "OUT/packed", "--resize", "128", "--measure", "0", *shards, *skip],
            "embed": ["embed", "photos", "OUT/features", *network, "--batch_size", "2", *shards, *skip],
            "check": ["check", "photos", "--output", "OUT/damaged.json", "--num_threads", "1"],
            "stats": ["stats", "photos", "--output", "OUT/statistics.json", *skip],
        }
        # Small parts, so that there is a middle.
        from freqvision.data import check
        from freqvision.inputs import measure

        check.PART, measure.PART = 4, 1
        cluster = Cluster()
        try:
            join(cluster)
            try:
                ray.init(cluster.address, logging_level="ERROR", log_to_driver=False)
                ray.get(ray.remote(contents).remote(Path("photos")), timeout=90)
            except Exception as error:
                print(f"Ray does not start here: {error}")
                raise SystemExit(77) from error
            for name, words in commands.items():
                second = join(cluster)
                started = time.monotonic()
                with killed_after(2, partial(cluster.remove_node, second, allow_graceful=False)) as killed:
                    run([word.replace("OUT", "cluster") for word in words] + ["--ray", cluster.address])
                took = time.monotonic() - started
                assert killed.is_set()
                assert not second.any_processes_alive()
                run([word.replace("OUT", "here") for word in words])
                here, there = contents(Path("here")), contents(Path("cluster"))
                assert here.keys() == there.keys(), here.keys() ^ there.keys()
                different = [file for file in here if here[file] != there[file]]
                different = [file for file in different if not file.endswith("index.json")]  # times of files
                assert not different, different
                print(f"{name}: a node killed, {took:.0f} s; all {len(here)} files are the same", flush=True)
        finally:
            ray.shutdown()
            cluster.shutdown()


def run(words: list[str]) -> None:
    """Run a command, whose output is shown if it fails."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        code = command(words)
    assert code == int(words[0] == "check"), f"{words}: {output.getvalue()}"


if __name__ == "__main__":
    main()
