"""`freqvision` as a program of its own that knows the tests' tiny network, and whose ResNets are small."""

import sys
from pathlib import Path

import pytest

from freqvision.cli.main import main
from freqvision.training import Classifier

sys.path.insert(0, str(Path(__file__).parents[1]))
from conftest import register_tiny, shrink_resnets


class Ranked(Classifier):
    """Its loss is the number of its process."""

    def training_step(self, batch, batch_idx):
        loss = 0 * self(batch[0]).sum() + self.global_rank
        self.log_training({"loss": loss}, len(batch[0]))
        return loss


if __name__ == "__main__":
    register_tiny()
    shrink_resnets(pytest.MonkeyPatch())
    sys.exit(main())
