"""Detectors over the categories of all data sets."""

from __future__ import annotations

from scipy.stats import rankdata

from benchmark.report.plots import plot_critical_difference
from tests.benchmark.fabricated import make_record, tables_of

AUROCS = {
    "Patchcore": (0.97, 0.95, 0.99, 0.93, 0.98, 0.96, 0.94),
    "Padim": (0.95, 0.96, 0.97, 0.91, 0.97, 0.95, 0.93),
    "Cflow": (0.90, 0.85, 0.91, 0.80, 0.88, 0.86, 0.84),
}


def records(n_categories: int) -> list[dict]:
    return [
        make_record(model=model, dataset="one" if i < 4 else "two", category=str(i), metrics={"image_AUROC": values[i]})
        for model, values in AUROCS.items()
        for i in range(n_categories)
    ]


def test_categories_of_all_data_sets_count(tmp_path):
    found = tables_of(records(7)).overall
    ranks = {name: 4 - sum(rankdata(one)[k] for one in zip(*AUROCS.values(), strict=True)) / 7
             for k, name in enumerate(AUROCS)}  # fmt: skip
    assert dict(zip(found.detectors, found.average_ranks, strict=True)) == {
        f"{name}, resnet18": rank for name, rank in ranks.items()
    }
    assert found.n_categories == 7
    plot_critical_difference(found, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 1000


def test_with_few_categories_there_is_none_and_about_says_why():
    tables = tables_of(records(3))
    assert tables.overall is None
    (text,) = tables.about.loc[tables.about["section"] == "Over categories", "value"]
    assert "3 categories" in text
