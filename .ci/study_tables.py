"""Tables of the studies of drawn and known defects and of few images, for `readme_tables.py`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from benchmark.tables.leaderboard import Frames

CDO = {"image AUROC": "image_AUROC", "pixel AUROC": "pixel_AUROC", "pixel AP": "pixel_AveragePrecision"}
CDO |= {"AUPRO": "pixel_AUPRO"}
STPM = {"image AUROC": "image_AUROC", "pixel AUROC": "pixel_AUROC"}
_UNTOLD = ("precision=", "k_shot=", "known_defects=")  # equal in all rows, or in a column of their own
PARTS = {"image AUROC": "image_AUROC", "part AUROC": "part_AUROC", "pixel AP": "pixel_AveragePrecision"}
PLANTED = {"image AUROC": "image_AUROC", "pixel AP": "pixel_AveragePrecision"}
POOLINGS = ("reweighted", "max", "top_10", "top_100", "top_1%")
FEW = {"image AUROC": "image_AUROC", "pixel AUROC": "pixel_AUROC"}


def study_tables(results: Path) -> dict[str, str | None]:
    """Markdown of each table by its name, None for a study that is not there."""
    found: dict[str, str | None] = {}
    for name, metrics, table in (
        ("cdo", CDO, interval_table),
        ("spd", CDO, interval_table),
        ("stpm", STPM, interval_table),
        ("reg_ad", FEW, draws_table),
        ("groups", PARTS, interval_table),
        ("planted_regions", PLANTED, interval_table),
        ("planted_images", PLANTED, interval_table),
    ):
        folder = results / name
        means = _means(folder, with_intervals=table is interval_table)
        found[name] = None if means is None else table(means, metrics)
    pooled = results / "pooling"
    means = _means(pooled, with_intervals=False)
    found["pooling"] = None if means is None else pooling_table(means)
    measured = results / "tune" / "summary.csv"
    found["tune"] = tune_table(pd.read_csv(measured)) if measured.is_file() else None
    sources = pooled / "sources.csv"
    found["pooling_sources"] = sources_table(pd.read_csv(sources)) if sources.is_file() else None
    turned = results / "turned"
    found["turned"] = turned_table(turned) if (turned / "records.jsonl").is_file() else None
    measured = results / "spd" / "sensitivity.csv"
    found["sensitivity"] = sensitivity_table(pd.read_csv(measured)) if measured.is_file() else None
    return found


def sensitivity_table(frame: pd.DataFrame) -> str:
    """A row per data set and encoder: how far a defect moves the features, over how far a weak change does."""
    layers = list(dict.fromkeys(frame["layer"]))
    lines = []
    for (data, n_images, backbone, weights), rows in frame.groupby(
        ["data", "n_images", "backbone", "weights"], sort=False
    ):
        at = {row["layer"]: row for row in rows.to_dict("records")}
        ratios = [
            f"{at[one]['local_ratio']:.2f} ({at[one]['local_low']:.2f}–{at[one]['local_high']:.2f})" for one in layers
        ]
        lines.append([data, str(n_images), f"{backbone.split('.')[0]}, {weights}", *ratios])
    return _markdown(("data", "images", "encoder", *layers), lines)


def tune_table(frame: pd.DataFrame) -> str:
    """A row per data set, detector and validation: how well it ranks settings, what the default and the choice lack."""
    heads = ("data", "detector", "validation", "settings", "rank correlation", "regret of the default", "of the choice",
             "of the best trial")  # fmt: skip
    told = {"one": "", "each": ", a setting for each paper"}
    lines = []
    for row in frame.to_dict("records"):
        numbers = [f"{row[name]:.2f}" if name == "spearman" else f"{row[name]:.3f}"
                   for name in ("spearman", "default_regret", "regret", "regret_of_best")]  # fmt: skip
        lines.append([f"{row['data']}{told[row['choice']]}", row["detector"], row["validation"],
                      str(int(row["n_settings"])), *numbers])  # fmt: skip
    return _markdown(heads, lines)


def interval_table(frame: pd.DataFrame, metrics: dict[str, str]) -> str:
    """A row per detector and data set: each metric with its 95 % interval over test images."""
    heads = ("data", "products", "detector", "settings", "seeds", *metrics)
    lines = []
    for row in frame.sort_values(["dataset", "model", "settings"]).to_dict("records"):
        cells = [_interval(row, name) for name in metrics.values()]
        detector = f"{row['model']}, {row['backbone']}"
        first = (row["dataset"], str(int(row["n_categories"])), detector, _settings(row), str(int(row["n_seeds"])))
        lines.append([*first, *cells])
    return _markdown(heads, lines)


def turned_table(output: Path) -> str:
    """A row per data set, part and detector: mean ± deviation over seeds, and how the images lie."""
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    archive = load(output)
    frame = build_tables(archive.records, archive.plans).by_category.query("n_seeds > 0")
    lie: dict[tuple[str, str], float] = {}
    for line in (output / "records.jsonl").read_text(encoding="utf-8").splitlines():
        data = json.loads(line)["dataset"]
        if data.get("position_score") is not None:
            lie[data["name"], data["category"]] = data["position_score"]
    order = {name: place for place, name in enumerate(("upright", "turned", "aligned"))}
    frame = frame.assign(part=frame["category"].str.split("_").str[0], place=frame["dataset"].map(order))
    lines = []
    for row in frame.sort_values(["part", "model", "place", "category"]).to_dict("records"):
        score = lie.get((row["dataset"], row["category"]))
        aligned = "aligned" if row["dataset"] == "aligned" else ""
        cells = [_spread(row, name) for name in ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")]
        told = "" if score is None else f"{score:.2f}"
        lines.append([row["category"], aligned, told, row["model"], str(int(row["n_seeds"])), *cells])
    heads = ("parts", "", "position score", "detector", "seeds", "image AUROC", "pixel AUROC", "AUPRO")
    return _markdown(heads, lines)


def draws_table(frame: pd.DataFrame, metrics: dict[str, str]) -> str:
    """A row per data set and detector, a column per metric and number of images: mean ± deviation over draws."""
    shots = sorted(frame["k_shot"].dropna().astype(int).unique())
    heads = ("data", "detector", "draws", *(f"{told}, k = {k}" for told in metrics for k in shots))
    lines = []
    frame = frame.assign(told=frame["settings"].map(_told))
    for (data, model, settings), rows in frame.groupby(["dataset", "model", "told"], sort=True):
        at = {int(row["k_shot"]): row for row in rows.to_dict("records")}
        cells = [_spread(at[k], name) if k in at else "" for name in metrics.values() for k in shots]
        draws = sorted({int(row["n_seeds"]) for row in at.values()})
        lines.append([data, f"{model}, {settings}".rstrip(", "), "–".join(map(str, draws)), *cells])
    return _markdown(heads, lines)


def pooling_table(frame: pd.DataFrame) -> str:
    """A row per data set, detector and start of its coreset, a column per pooling: mean ± deviation over seeds."""
    told = frame["settings"].map(dict_of)
    frame = frame.assign(pooling=[one.pop("score_pooling", "") for one in told], rest=list(map(start_of, told)))
    ways = [name for name in POOLINGS if name in set(frame["pooling"])]
    heads = ("data", "detector", "px", "seeds", *(f"`{name}`" for name in ways))
    lines = []
    keys = ["dataset", "model", "backbone", "rest"]
    for (data, model, backbone, rest), rows in frame.groupby(keys, sort=True):
        at = {row["pooling"]: row for row in rows.to_dict("records")}
        detector = ", ".join(filter(None, (f"{model}, {backbone}", rest)))
        (size,) = {str(row["image_size"]) for row in at.values()}
        seeds = "–".join(map(str, sorted({int(row["n_seeds"]) for row in at.values()})))
        cells = [_finely(at[name], "image_AUROC") if name in at else "" for name in ways]
        lines.append([data, detector, size, seeds, *cells])
    return _markdown(heads, lines)


def sources_table(frame: pd.DataFrame) -> str:
    """A row per data set, what was varied and start of the coreset: mean and deviation of each, then their means."""
    heads = ("data", "sets", "varied", "start", "distances", *(f"`{name}`" for name in POOLINGS))
    lines = []
    for (data, varied, start, projection), rows in frame.groupby(["data", "varied", "start", "projection"], sort=False):
        by_set = rows.groupby("category", dropna=False)[list(POOLINGS)]
        means, deviations = by_set.mean().mean(), by_set.std().mean()
        cells = [f"{means[name]:.3f} ± {deviations[name]:.4f}" for name in POOLINGS]
        lines.append([data, str(by_set.ngroups), varied, start, "projected" if projection else "exact", *cells])
    return _markdown(heads, lines)


def dict_of(settings: str) -> dict[str, str]:
    """Settings of a row as a leaderboard has them, by name."""
    parts = (part.split("=", 1) for part in settings.split(", ") if "=" in part)
    return dict(parts)


def start_of(settings: dict[str, str]) -> str:
    """Where a coreset starts, and whether by distances as they are; empty for anomalib's way."""
    exact = "exact distances" if settings.get("coreset_projection") == "False" else ""
    return ", ".join(filter(None, (f"start {settings['coreset_start']}" if "coreset_start" in settings else "", exact)))


def _finely(row: dict, name: str) -> str:
    """As `_spread`, with a fourth digit: spreads are of a thousandth."""
    deviation = row.get(f"{name}_std")
    return f"{row[name]:.4f}" + ("" if deviation is None or pd.isna(deviation) else f" ± {deviation:.4f}")


def plain_tables(output: Path) -> Frames:
    """All tables of a study without intervals and places, which take seconds to compute."""
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    archive = load(output)
    return build_tables(archive.records, archive.plans)


def plain_leaderboard(output: Path) -> pd.DataFrame:
    """The leaderboard among them."""
    return plain_tables(output).leaderboard


def _means(output: Path, *, with_intervals: bool) -> pd.DataFrame | None:
    """The leaderboard's row of each data set: the mean over its categories where it has several; None without records.

    Intervals over test images take seconds to compute.
    """
    from benchmark.api.output_tables import read_leaderboard

    if not (output / "records.jsonl").is_file():
        return None
    frame = read_leaderboard(output) if with_intervals else plain_leaderboard(output)
    several = frame[frame["category"] == "mean"]
    keys = ["model", "settings", "dataset"]
    alone = frame[~frame.set_index(keys).index.isin(several.set_index(keys).index)]
    return pd.concat([several, alone]).query("n_categories > 0")


def _settings(row: dict) -> str:
    told = _told(row["settings"])
    known = row.get("known_defects")
    return f"{told}, {int(known)} known defects".lstrip(", ") if known and not pd.isna(known) else told


def _told(settings: str) -> str:
    """The settings without those that are equal in all rows of a study."""
    left = [part for part in settings.split(", ") if not part.startswith(_UNTOLD)]
    return ", ".join(left)


def _interval(row: dict, name: str) -> str:
    if pd.isna(row[name]):
        return ""
    low, high = row.get(f"{name}_low"), row.get(f"{name}_high")
    return f"{row[name]:.3f}" + ("" if low is None or pd.isna(low) else f" ({low:.3f}–{high:.3f})")


def _spread(row: dict, name: str) -> str:
    if pd.isna(row[name]):
        return ""
    deviation = row.get(f"{name}_std")
    return f"{row[name]:.3f}" + ("" if deviation is None or pd.isna(deviation) else f" ± {deviation:.3f}")


def _markdown(heads: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rows = [f"| {' | '.join(cells)} |" for cells in (heads, ["---"] * len(heads), *lines)]
    return "\n".join(rows)
