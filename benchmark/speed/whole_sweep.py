"""Rows of whole sweeps, from the command to the tables: a grid of 12, and 8 settings over one backbone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import yaml

from benchmark.plan.experiment import constructor_defaults
from benchmark.records.archive import read_records
from benchmark.speed.fit_predict import backbone_arguments, cold_cache
from benchmark.speed.models import SEED, our_padim, our_patchcore
from benchmark.speed.timing import Measurement, largest_difference, not_alike, take_turns

if TYPE_CHECKING:
    from benchmark.speed.bench import Bench

COMPARED = ("image_AUROC", "pixel_AUROC")
PLACES = ("WORKBENCH_WEIGHTS", "WORKBENCH_DATA", "WORKBENCH_CACHE")  # may be relative to this working directory
ROOT = Path(__file__).resolve().parents[2]
Metrics = dict[str, float | None]


def grid(bench: Bench) -> Measurement:
    """PaDiM's and PatchCore's grids in one `benchmark run`, and as two of `anomalib benchmark`."""
    settings, data = bench.settings, bench.images
    coresets: list[dict[str, float]] = []

    def stock() -> Metrics:
        found: Metrics = {}
        for name, model in stock_grids(bench).items():
            metrics, log = run_stock(bench, name, model)
            found |= metrics
            coresets.extend(log)
        return found

    turns = take_turns(lambda: run_ours(bench, our_models(bench)), stock, rounds=1)
    not_measured = sum(entry["all_s"] - entry["measured_s"] for entry in coresets)
    filled = sum(entry["filled_s"] for entry in coresets)
    n_different = sum(int(entry["n_different"]) for entry in coresets)
    return turns.measurement(
        bench.limits.once(len(data.train) + len(data.test)),
        work=f"grid of {len(turns.ours_result) // len(COMPARED)}",
        data=data.description,
        reference_seconds=turns.reference[0] + not_measured - filled,
        reference="anomalib benchmark",
        bound=30,
        agreement=f"{' and '.join(COMPARED)} of every run" + (", indices of stock's centers" if coresets else ""),
        difference=largest_difference(turns.ours_result, turns.reference_result) if not n_different else float("inf"),
        extrapolated=bool(coresets),
        detail=(
            f"from the command to the tables, cold cache; PaDiM with n_features {_list(settings.n_features)}, "
            f"PatchCore with num_neighbors {_list(settings.num_neighbors)} x ratio {_list(settings.ratios)}; "
            "stock as two grids, for it loses the results of a mixed one"
            + (
                f", with {settings.n_centers} centers of each coreset measured and {not_measured:.0f} s added for the "
                f"others; without these {turns.reference[0]:.0f} s"
                if coresets
                else ""
            )
            + not_alike(turns.ours_result, turns.reference_result)
            + (f"; {n_different} of stock's centers are others than ours" if n_different else "")
        ),
    )


def shared_work(bench: Bench) -> Measurement:
    """Four PaDiM and four PatchCore over one backbone, against the slowest of each alone; every sweep starts cold."""
    settings, data = bench.settings, bench.images
    padim, patchcore = our_models(bench)
    patchcore = _with(patchcore, coreset_sampling_ratio=settings.ratios[-1])
    slowest = (
        _with(padim, n_features=settings.n_features[-1]),
        _with(patchcore, num_neighbors=settings.num_neighbors[-1]),
    )
    turns = take_turns(
        lambda: run_ours(bench, [padim, patchcore]),
        lambda: run_ours(bench, slowest[:1]) | run_ours(bench, slowest[1:]),
        rounds=min(2, settings.rounds),
        patience=settings.patience,
    )
    both = {name: value for name, value in turns.ours_result.items() if name in turns.reference_result}
    return turns.measurement(
        bench.limits.once(len(data.train) + len(data.test)),
        work=f"{len(settings.n_features)} PaDiM + {len(settings.num_neighbors)} PatchCore over one backbone",
        data=data.description,
        reference="ours, the slowest PaDiM alone + the slowest PatchCore alone",
        bound=1.5,
        at_most=True,
        agreement=f"{' and '.join(COMPARED)} of a run alone and among others",
        difference=largest_difference(both, turns.reference_result),
        detail="from the command to the tables, each with a cold cache" + not_alike(both, turns.reference_result),
    )


def our_models(bench: Bench) -> list[dict[str, Any]]:
    """The entries of `models` in a benchmark configuration: PaDiM's grid and PatchCore's."""
    settings, shared = bench.settings, backbone_arguments(bench)
    neighbors, ratios = list(settings.num_neighbors), list(settings.ratios)
    return [
        {"class_path": "extensions.Padim", "init_args": shared | {"n_features": {"grid": list(settings.n_features)}}},
        {
            "class_path": "extensions.Patchcore",
            "init_args": shared | {"num_neighbors": {"grid": neighbors}, "coreset_sampling_ratio": {"grid": ratios}},
        },
    ]


def stock_grids(bench: Bench) -> dict[str, dict[str, Any]]:
    """The same two grids as anomalib spells them, with the layers that ours chooses by itself."""
    from extensions.backbones import architecture

    grids = {}
    for entry, ours in zip(our_models(bench), (our_padim(bench.settings), our_patchcore(bench.settings)), strict=True):
        name = entry["class_path"].rsplit(".", 1)[-1]
        axes = {key: value for key, value in entry["init_args"].items() if isinstance(value, dict)}
        fixed = {"backbone": architecture(ours.backbone), "layers": list(ours.layers), "pre_trained": False}
        grids[name] = {"class_path": name, "init_args": fixed | axes}
    return grids


def run_ours(bench: Bench, models: Any) -> Metrics:
    """`benchmark run` in a process of its own with a cold cache; `COMPARED` of each run by its settings.

    Raises:
        RuntimeError: The command failed.
    """
    with tempfile.TemporaryDirectory(prefix="workbench-speed-") as scratch, cold_cache() as environment:
        folder = Path(scratch)
        config = {"models": list(models), "data": [bench.images.spec(bench.settings.n_workers)], "keep": "none"}
        (folder / "speed.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        command = ["benchmark", "run", "--config", str(folder / "speed.yaml"), "--output", str(folder / "output")]
        run_module(command, folder, environment)
        found: Metrics = {}
        for record in read_records(folder / "output"):
            model = record.experiment.model
            label = run_label(record.model, constructor_defaults(model.class_path, "model") | model.init_args)
            found |= {f"{label} {metric}": record.metrics[metric] for metric in COMPARED}
    return found


def run_stock(bench: Bench, name: str, model: dict[str, Any]) -> tuple[Metrics, list[dict[str, float]]]:
    """`anomalib benchmark` in a process of its own; `COMPARED` of each run by its settings, and its capped coresets.

    Raises:
        RuntimeError: It failed.
    """
    import torch

    settings, folder = bench.settings, bench.images.folder
    with tempfile.TemporaryDirectory(prefix="workbench-speed-") as scratch:
        work = Path(scratch)
        arguments = {"root": str(folder.parent), "category": folder.name, "num_workers": settings.n_workers}
        data = {"class_path": "MVTecAD", "init_args": arguments}
        accelerator = "cuda" if torch.cuda.is_available() else "cpu"
        config = {"accelerator": accelerator, "benchmark": {"seed": SEED, "model": model, "data": data}}
        (work / "stock.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        job = {
            "config": str(work / "stock.yaml"),
            "log": str(work / "coresets.json"),
            "backbone": settings.backbone,
            "pre_trained": settings.pre_trained,
            "image_size": settings.image_size,
            "seed": SEED,
            "n_centers": settings.n_centers,
        }
        (work / "job.json").write_text(json.dumps(job), encoding="utf-8")
        run_module(["benchmark.speed.stock_benchmark", str(work / "job.json")], work, dict(os.environ))
        tables = list(work.glob("runs/benchmark/*/results.csv"))
        if not tables:
            msg = f"anomalib benchmark left no results for {name}: {_last_line(work / 'runs' / 'pipeline.log')}"
            raise RuntimeError(msg)
        found: Metrics = {}
        for row in pd.read_csv(tables[0]).to_dict("records"):
            named = {str(key): value for key, value in row.items()}
            given = {key.rsplit(".", 1)[-1]: named[key] for key in named if key.startswith("model.init_args.")}
            label = run_label(name, given)
            found |= {f"{label} {metric}": float(row[metric]) for metric in COMPARED}
        return found, json.loads((work / "coresets.json").read_text(encoding="utf-8"))


def run_label(model: str, arguments: dict[str, Any]) -> str:
    """What tells the runs of a grid apart, equal for both sides."""
    axes = ("n_features", "num_neighbors", "coreset_sampling_ratio")
    return " ".join([model, *(f"{axis}={float(arguments[axis]):g}" for axis in axes if axis in arguments)])


def run_module(command: list[str], folder: Path, environment: dict[str, str]) -> None:
    """Run a module of this checkout; what it prints goes to a file, of which an error tells the last line."""
    path = os.pathsep.join(filter(None, [str(ROOT), environment.get("PYTHONPATH")]))
    log = folder / "printed.txt"
    places = {name: str(Path(environment[name]).resolve()) for name in PLACES if environment.get(name)}
    with log.open("w", encoding="utf-8") as printed:
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=folder,
            env=environment | places | {"PYTHONPATH": path},
            stdout=printed,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        msg = f"{command[0]} ended with exit code {done.returncode}: {_last_line(log)}"
        raise RuntimeError(msg)


def _last_line(path: Path) -> str:
    lines = [line.strip() for line in path.read_text(errors="replace").splitlines() if line.strip()]
    return lines[-1] if lines else "it printed nothing"


def _with(model: dict[str, Any], **arguments: Any) -> dict[str, Any]:
    return model | {"init_args": model["init_args"] | arguments}


def _list(values: tuple[Any, ...]) -> str:
    return "/".join(f"{value:g}" for value in values)
