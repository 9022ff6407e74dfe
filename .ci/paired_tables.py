"""Tables of detectors that are compared in pairs on the same test images, for `readme_tables.py`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pandas as pd
from study_tables import _finely, _markdown, _spread, plain_leaderboard, plain_tables

Row = tuple[str, str, str, str]
"""Data set, model, backbone and settings."""


def paired_tables(results: Path) -> dict[str, str | None]:
    """Markdown of each table by its name, None for a study that is not there."""
    tables = {
        "ensembles": ("ensembles", ensembles_table),
        "tuned": ("tuned", tuned_table),
        "pairs": ("dfm", pairs_table),
        "pairs_cells": ("dfm_cells", partial(pairs_table, by_category=True)),
    }
    return {
        name: table(results / folder) if (results / folder / "records.jsonl").is_file() else None
        for name, (folder, table) in tables.items()
    }


def ensembles_table(output: Path) -> str:
    """A row per data set and detector: mean ± deviation over seeds, and how far the ensemble is above it."""
    compared = ("image_AUROC", "pixel_AUROC")
    frame, samples = mean_rows(output), _samples(output)
    pairs = {key[0]: key for key in samples if key[1] == "Ensemble"}
    lines = []
    for row in frame.to_dict("records"):
        is_pair = row["model"] == "Ensemble"
        name = "both" if is_pair else f"{row['model']}, {row['backbone']}"
        cells = [_finely(row, "image_AUROC"), *(_spread(row, metric) for metric in ("pixel_AUROC", "pixel_AUPRO"))]
        pair = samples[pairs[row["dataset"]]]
        told = ["" if is_pair else _above(pair, samples[_name(row)], metric) for metric in compared]
        lines.append([row["dataset"], name, str(int(row["n_seeds"])), *cells, *told])
    order = list(dict.fromkeys(line[0] for line in lines))
    lines.sort(key=lambda line: (order.index(line[0]), line[1] == "both", line[1]))
    heads = ("data", "detector", "seeds", "image AUROC", "pixel AUROC", "AUPRO", "both less this one, image AUROC",
             "pixel AUROC")  # fmt: skip
    return _markdown(heads, lines)


def pairs_table(output: Path, *, by_category: bool = False) -> str:
    """A row per data set, or category, and detector, and how far each pair is above the better of its two members."""
    from benchmark.records.archive import load
    from benchmark.records.cells import group_runs
    from benchmark.tables.row_samples import row_samples
    from benchmark.tables.stored_scores import StoredScores

    stored, groups = StoredScores(output), group_runs(load(output).records, [])
    group_of = {run.key: place for place, group in enumerate(groups) for run in group.counted}
    frame = plain_tables(output).by_category.query("n_seeds > 0") if by_category else mean_rows(output)
    rows = {(row["category"], group_of[row["run_keys"].split(";")[0]]): row for row in frame.to_dict("records")}
    lines = []
    for (category, place), row in sorted(rows.items(), key=lambda one: (_place(one[1]), -one[1]["image_AUROC"])):
        above, told = ["", ""], f"{row['model']} ({row['settings']})".replace(" ()", "")
        members = [group_of[key] for key in groups[place].counted[0].members or ()]
        if members:
            better = max(members, key=lambda member: rows[category, member]["image_AUROC"])
            pair = [
                row_samples(one, [category] if by_category else sorted({name for name, _ in one.cells}), stored)
                for one in (groups[place], groups[better])
            ]
            above = [_above(*pair, metric) for metric in ("image_AUROC", "pixel_AUROC")]
            told = row["settings"].removeprefix("members=").replace(" tf_efficientnet_lite0", "")
        elif "image_size" not in told:
            told += f", {row['image_size'].split('x')[0]} px"
        cells = [_finely(row, "image_AUROC"), *(_spread(row, name) for name in ("pixel_AUROC", "pixel_AUPRO"))]
        lines.append([_place(row), told, str(int(row["n_seeds"])), *cells, f"{row['latency_ms']:.0f}", *above])
    heads = ("data", "detector", "seeds", "image AUROC", "pixel AUROC", "AUPRO", "ms/image",
             "above its better member, image AUROC", "pixel AUROC")  # fmt: skip
    return _markdown(heads, lines)


def tuned_table(output: Path) -> str:
    """A row per data set and detector: as given and as found, mean ± deviation over seeds, difference, latency."""
    from benchmark.records.archive import load

    n_given = {  # what was found adds arguments to what was given
        (one.dataset.name, one.model, one.backbone, one.settings): len(one.experiment.model.init_args or {})
        for one in load(output).records
    }
    samples = _samples(output)
    lines = []
    for (dataset, model), rows in mean_rows(output).groupby(["dataset", "model"], sort=True):
        default, *found = sorted(rows.to_dict("records"), key=lambda row: n_given[_name(row)])
        for row in found:
            told = f"{row['backbone']}, {row['image_size']} px, {row['layers']}, {row['settings']}"
            lines.append([
                dataset, model, told, str(int(row["n_seeds"])),
                _finely(default, "image_AUROC"), _finely(row, "image_AUROC"),
                _above(samples[_name(row)], samples[_name(default)], "image_AUROC"),
                f"{default['latency_ms']:.0f}, {row['latency_ms']:.0f}",
            ])  # fmt: skip
        if not found:
            lines.append([dataset, model, "the default stays", str(int(default["n_seeds"])),
                          _finely(default, "image_AUROC"), "", "", f"{default['latency_ms']:.0f}"])  # fmt: skip
    heads = ("data", "detector", "found", "seeds", "image AUROC of the default", "as found", "gained",
             "ms/image: default, found")  # fmt: skip
    return _markdown(heads, lines)


def _place(row: dict) -> str:
    """The data set, and the category where the row is of one of several."""
    return str(row["dataset"]) if row["category"] in ("mean", "all") else f"{row['dataset']} {row['category']}"


def mean_rows(output: Path) -> pd.DataFrame:
    """The rows that have runs; of a data set with several categories that of their mean."""
    frame = plain_leaderboard(output).query("n_seeds > 0")
    return frame[frame["category"] == frame.groupby("dataset")["category"].transform("last")]


def _samples(output: Path) -> dict[Row, tuple]:
    """What is drawn from to compare two rows."""
    from benchmark.records.archive import load
    from benchmark.records.cells import group_runs
    from benchmark.tables.row_samples import row_samples
    from benchmark.tables.stored_scores import StoredScores

    stored = StoredScores(output)
    return {
        (one.dataset, one.model, one.backbone, one.settings): row_samples(
            one, sorted({category for category, _ in one.cells}), stored
        )
        for one in group_runs(load(output).records, [])
    }


def _name(row: dict) -> Row:
    dataset, model, backbone, settings = (row[name] for name in ("dataset", "model", "backbone", "settings"))
    return dataset, model, backbone, settings


def _above(one: tuple, other: tuple, metric: str) -> str:
    """How far one row is above another, with its interval; nothing where either lacks the metric."""
    from benchmark.statistics.bootstrap import sample_values
    from benchmark.statistics.comparison import compare

    if not all(metric in sample_values(sample) for sample in (*one, *other)):
        return ""
    found = compare(one, other, metric=metric)
    return f"{found.difference:+.4f} ({found.low:+.4f} to {found.high:+.4f})"
