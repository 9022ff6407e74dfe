"""Records and plans as a sweep would leave them, with the numbers a test wants."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.records.record import PROTOCOL_VERSION, Record
from benchmark.records.sweep_plan import SweepPlan
from benchmark.tables.augmentation_frames import augmentation_frame
from benchmark.tables.leaderboard import Frames, build_tables
from benchmark.tables.refinement_frames import rounds_frame

COUNTS = {"n_train": 200, "n_test_normal": 100, "n_test_anomalous": 100, "n_masks": 100, "defect_kinds": {"crack": 100}}
ENVIRONMENT = {"python": "3.11.7", "torch": "2.15.0", "anomalib": "2.7.0", "cpu": "Some CPU", "device": "cpu"}


def digest(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def make_record(
    *,
    model: str = "Patchcore",
    backbone: str = "resnet18",
    settings: str = "",
    dataset: str = "elpv",
    category: str = "mono",
    seed: int = 0,
    status: str = "finished",
    metrics: dict[str, float | None] | None = None,
    latency: float | None = 20.0,
    converged: bool | None = True,
    synthetic: bool = False,
    data_arguments: dict[str, Any] | None = None,
    started: str = "2026-01-01T00:00:00+00:00",
    content: str = "a",
    **changes: Any,
) -> dict[str, Any]:
    arguments = {"backbone": backbone} | dict(part.split("=") for part in settings.split(", ") if "=" in part)
    experiment = {
        "model": {"class_path": f"extensions.{model}", "init_args": arguments},
        "data": {
            "class_path": "extensions.MVTecAD",
            "init_args": {"name": dataset, "category": category} | (data_arguments or {}),
        },
        "trainer": {},
        "seed": seed,
    }
    finished = status == "finished"
    values = {"image_AUROC": 0.9, "image_F1Score": 0.8, "pixel_AUROC": 0.95, "pixel_F1Score": 0.5} | {
        "image_AveragePrecision": 0.91, "image_F1Max": 0.85, "image_F1Floor": 2 / 3, "pixel_AUPRO": 0.8,
        "pixel_AveragePrecision": 0.4, "pixel_F1Max": 0.52, "pixel_F1Floor": 0.04, "pixel_binning_error": 1e-6,
    } | (metrics or {})  # fmt: skip
    key = digest(experiment, content)
    record = {
        "protocol_version": PROTOCOL_VERSION,
        "key": key,
        "experiment_id": digest(experiment),
        "sweep": "test",
        "experiment": experiment,
        "status": status,
        "error": None if finished else {"type": "DatasetError", "message": "broken.png is truncated", "traceback": "…"},
        "model": model,
        "backbone": backbone,
        "layers": ["layer2", "layer3"] if finished else [],
        "settings": settings,
        "weights": {"sha256": "f" * 64, "source": "package some-weights 1.0"} if finished else None,
        "dataset": {"name": dataset, "category": category, "synthetic": synthetic, "sha256": digest(dataset, content)}
        | ({"image_size": [256, 256]} | COUNTS if finished else {})
        | {"k_shot": None, "contamination_ratio": 0.0},
        "metrics": values if finished else {},
        "started": started,
        "seconds": 10.0,
        "environment": dict(ENVIRONMENT),
        "folder": f"runs/{dataset}/{category or 'all'}/{model}-{backbone}/{key}",
    }
    if finished:
        record |= {
            "thresholds": {"image": 1.5, "pixel": 2.5, "source": "maximal F1 on all labelled test images"},
            "training": {"epochs": 1, "max_epochs": 1, "stopped_by": "single pass", "converged": converged, "loss": []},
            "speed": {"fit_seconds": 12.0, "test_seconds": 3.0, "latency_ms": latency, "latency_p95_ms": latency},
            "memory": {"peak_memory_bytes": 1_500_000_000, "model_bytes": 46_000_000},
            "files": {"scores": "scores.csv", "checkpoint": "model.ckpt", "images": []},
        }
    return record | changes


def as_record(content: dict[str, Any] | Record) -> Record:
    """The record that a file of this content holds; its folder is that of `make_record`."""
    if isinstance(content, Record):
        return content
    return Record.model_validate(content | {"folder": Path(content.get("folder", ""))})


def tables_of(records: Sequence[dict[str, Any] | Record], plans: Sequence[Any] = (), **rest: Any) -> Frames:
    """The tables of records and plans of these contents."""
    return build_tables(list(map(as_record, records)), list(map(SweepPlan.model_validate, plans)), **rest)


def rounds_of(records: Iterable[dict[str, Any] | Record]) -> pd.DataFrame:
    """The rounds of records of these contents."""
    return rounds_frame(list(map(as_record, records)))


def augmentation_of(records: Iterable[dict[str, Any] | Record]) -> pd.DataFrame:
    """What augmentations changed, by records of these contents."""
    return augmentation_frame(list(map(as_record, records)))


def make_plan(*records: dict[str, Any], exact: bool = True) -> dict[str, Any]:
    """The plan that asks for what these records answer."""
    entries = []
    for record in records:
        entry = {name: record[name] for name in ("experiment_id", "model", "backbone", "settings")}
        entry |= {"dataset": record["dataset"]["name"], "category": record["dataset"]["category"]}
        entry |= {"seed": str(record["experiment"]["seed"])} | ({"experiment": record["experiment"]} if exact else {})
        entries.append(entry)
    return {"sweep": "test", "command": "python -m benchmark run", "config": "test.yaml", "experiments": entries}


def make_sweep() -> list[dict[str, Any]]:
    """Four models on a real and a synthetic data set with two categories and three seeds each; things went wrong."""
    records = []
    models = {"Patchcore": (0.97, 35.0), "Padim": (0.92, 18.0), "Stfpm": (0.90, 9.0), "Cflow": (0.88, 110.0)}
    for model, (auroc, latency) in models.items():
        for dataset, backbone in [(d, b) for d in ("bottle", "tiles") for b in ("resnet18", "tf_efficientnet_lite0")]:
            for category, seed in [(c, s) for c in ("front", "back") for s in (0, 1, 2)]:
                shift = 0.004 * seed - 0.01 * (category == "back") - 0.03 * (dataset == "tiles")
                lite = backbone.startswith("tf_")
                metrics: dict[str, float | None] = {
                    "image_AUROC": auroc + shift + 0.01 * lite,
                    "image_F1Score": auroc + shift - 0.06,
                    "pixel_AUROC": None if dataset == "bottle" else auroc + shift + 0.015,
                    "pixel_F1Score": None if dataset == "bottle" else auroc + shift - 0.4,
                }
                if dataset == "bottle":
                    metrics |= dict.fromkeys(("pixel_AUPRO", "pixel_F1Max", "pixel_F1Floor", "pixel_AveragePrecision"))
                broken = (model, backbone, category, seed) == ("Cflow", "resnet18", "back", 2)
                records.append(
                    make_record(
                        model=model, backbone=backbone, dataset=dataset, category=category, seed=seed, metrics=metrics,
                        settings="coreset_sampling_ratio=0.01, num_neighbors=9" if model == "Patchcore" else "",
                        latency=latency * (0.6 if lite else 1) + seed, synthetic=dataset == "tiles",
                        status="failed" if broken else "finished",
                        converged=not (model == "Stfpm" and lite and dataset == "tiles"),
                    )
                )  # fmt: skip
    return records


def write(output: Path, records: list[dict[str, Any]], plans: tuple[dict[str, Any], ...] = ()) -> Path:
    """Lay records and plans out as a sweep does."""
    for record in records:
        folder = output / record["folder"]
        folder.mkdir(parents=True, exist_ok=True)
        content = {name: value for name, value in record.items() if name != "folder"}
        (folder / "record.json").write_text(json.dumps(content), encoding="utf-8")
    for number, plan in enumerate(plans):
        (output / "plans").mkdir(parents=True, exist_ok=True)
        (output / "plans" / f"test-{number}.json").write_text(json.dumps(plan), encoding="utf-8")
    return output


def make_refinement(strategy, seed, *, auroc, gain, ratio=0.1, retrain="every", base=0.9, started="2026-01-01"):
    """Record of a refinement of two rounds; by hand, so that what tables make of it can be told beforehand."""
    rounds = [
        {"round": 0, "n_train": 100, "n_removed": 0, "n_injected_removed": 0, "precision": None, "recall": 0.0,
         "score_auroc": auroc, "image_AUROC": base, "pixel_AUROC": None, "pixel_AUPRO": None},
        {"round": 1, "n_train": 90, "n_removed": 10, "n_injected_removed": 8, "precision": 0.8, "recall": 0.8,
         "score_auroc": auroc, "image_AUROC": base + gain, "pixel_AUROC": None, "pixel_AUPRO": None},
    ]  # fmt: skip
    for row in {"never": rounds, "last": rounds[:1]}.get(retrain, []):
        row["image_AUROC"] = None
    return {
        "protocol_version": 1,
        "status": "finished",
        "started": started,
        "key": f"{strategy}{seed}{ratio}{retrain}",
        "experiment_id": f"{strategy}{seed}{ratio}{retrain}",
        "model": "Patchcore",
        "backbone": "resnet18",
        "experiment": {
            "model": {},
            "data": {"init_args": {"contamination_ratio": ratio, "root": f"seed{seed}"}},
            "seed": seed,
            "refinement": {"strategy": strategy, "rule": "mad", **({"retrain": retrain} if retrain != "every" else {})},
        },
        "dataset": {"name": "tiles", "category": "", "contamination_ratio": ratio - seed / 1000},
        "refinement": {"repeats": 1, "rounds": rounds},
    }


PROBE = {
    "data": "shirts", "backbone": "resnet18", "layer": "layer3", "weights": "imagenet", "weights_sha256": "f" * 64,
    "n_features": 256, "n_train": 800, "n_test": 360, "n_classes": 20, "image_size": 96, "C": 1.0, "top1": 0.8,
    "top1_se": 0.021, "top5": 0.95, "knn_top1": 0.7, "chance": 0.05, "seconds": 3.0, "seed": 0, "key": "a",
}  # fmt: skip


def write_probes(output: Path, probes: list[dict[str, Any]], name: str = "probe.csv") -> Path:
    """Lay probes out as `python -m extensions.self_supervised probe` does; what a row leaves out is that of `PROBE`."""
    with (output / name).open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(PROBE), lineterminator="\n")
        writer.writeheader()
        writer.writerows(PROBE | probe for probe in probes)
    return output / name
