import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from benchmark.statistics import coverage, simulation
from benchmark.statistics.simulated_scores import SHAPES, Pair, Setting, draw, draw_pair


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("auroc", [0.8, 0.99])
def test_made_up_scores_have_the_auroc_they_are_said_to_have(shape, auroc):
    setting = Setting(shape=shape, auroc=auroc, n_good=20_000, n_defective=20_000)
    scores = draw(setting, np.random.default_rng(1))
    assert roc_auc_score(setting.labels, scores) == pytest.approx(auroc, abs=0.006)


def test_made_up_pairs_have_theirs_on_average_over_seeds():
    pair = Pair(aurocs=(0.9, 0.8), n_good=2000, n_defective=2000, n_seeds=200, seed_spread=0.3, noise=0.1)
    for sample, auroc in zip(draw_pair(pair, np.random.default_rng(1)), pair.aurocs, strict=True):
        aurocs = [roc_auc_score(sample.labels, scores) for scores in sample.scores]
        assert np.mean(aurocs) == pytest.approx(auroc, abs=0.015)


def test_small_simulation_holds_its_promise_at_twenty_good_and_sixty_defective(monkeypatch):
    monkeypatch.setattr(coverage, "SIZES", ((20, 60),))
    monkeypatch.setattr(coverage, "SHAPES", ("normal", "skewed", "tied"))
    rows = list(coverage.auroc_rows(200))
    assert len(rows) == 9
    for row in rows:
        assert row.coverage >= 0.90  # 2.6 standard errors of 200 draws below 0.95 is 0.91
        assert row.coverage == pytest.approx(1 - row.below - row.above)


def test_small_simulation_of_differences_holds_its_promise(monkeypatch):
    monkeypatch.setattr(coverage, "PAIRS", coverage.PAIRS[:1])
    delong, bootstrap = coverage.difference_rows(200)
    assert (delong.draws, bootstrap.draws) == (200, 40)
    assert delong.coverage >= 0.90
    assert bootstrap.coverage >= 0.80


def test_table_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(coverage, "PAIRS", coverage.PAIRS[:1])
    monkeypatch.setattr(simulation, "ROWS", (coverage.difference_rows,))
    simulation.main(["--output", str(tmp_path / "made" / "coverage.csv"), "--draws", "20"])
    table = pd.read_csv(tmp_path / "made" / "coverage.csv")
    assert table["what"].tolist() == ["difference of image_AUROC", "difference of image_AveragePrecision"]
    assert (table["promised"] == 0.95).all()


def test_too_few_draws_are_refused(capsys):
    with pytest.raises(SystemExit):
        simulation.main(["--draws", "3"])
    assert "--draws is 3; expected at least 20" in capsys.readouterr().err
