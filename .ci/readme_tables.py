"""Fill the tables of README.md, docs/ and results/ from the committed records: `make readme` after new results."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import yaml

if TYPE_CHECKING:
    from benchmark.records.record import Record

ROOT = Path(__file__).resolve().parent.parent
sys.path.append(str(ROOT / ".ci"))  # for whoever loads this file by its path
HEADLINE = ("image_AUROC", "image_F1Score", "pixel_AUROC", "pixel_F1Score")
RANKED = ("consensus", "out_of_bag", "neighbors", "mahalanobis", "random")
ASKED = ("entropy", "margin", "least_confidence")
LABELS = ("image AUROC", "image F1", "pixel AUROC", "pixel F1")
# Studies whose rows stand in the README of a model, but for what they vary besides model, settings and data set.
STUDIES = ("quickstart", "reference", "backbones", "augmentation", "augmentation_bottle")
VARIED = r"augmentation|center_crop|pre_trained|student_backbone"


def tables() -> dict[str, str | None]:
    """Markdown of each table by the name that its markers bear; None for one whose results are not there yet."""
    from anomalib_table import anomalib_models_table, stock_table
    from paired_tables import mean_rows, paired_tables
    from study_tables import plain_leaderboard, study_tables

    from benchmark.api.output_tables import read_leaderboard

    known = {name: read_leaderboard(ROOT / "results" / name) for name in ("quickstart", "reference")}
    quickstart, reference = known.values()
    piped = read_leaderboard(ROOT / "results" / "piped")
    published = yaml.safe_load((ROOT / "results" / "published.yaml").read_text(encoding="utf-8"))
    found: dict[str, str | None] = {"quickstart": markdown(quickstart), "quickstart_short": short(quickstart)}
    found["piped"] = short(piped, with_backbone=True)
    others = {name: plain_leaderboard(ROOT / "results" / name) for name in STUDIES if name not in known}
    others["dfm"] = mean_rows(ROOT / "results" / "dfm").query("model == 'Dfm'")
    found |= model_tables(known | others)
    found["few_shot"] = few_shot_table(plain_leaderboard(ROOT / "results" / "few_shot"))
    found["speed"] = speed_table(ROOT / "results" / "speed" / "speed.json")
    found["profile"] = profile_table(ROOT / "results" / "speed")
    for dataset, rows in published.items():
        name = {"bottle": "mvtecad"}.get(dataset, dataset)
        ours = reference[reference["dataset"].str.lower() == name]
        found[dataset] = markdown(ours) + "\n\nPublished:\n\n" + published_markdown(rows)
    found |= refinement_tables(ROOT / "results" / "refinement")
    found |= one_for_all_tables(ROOT / "results" / "one_for_all")
    for name in ("augmentation", "augmentation_bottle"):
        found[name] = augmentation_table(ROOT / "results" / name)
    found |= study_tables(ROOT / "results") | paired_tables(ROOT / "results")
    found["anomalib_models"] = anomalib_models_table(ROOT / "results" / "anomalib_models" / "models.json")
    for name in ("stock_models", "mh_patchcore"):
        there = (ROOT / "results" / name / "records.jsonl").is_file()
        found[name] = stock_table(plain_leaderboard(ROOT / "results" / name)) if there else None
    return found | backbone_tables(ROOT / "results" / "backbones") | line_tables(ROOT / "results" / "inference")


def backbone_tables(output: Path) -> dict[str, str | None]:
    """What a probe reads from each backbone's features, how it was pretrained, and what detectors find with them."""
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    archive = load(output)
    detected = build_tables(archive.records, archive.plans, probes=archive.probes).backbones
    return {
        "probe": probe_table(pd.DataFrame(archive.probes)),
        "pretraining": pretraining_table(sorted((output / "pretraining").glob("*.json"))),
        "backbones": detection_table(detected),
        "open_ended": open_ended_table(archive.records),
    }


def line_tables(output: Path) -> dict[str, str | None]:
    """How well exported networks agree with the trained models, and how fast they are."""
    if not output.is_dir():
        return {"agreement": None, "line": None}
    speeds = pd.concat([pd.read_csv(path) for path in sorted(output.glob("bench_*.csv"))])
    return {"agreement": agreement_table(pd.read_csv(output / "comparison.csv")), "line": line_table(speeds)}


def agreement_table(compared: pd.DataFrame) -> str:
    """A row for each model: differences as parts of the range of scores, and image AUROC, in both precisions."""
    lines = [
        "| | fp32: score, map | labels flipped | image AUROC trained, fp32 | int8: score, map "
        "| labels flipped (of them near) | image AUROC int8 | MB fp32, int8 |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for model, group in compared.groupby("model"):
        full, eight = (group[group["precision"] == name].iloc[0] for name in ("fp32", "int8"))
        differences = [f"{row.largest_score_difference:.1e}, {row.largest_map_difference:.1e}" for row in (full, eight)]
        flipped = [int(row.n_flipped + row.n_flipped_near) for row in (full, eight)]
        near = f" ({int(eight.n_flipped_near)})" if flipped[1] else ""
        lines.append(
            f"| {model} | {differences[0]} | {flipped[0]} | {full.image_AUROC_trained:.3f}, {full.image_AUROC:.3f} "
            f"| {differences[1]} | {flipped[1]}{near} | {eight.image_AUROC:.3f} "
            f"| {full.megabytes:.1f}, {eight.megabytes:.1f} |"
        )
    return "\n".join(lines)


def line_table(speeds: pd.DataFrame) -> str:
    """Images a second of each network, beside its bare backbone and from file to score."""
    kinds = ("backbone", "network", "end to end", "anomalib's inferencer")
    titles = ("bare backbone", "exported network", "`predict`, from file to score", "anomalib's `OpenVINOInferencer`")
    lines = [f"| | batch | {' | '.join(titles)} |", "|---|---|---|---|---|---|"]
    for (model, precision, batch), group in speeds.groupby(["model", "precision", "batch"], sort=False):
        measured = dict(zip(group["what"], group["images_per_second"], strict=True))
        cells = [f"{measured[kind]:.1f}" if kind in measured else "" for kind in kinds]
        lines.append(f"| {model}, {precision} | {batch} | {' | '.join(cells)} |")
    return "\n".join(lines)


def augmentation_table(output: Path) -> str | None:
    """Image AUROC without augmentation, and a row per augmentation and place: its change, ± its spread over seeds."""
    from benchmark.api.output_tables import read_augmentation

    frame = read_augmentation(output)
    if frame.empty:
        return None
    frame = frame.assign(column=frame["detector"].str.split(",").str[0] + ", " + frame["dataset"])
    columns = list(dict.fromkeys(frame["column"]))
    lines = [f"| augmentation | where | {' | '.join(columns)} |", "|---|---|" + "---|" * len(columns)]
    for (name, where), group in frame.groupby(["augmentation", "where"], sort=False, dropna=False):
        rows = {row["column"]: row for row in group.to_dict("records")}
        cells = [changed(rows[column]) if column in rows else "" for column in columns]
        lines.append(f"| {name} | {'' if pd.isna(where) else where} | {' | '.join(cells)} |")
    return "\n".join(lines)


def changed(row: dict) -> str:
    """The change of image AUROC with its spread, bold where it is more; the AUROC itself of a run without."""
    if pd.isna(row["image_AUROC_change"]):
        spread = "" if pd.isna(row["image_AUROC_std"]) else f" ± {row['image_AUROC_std']:.3f}"
        return f"{row['image_AUROC']:.3f}{spread}"
    spread = "" if pd.isna(row["image_AUROC_change_std"]) else f" ± {row['image_AUROC_change_std']:.3f}"
    text = f"{row['image_AUROC_change']:+.3f}{spread}"
    return f"**{text}**" if row["image_AUROC_beyond"] in ("better", "worse") else text


def one_for_all_tables(output: Path) -> dict[str, str | None]:
    """What one model for all products costs and saves beside one for each; and image AUROC of each product."""
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    names = ("one_for_all", "one_for_all_products")
    if not output.is_dir():
        return dict.fromkeys(names)
    archive = load(output)
    built = build_tables(archive.records, archive.plans)
    # A stock detector has the name of ours; its settings or size tell them apart.
    keys = ["model", "backbone", "image_size", "training"]
    means, parts = (frame.set_index(keys) for frame in (built.leaderboard, built.by_category))
    return {names[0]: cost_table(means, parts), names[1]: product_table(parts)}


def cost_table(means: pd.DataFrame, parts: pd.DataFrame) -> str:
    """A row per detector and training: means over products, bytes and fit seconds of the one model or of all."""
    lines = [
        "| detector | px | training | image AUROC | pixel AUROC | pixel AP | models | size | fit |",
        "|---" * 9 + "|",
    ]
    for key, row in means.iterrows():
        model, backbone, size, training = key
        own = parts.loc[[key]]
        is_one = training == "one_for_all"
        n_bytes, seconds = (
            own[name].max() if is_one else own[name].sum(min_count=len(own)) for name in ("model_bytes", "fit_seconds")
        )
        cells = [
            f"{row[name]:.3f}" + (f" ± {row[f'{name}_std']:.3f}" if pd.notna(row.get(f"{name}_std")) else "")
            for name in ("image_AUROC", "pixel_AUROC", "pixel_AveragePrecision")
        ]
        fit = "" if pd.isna(seconds) else f"{seconds:.0f} s"
        n_models = 1 if is_one else len(own)
        told = [f"{model}, {backbone}", str(size).split("x")[0], training, *cells, str(n_models)]
        lines.append(f"| {' | '.join([*told, f'{n_bytes / 2**20:.0f} MiB', fit])} |")
    return "\n".join(lines)


def product_table(parts: pd.DataFrame) -> str:
    """A row per product: image AUROC of each detector, one model for all / one for each."""
    detectors = list(dict.fromkeys(key[:3] for key in parts.index))
    heads = [f"{model}, {str(size).split('x')[0]} px" for model, _, size in detectors]
    lines = [f"| product | {' | '.join(heads)} |", "|---" * (1 + len(heads)) + "|"]
    for product in sorted(set(parts["category"])):
        cells = []
        for detector in detectors:
            found = []
            for training in ("one_for_all", "one_each"):
                key = (*detector, training)
                own = parts.loc[[key]] if key in parts.index else parts.iloc[:0]
                values = own.loc[own["category"] == product, "image_AUROC"].tolist()
                found.append(f"{values[0]:.3f}" if values and pd.notna(values[0]) else "")
            cells.append(" / ".join(found))
        lines.append(f"| {product} | {' | '.join(cells)} |")
    return "\n".join(lines)


def few_shot_table(frame: pd.DataFrame) -> str:
    """A row per detector and number of images, mean ± standard deviation over draws."""
    lines = ["| detector | images | image AUROC | pixel AUROC | AUPRO |", "|---|---|---|---|---|"]
    frame = frame[frame["category"] == "mean"].assign(order=frame["k_shot"].fillna(1e9).astype(float))
    for row in frame.sort_values(["model", "order"]).to_dict("records"):
        names = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")
        cells = [f"{row[name]:.3f} ± {row[f'{name}_std']:.3f}" for name in names if f"{name}_std" in row]
        cells += [f"{row[name]:.3f}" for name in names if f"{name}_std" not in row]
        lines.append(
            f"| {row['model']} | {'all' if row['order'] == 1e9 else int(row['order'])} | {' | '.join(cells)} |"
        )
    return "\n".join(lines)


def probe_table(probes: pd.DataFrame) -> str | None:
    """A row per encoder and layer, accuracy in per cent with one standard error."""
    if probes.empty:
        return None
    probes = probes.assign(encoder=probes["backbone"] + ", " + probes["weights"], at=probes["layer"])
    names = list(dict.fromkeys(probes["data"]))
    lines = [
        f"| encoder | layer | {' | '.join(f'{name}, top 1 | kNN' for name in names)} |",
        "|---" * (2 + 2 * len(names)) + "|",
    ]
    for (encoder, layer), group in probes.groupby(["encoder", "at"], sort=False):
        cells = []
        for name in names:
            rows = group[group["data"] == name]
            cells += [
                f"{100 * rows['top1'].mean():.1f} ± {100 * rows['top1_se'].mean():.1f}" if len(rows) else "",
                f"{100 * rows['knn_top1'].mean():.1f}" if len(rows) else "",
            ]
        lines.append(f"| {encoder} | {layer} | {' | '.join(cells)} |")
    return "\n".join(lines)


def pretraining_table(paths: list[Path]) -> str | None:
    """A row per pretraining: what was learned from what, for how long, and how the loss and the spread went."""
    if not paths:
        return None
    lines = [
        "| record | method | backbone | px | epochs | minutes | loss | spread of embeddings | kNN on clothing96 |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for path in paths:
        record = json.loads(path.read_text(encoding="utf-8"))
        first, last = record["curve"][0], record["curve"][-1]
        knn = [row["knn_top1"] for row in record["curve"] if row.get("knn_top1") is not None]
        lines.append(
            f"| {path.stem} | {record['method']} | {record['backbone']} "
            f"| {record['config']['data']['init_args'].get('image_size', 96)} | {record['epochs']} "
            f"| {record['seconds'] / 60:.0f} | {first['train_loss']:.2f} to {last['train_loss']:.2f} "
            f"| {first['embedding_spread']:.2f} to {last['embedding_spread']:.2f} "
            f"| {f'{100 * knn[0]:.0f} to {100 * knn[-1]:.0f} %' if len(knn) > 1 else ''} |"
        )
    return "\n".join(lines)


def detection_table(frame: pd.DataFrame) -> str | None:
    """A row per backbone and pre-processing, image and pixel AUROC of each detector on each data set."""
    if frame.empty:
        return None
    detectors = [name for name in frame.columns if name.startswith("image_AUROC")]
    lines = [
        f"| backbone | weights | pre-processing | {' | '.join(name.split('| ', 1)[1] for name in detectors)} |",
        "|---" * (3 + len(detectors)) + "|",
    ]
    for row in frame.to_dict("records"):
        cells = []
        for name in detectors:
            pixel = row.get(name.replace("image_", "pixel_", 1))
            both = "" if pd.isna(pixel) else f" / {pixel:.3f}"
            cells.append("" if pd.isna(row[name]) else f"{row[name]:.3f}{both}")
        if any(cells):
            lines.append(f"| {row['backbone']} | {row['weights']} | {row['pre_processing']} | {' | '.join(cells)} |")
    return "\n".join(lines)


def open_ended_table(records: list[Record]) -> str:
    """The runs that had not converged, which other tables leave out; random weights are named so."""
    lines = ["| detector | backbone | data | epochs | image AUROC / pixel AUROC |", "|---|---|---|---|---|"]
    rows = []
    for record in records:
        if not (record.is_finished and record.is_open_ended):
            continue
        is_random = record.experiment.model.init_args.get("pre_trained") is False
        backbone = record.backbone + (", random" if is_random else "")
        scores = " / ".join(f"{record.metrics[name]:.3f}" for name in ("image_AUROC", "pixel_AUROC"))
        rows.append((record.dataset.label, record.model, backbone, record.training.epochs, scores))
    lines += [
        f"| {model} | {backbone} | {data} | {epochs} | {scores} |"
        for data, model, backbone, epochs, scores in sorted(rows)
    ]
    return "\n".join(lines)


def refinement_tables(output: Path) -> dict[str, str | None]:
    """Which strategy finds the defects, and what removing them is worth to a detector."""
    from benchmark.records.archive import load
    from benchmark.tables.leaderboard import build_tables

    archive = load(output)
    frame = build_tables(archive.records, archive.plans).refinement
    if frame.empty:
        return dict.fromkeys(("ranking", "repair", "contrastive"))
    asked = frame.groupby("detector")["strategy"].transform(lambda names: "entropy" in set(names))
    names = (*ASKED, *(f"{name}_in_batch" for name in ASKED), "discrepancy", "consensus", "random")
    return {
        "ranking": score_table(frame[frame["detector"] == "ranking only"], RANKED, with_removed=True),
        "contrastive": score_table(frame[asked], names, with_removed=False),
        "repair": repair_table(frame[~asked & (frame["detector"] != "ranking only")]),
    }


def condition(row: dict) -> str:
    """Share of defects and how often each recurs."""
    copies = f", {row['repeats']:.0f} copies of each" if row["repeats"] > 1 else ""
    return f"{row['contamination_ratio']:.0%}{copies}"


def score_table(frame: pd.DataFrame, strategies: tuple[str, ...], *, with_removed: bool) -> str:
    """AUROC of each strategy's score against what was injected, mean and standard deviation over seeds, best bold."""
    heads = ["data", "defects"] if with_removed else ["detector", "data"]
    heads += [*strategies, *(("removed", "precision", "recall") if with_removed else ())]
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for _, group in frame.groupby(["detector", "dataset", "repeats", "contamination_ratio"]):
        rows = {row["strategy"]: row for row in group.sort_values("n_removed", na_position="first").to_dict("records")}
        first = rows["consensus" if with_removed else "entropy"]
        cells = [first["dataset"], condition(first)] if with_removed else [first["detector"], first["dataset"]]
        cells += [spread(rows[name]["score_auroc"], rows[name]["score_auroc_std"]) for name in strategies]
        if with_removed:
            cells += [f"{first['n_removed']:.1f} of {first['n_train'] + first['n_removed']:.0f}"]
            cells += ["" if pd.isna(first[name]) else f"{first[name]:.2f}" for name in ("precision", "recall")]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def repair_table(frame: pd.DataFrame) -> str:
    """What each strategy gains over training on all images, mean and standard error of the paired differences."""
    from benchmark.tables.refinement_frames import QUALITY

    heads = ("detector", "data", "defects", "metric", "all images", "oracle", "consensus", "of the oracle's")
    heads += tuple(f"{name}, a tenth" for name in RANKED)
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for _, group in frame.groupby(["detector", "dataset", "repeats", "contamination_ratio"]):
        rows = {(row["strategy"], row["rule"].split(",")[0]): row for row in group.to_dict("records")}
        for metric in QUALITY:
            told, found = rows.get(("oracle", "mad")), rows.get(("consensus", "mad"))
            if told is None or found is None or pd.isna(told[metric]):
                continue
            cells = [told["detector"].split(",")[0], told["dataset"], condition(told), metric.replace("_", " ")]
            cells.append(f"{told[metric] - told[f'{metric}_gain']:.3f}")
            asked = [("oracle", "mad"), ("consensus", "mad"), *((name, "fixed_share") for name in RANKED)]
            gains = [
                spread(rows[key][f"{metric}_gain"], rows[key][f"{metric}_gain_se"], sign="+") if key in rows else ""
                for key in asked
            ]
            part = found[f"{metric}_recovered"]
            lines.append(f"| {' | '.join([*cells, *gains[:2], '' if pd.isna(part) else f'{part:.0%}', *gains[2:]])} |")
    return "\n".join(lines)


def spread(mean: float, error: float, *, sign: str = "") -> str:
    """A mean with its spread, blank where nothing was measured."""
    if pd.isna(mean):
        return ""
    return f"{mean:{sign}.3f}" + ("" if pd.isna(error) else f" ± {error:.3f}")


def markdown(frame: pd.DataFrame) -> str:
    """Rows of a leaderboard for a reader: rank, detector, headline metrics, speed, status."""
    heads = ("", "detector", "backbone", "settings", "data", *LABELS, "ms/image", "status")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in frame.to_dict("records"):
        place = row.get("rank_range", row["rank"])
        rank = "" if pd.isna(place) else place if isinstance(place, str) else f"{place:.0f}"
        data = row["dataset"] + (" (synthetic defects)" if row["synthetic"] else "")
        texts = " | ".join(str(row[name]) for name in ("model", "backbone", "settings"))
        latency = "" if pd.isna(row["latency_ms"]) else f"{row['latency_ms']:.0f}"
        lines.append(f"| {rank} | {texts} | {data} | {headline(row)} | {latency} | {row['status']} |")
    return "\n".join(lines)


def short(frame: pd.DataFrame, *, with_backbone: bool = False) -> str:
    """The rows that fit a page: places, detector, data, image AUROC with its interval, errors, pixel AUROC, speed."""
    heads = ("place", "detector", "data", "image AUROC (95 %)", "missed", "false alarms", "pixel AUROC", "ms/image")
    lines = [f"| {' | '.join(heads)} |", "|" + "---|" * len(heads)]
    for row in frame.to_dict("records"):
        cells = (
            "" if pd.isna(row["rank_range"]) else row["rank_range"],
            f"{row['model']}, {row['backbone']}" if with_backbone else row["model"],
            row["dataset"],
            f"{row['image_AUROC']:.3f} ({row['image_AUROC_interval']})",
            row["missed_told"],
            row["false_alarms_told"],
            "" if pd.isna(row["pixel_AUROC"]) else f"{row['pixel_AUROC']:.3f}",
            "" if pd.isna(row["latency_ms"]) else f"{row['latency_ms']:.0f}",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def model_tables(studies: dict[str, pd.DataFrame]) -> dict[str, str | None]:
    """For the README of each model its rows in the studies, backbones of our own left out."""
    frame = pd.concat([rows.assign(study=name) for name, rows in studies.items()])
    frame = frame[~frame["settings"].str.contains(VARIED) & ~frame["backbone"].str.contains("_pool")]
    frame = frame.sort_values(["dataset", "study", "image_AUROC"], ascending=[True, True, False])
    tables: dict[str, str | None] = {}
    for path in sorted((ROOT / "extensions" / "models").glob("*/README.md")):
        lines = [f"| data | backbone | px | settings | {' | '.join(LABELS)} | seeds | record |", "|" + "---|" * 10]
        for row in frame[frame["model"].str.lower() == path.parent.name.replace("_", "")].to_dict("records"):
            seeds = f"{row['n_seeds']}{', not converged' if 'not converged' in row['status'] else ''}"
            texts = (row["dataset"], row["backbone"], str(row["image_size"]), row["settings"])
            lines.append(f"| {' | '.join(texts)} | {headline(row)} | {seeds} | `results/{row['study']}` |")
        tables[path.parent.name] = "\n".join(lines) if len(lines) > 2 else "No record is committed yet."
    return tables


def headline(row: dict) -> str:
    """The four headline metrics as cells, blank where one cannot be computed."""
    return " | ".join("" if pd.isna(row[name]) else f"{row[name]:.3f}" for name in HEADLINE)


def profile_table(folder: Path) -> str | None:
    """A row per stage that takes 1 % of some sweep or more: wall and CPU seconds of each profile in the folder."""
    frames = {path.stem.removeprefix("profile_"): pd.read_csv(path) for path in sorted(folder.glob("profile_*.csv"))}
    if not frames:
        return None
    shown = dict.fromkeys(stage for one in frames.values() for stage in one[one["share"] >= 1]["stage"])
    at = {name: one.set_index("stage") for name, one in frames.items()}
    lines = [[stage, *(_stage_seconds(one, stage) for one in at.values())] for stage in all_last(list(shown))]
    heads = ["stage", *(f"{name}, s (CPU)" for name in at)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in (heads, ["---"] * len(heads), *lines))


def all_last(stages: list[str]) -> list[str]:
    """The stages with the sum of all at the end."""
    return [one for one in stages if one != "all"] + ["all"]


def _stage_seconds(frame: pd.DataFrame, stage: str) -> str:
    if stage not in frame.index:
        return ""
    row = frame.loc[stage]
    return f"{row['seconds']:.1f} ({row['cpu_seconds']:.1f})"


def speed_table(path: Path) -> str | None:
    """The table of `make speed`."""
    from benchmark.speed.speed_table import readme_table

    return readme_table(json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def published_markdown(rows: list[dict]) -> str:
    """Published numbers with their source."""
    lines = ["| detector | backbone | image AUROC | pixel AUROC | source |", "|---|---|---|---|---|"]
    for row in rows:
        values = " | ".join(f"{row[name]:.3f}" if name in row else "" for name in ("image", "pixel"))
        lines.append(f"| {row['model']} | {row.get('backbone', '')} | {values} | [{row['source']}]({row['url']}) |")
    return "\n".join(lines)


def pages() -> list[Path]:
    """Every Markdown file that may hold tables."""
    patterns = ("README.md", "docs/*.md", "results/README.md", "extensions/models/*/README.md")
    return [path for pattern in patterns for path in sorted(ROOT.glob(pattern))]


def filled(text: str, found: dict[str, str | None]) -> str:
    """The text with every table between `<!-- table: NAME -->` and `<!-- end -->` replaced where there is one."""

    def replace(match: re.Match[str]) -> str:
        if found[match[1]] is None:
            return match[0]
        return f"<!-- table: {match[1]} -->\n{found[match[1]]}\n<!-- end -->"

    return re.sub(r"<!-- table: (\w+) -->\n.*?<!-- end -->", replace, text, flags=re.DOTALL)


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    known = tables()
    for path in pages():
        path.write_text(filled(path.read_text(encoding="utf-8"), known), encoding="utf-8")
