"""What memory the commands take, and of what: python -m benchmark.speed.memory [--images N] [--output FILE].

Each step is a process of its own, so that none profits from what another left. Packaged images of solar cells are used.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from benchmark.one_run.machine import environment
from benchmark.records.run_files import write_json

IMPORTS = {
    "NumPy": "numpy",
    "torch": "torch",
    "torchvision": "torchvision",
    "torchmetrics": "torchmetrics",
    "Lightning": "lightning.pytorch",
    "anomalib": "anomalib.models, anomalib.data",
    "our models and data": "extensions; extensions.load()",
    "OpenVINO": "openvino",
}
LOOK = """
def look(step):
    rows = [line.split() for line in open("/proc/self/status") if line.startswith(("RssAnon", "RssFile"))]
    print("memory", step, *(1024 * int(row[1]) for row in rows), sep="|", flush=True)
look("Python")
"""
# The child tells its peak itself: what the system tells its parent counts the memory of the parent, too.
RUN = """
import atexit, runpy, sys
def tell():
    row = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))
    print("peak", 1024 * int(row.split()[1]), sep="|", flush=True)
atexit.register(tell)
del sys.argv[0]
runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
"""
DETECTORS = {"Padim": {}, "Patchcore": {"coreset_sampling_ratio": 0.01}}


def measure_memory(output: Path, *, n_images: int = 200, backbone: str = "resnet18", side: int = 224) -> dict[str, Any]:
    """Measure and write the record.

    Args:
        output: The record's file.
        n_images: Of the run, half of them for training.
        backbone: timm name.
        side: Of what the network sees, px.

    Returns:
        The record. `imports`: step, and `anonymous_bytes` and `file_bytes` of the process after it (RssAnon and
        RssFile of /proc/self/status; empty where there is no such file). `commands`: what was done, the highest
        `resident_bytes` of its process (VmHWM; children not counted). n_images, side, backbone, environment.

    Raises:
        RuntimeError: A command failed.
    """
    record: dict[str, Any] = {"n_images": n_images, "side": side, "backbone": backbone, "imports": _imports()}
    commands = record["commands"] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        images = _some_images(folder / "images", n_images)
        for detector, arguments in DETECTORS.items():
            grid = {
                "name": "memory",
                "models": [{"class_path": f"extensions.{detector}", "init_args": {"image_size": side, **arguments}}],
                "backbones": [backbone],
                "data": [
                    {
                        "class_path": "extensions.Elpv",
                        "init_args": {"n_train": n_images // 2, "n_test": n_images - n_images // 2, "num_workers": 0},
                    }
                ],
                "trainer": {"accelerator": "cpu"},
            }
            config, results = folder / f"{detector}.yaml", folder / detector
            config.write_text(yaml.safe_dump(grid), encoding="utf-8")
            run = ["benchmark", "run", "--config", config, "--output", results]
            commands.append(_peak(f"run, {detector}, nothing cached", run, folder))
            commands.append(_peak(f"run, {detector}, all cached", [*run, "--overwrite", "all"], folder))
            model = folder / f"{detector}_model"
            export = ["inference", "export", "--run", "best", "--records", results, "--output", model]
            commands.append(_peak(f"export, {detector}", [*export, "--allow-difference"], folder))
            predict = ["inference", "predict", "--model", model / "model.xml", "--input", images]
            commands.append(_peak(f"predict, {detector}", [*predict, "--output", folder / "predicted"], folder))
    record["environment"] = environment()
    write_json(output, record)
    return record


def _some_images(folder: Path, n: int) -> Path:
    """A folder of `n` of the packaged images."""
    from extensions.data.datamodules.elpv import package_folder

    folder.mkdir()
    for image in sorted(package_folder().rglob("*.png"))[:n]:
        shutil.copy(image, folder)
    return folder


def _imports() -> list[dict[str, Any]]:
    """Memory of a process after each import, one after the other."""
    code = LOOK + "".join(f"import {what}\nlook({step!r})\n" for step, what in IMPORTS.items())
    told = subprocess.run([sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=False)
    rows = [line.split("|") for line in told.stdout.splitlines() if line.startswith("memory|")]
    names = ("anonymous_bytes", "file_bytes")
    return [{"step": row[1], **dict(zip(names, map(int, row[2:]), strict=True))} for row in rows]


def _peak(step: str, command: Sequence[object], folder: Path) -> dict[str, Any]:
    """Run `python -m COMMAND` in a process of its own, with a cache of its own; the most memory it took."""
    variables = {**os.environ, "WORKBENCH_CACHE": str(folder / "cache")}
    told = subprocess.run(
        [sys.executable, "-c", RUN, *map(str, command)], capture_output=True, text=True, env=variables, check=False
    )
    if told.returncode:
        msg = f"{step}: ended with {told.returncode}: {' '.join(told.stderr.split())[-500:]}"
        raise RuntimeError(msg)
    peaks = [line.split("|")[1] for line in told.stdout.splitlines() if line.startswith("peak|")]
    return {"step": step, "resident_bytes": int(peaks[-1]) if peaks else None}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.speed.memory", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/speed/memory.json"), help="the record's file")
    parser.add_argument("--images", type=int, default=200, help="how many images (default: 200)")
    parser.add_argument("--backbone", default="resnet18", help="timm name (default: resnet18)")
    options = parser.parse_args(arguments)
    try:
        record = measure_memory(options.output, n_images=options.images, backbone=options.backbone)
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
