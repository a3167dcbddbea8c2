"""BatchNorm recalibration."""

import pytest
import torch
from torch import nn

from freqvision.models import recalibrate_batchnorm


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout(0.5), nn.Conv2d(4, 2, 1), nn.BatchNorm2d(2)
    )


def test_statistics_are_the_means_over_batches_without_dropout(model):
    batches = [torch.randn(8, 3, 5, 5) * (i + 1) for i in range(3)]
    model.eval()
    assert recalibrate_batchnorm(model, batches) == 3
    assert not model.training
    assert model[1].momentum == 0.1
    with torch.no_grad():
        expected = torch.stack([model[0](batch).mean(dim=(0, 2, 3)) for batch in batches]).mean(0)
    torch.testing.assert_close(model[1].running_mean, expected)
    first = model[4].running_mean.clone()
    recalibrate_batchnorm(model, batches)  # dropout would make it differ
    assert torch.equal(model[4].running_mean, first)


def test_takes_what_a_loader_yields_and_keeps_the_mode(model):
    model.train()
    loader = [(torch.randn(4, 3, 2, 2), torch.zeros(4)) for _ in range(5)]
    assert recalibrate_batchnorm(model, loader, limit=2) == 2
    assert model.training
    assert all(layer.training for layer in model)


def test_no_batches_is_an_error_and_changes_nothing(model):
    before = {key: value.clone() for key, value in model.state_dict().items()}
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate_batchnorm(model, [])
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_a_limit_of_no_batches_is_an_error(model):
    with pytest.raises(ValueError, match="at least one batch"):
        recalibrate_batchnorm(model, [torch.zeros(2, 3, 8, 8)], limit=0)
