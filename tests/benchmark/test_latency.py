"""How long one picture takes: as few calls as steady times need, all of them where times vary."""

from types import SimpleNamespace

import pytest
import torch

from benchmark import latency
from benchmark.latency import measure_latency


@pytest.mark.parametrize(
    ("steps", "n_calls", "p50", "p95"),
    [([4.0], 10, 4.0, 4.0), ([4.0, 4.1], 10, 4.05, 4.1), ([4.0, 5.0], 20, 4.5, 5.0)],
    ids=["equal", "steady", "varying"],
)
def test_steady_times_need_half_the_calls(steps, n_calls, p50, p95, monkeypatch):
    calls = []
    clock = SimpleNamespace(now=0.0)

    def network(images):
        clock.now += steps[len(calls) % len(steps)] / 1000
        calls.append(images.shape)

    monkeypatch.setattr(latency, "time", SimpleNamespace(perf_counter=lambda: clock.now))
    model = SimpleNamespace(device="cpu", pre_processor=None, eval=lambda: None, model=network)
    found = measure_latency(model, torch.zeros(3, 8, 8))
    assert (len(calls), found.latency_n) == (3 + n_calls, n_calls)
    assert calls[0] == (1, 3, 8, 8)
    assert found.latency_ms == pytest.approx(p50)
    assert found.latency_p95_ms == pytest.approx(p95)
