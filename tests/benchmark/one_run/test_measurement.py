from types import SimpleNamespace

import pytest

from benchmark.one_run.measurement import _fit_and_test
from extensions.models.common.cached_run import CachedRun


def test_a_test_that_fails_leaves_no_cache_in_a_model_that_others_share(monkeypatch):
    seen = []

    def fail(engine, model, served) -> float:
        seen.append(model.feature_source)
        raise RuntimeError

    monkeypatch.setattr("benchmark.one_run.training.test_once", fail)
    source = object()
    model = SimpleNamespace(feature_source=None)
    cached = SimpleNamespace(datamodule=lambda: None, source=source, _model=model)
    cached.serving = lambda: CachedRun.serving(cached)
    with pytest.raises(RuntimeError):
        _fit_and_test(SimpleNamespace(_setup_trainer=lambda model: None), model, cached, known=SimpleNamespace())
    assert seen == [source]
    assert model.feature_source is None
