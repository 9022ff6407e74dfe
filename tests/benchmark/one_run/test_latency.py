"""How often latency is measured."""

import time
from types import SimpleNamespace

import pytest
import torch

from benchmark.one_run.latency import measure_latency


class Network(torch.nn.Module):
    def __init__(self, seconds: float) -> None:
        super().__init__()
        self.seconds = seconds
        self.n_calls = 0

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.n_calls += 1
        time.sleep(self.seconds)
        return images


@pytest.mark.parametrize(
    ("limits", "n_timed"),
    [
        ({"enough_s": 60}, 20),
        ({"enough_s": 0}, 10),
        ({"enough_s": 0, "limit_s": 0}, 5),
        ({"enough": 3, "enough_s": 0}, 3),
    ],
)
def test_the_more_time_the_more_calls(limits, n_timed):
    network = Network(1e-4)
    model = SimpleNamespace(model=network, device="cpu", pre_processor=None, eval=lambda: None)
    found = measure_latency(model, torch.zeros(3, 8, 8), **limits)
    assert found.latency_n == n_timed
    assert network.n_calls == n_timed + 2
    assert 0 < found.latency_ms <= found.latency_p95_ms
