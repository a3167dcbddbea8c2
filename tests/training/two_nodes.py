"""Training on two machines by torchrun, one of which is killed and comes back: a rehearsal on one machine.

    python tests/training/two_nodes.py

Two network namespaces with an address each, joined by a cable, stand for the machines. Each has its own
folder: its own photos, and nothing of the other's run. Needs Linux, root and `ip`; without them it says so
and exits with status 77.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SKIPPED = 77
NAMES = ("fv-first", "fv-second")
ADDRESSES = ("10.77.0.1", "10.77.0.2")
EPOCHS = 20


def work() -> None:
    """What torchrun starts on each machine: `freqvision fit` with a network that is small enough."""
    sys.path.insert(0, str(Path(__file__).parents[1]))
    import torch
    from conftest import register_tiny

    from freqvision.training.fit import fit

    register_tiny()
    torch.set_num_threads(1)
    fit(sys.argv[2:])


def connect() -> str | None:
    """Make both machines; why that is not possible here."""
    if shutil.which("ip") is None or not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "network namespaces need root and the command ip"
    commands = [f"netns add {name}" for name in NAMES]
    commands.append(f"link add fv0 netns {NAMES[0]} type veth peer name fv0 netns {NAMES[1]}")
    for name, address in zip(NAMES, ADDRESSES, strict=True):
        commands += [
            f"-n {name} address add {address}/24 dev fv0",
            f"-n {name} link set fv0 up",
            f"-n {name} link set lo up",
        ]
    for command in commands:
        done = subprocess.run(["ip", *command.split()], capture_output=True, text=True)
        if done.returncode:
            return f"ip {command}: {done.stderr.strip()}"
    return None


def start(node: int, folder: Path, output: Path) -> subprocess.Popen:
    """Torchrun on a machine: the same command on both, and after a kill."""
    torchrun = f"-m torch.distributed.run --nnodes 2 --nproc_per_node 1 --max_restarts 3 --rdzv_id run \
        --rdzv_backend c10d --rdzv_endpoint {ADDRESSES[0]}:29400 --local_addr {ADDRESSES[node]} \
        --rdzv_conf is_host={int(node == 0)},join_timeout=300"
    settings = f"--model.name tiny --model.optimisation.lr 0.01 --data.root photos --data.resize 72 \
        --data.crop 64 --data.batch_size 2 --data.num_threads 1 --trainer.accelerator cpu \
        --trainer.strategy ddp --trainer.num_nodes 2 --trainer.devices 1 --trainer.max_epochs {EPOCHS} \
        --checkpoint_steps 1 --output run --ckpt_path auto"
    command = [
        *("ip", "netns", "exec", NAMES[node], sys.executable, *torchrun.split()),
        *(str(Path(__file__).resolve()), "--work", *settings.split()),
    ]
    # Otherwise torchrun tells a machine that joins later no port, for which it then waits.
    environment = {**os.environ, "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}
    environment |= {"GLOO_SOCKET_IFNAME": "fv0", "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    with output.open("a") as file:
        return subprocess.Popen(command, cwd=folder, env=environment, stdout=file, stderr=file)


def kill(node: int) -> None:
    """All processes of a machine, as if its power failed: torchrun gives each a session of its own."""
    found = subprocess.run(["ip", "netns", "pids", NAMES[node]], capture_output=True, text=True, check=True)
    for process in map(int, found.stdout.split()):
        os.kill(process, signal.SIGKILL)


def steps(run: Path) -> int:
    """Optimiser steps in the last checkpoint of a run; -1 for none."""
    import torch

    try:
        return int(torch.load(run / "checkpoints/last.ckpt", weights_only=True)["global_step"])
    except OSError:
        return -1


def main() -> int:
    from freqvision.data import write_synthetic_photos
    from freqvision.runtime import read_table

    if reason := connect():
        print(f"skipped: {reason}")
        return SKIPPED
    nodes: list[subprocess.Popen] = []
    begin = time.monotonic()

    def say(what: str) -> None:
        print(f"{time.monotonic() - begin:5.0f} s  {what}", flush=True)

    def wait(until: str, true: Callable[[], bool]) -> None:
        while not true():
            if time.monotonic() - begin > 1800:
                raise TimeoutError(f"{until}: not within half an hour")
            time.sleep(0.2)

    with tempfile.TemporaryDirectory() as temporary:
        folders = [Path(temporary) / name for name in NAMES]
        outputs = [folder.with_suffix(".txt") for folder in folders]
        for folder in folders:
            write_synthetic_photos(folder / "photos/train", photos_per_class=4, size=72)
            write_synthetic_photos(folder / "photos/validation", photos_per_class=2, size=72, seed=100)
        run = folders[0] / "run"
        try:
            nodes = [start(node, folders[node], outputs[node]) for node in (0, 1)]
            say("both machines started, at " + " and ".join(ADDRESSES))
            # The line of an epoch comes before its checkpoint, so that of the second is waited for.
            wait("an epoch and some steps", lambda: len(read_table(run / "metrics.csv")) >= 2)
            kill(1)
            nodes[1].wait()
            say(f"{NAMES[1]} killed; the last checkpoint has {steps(run)} steps")
            epochs = len(read_table(run / "metrics.csv"))
            nodes[1] = start(1, folders[1], outputs[1])
            say(f"{NAMES[1]} started again, by the same command")
            for node in nodes:
                wait("the end of the training", lambda node=node: node.poll() is not None)
            statuses = [node.returncode for node in nodes]
            say(f"ended with {statuses}; the last checkpoint has {steps(run)} steps")
            lines = read_table(run / "metrics.csv")
            text = outputs[0].read_text()
            starts = [line.strip() for line in text.splitlines() if line.strip().startswith("training ")]
            for line in starts:
                say(line)
            assert statuses == [0, 0]
            assert [int(line["epoch"]) for line in lines] == list(range(1, EPOCHS + 1))
            assert steps(run) == EPOCHS * 6, "24 photos in batches of 2 on each of 2 machines"
            assert len(starts) == 2
            assert "epochs 1 to" not in starts[1], "the second start resumed"
            assert epochs < EPOCHS, "killed before the end"
            assert not (folders[1] / "run/checkpoints").exists(), "the second machine's folder stays empty"
            say(json.dumps({name: lines[-1][name] for name in ("train/loss", "val/top1")}))
        except BaseException:
            for output in outputs:
                print(f"{output.name}:\n{output.read_text()[-6000:]}")
            raise
        finally:
            for number, node in enumerate(nodes):
                kill(number)
                node.wait()
            for name in NAMES:
                subprocess.run(["ip", "netns", "delete", name], check=False)
    return 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work()
    else:
        sys.exit(main())
