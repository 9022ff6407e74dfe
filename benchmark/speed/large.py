"""One PatchCore run on thousands of images: python -m benchmark.speed.large [--images N] [--output DIR].

Made-up images of 256 px go through a recorded run like those of any data set, with the training patches in a file.
A run that was stopped goes on: images and features that are there stay, the coreset from its last minute on.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmark.records.run_files import write_json
from extensions.runtime.progress import progress_bar

SIDE = 256  # px
N_TEST = 20  # good ones, and as many bad ones
INTERVAL = 0.05  # s between two looks at memory
SAVE_EVERY = 5.0  # s between two notes of it


def run_large(
    output: Path,
    *,
    n_images: int = 7000,
    ratio: float = 0.01,
    backbone: str = "resnet18",
    side: int = SIDE,
    max_memory_bytes: int = 2**30,
    pre_trained: bool = True,
    keep: bool = False,
) -> dict[str, Any]:
    """Fit PatchCore on made-up images and test it on a few; write `large-<images>.json`.

    Args:
        output: Folder of the record and, in `large-<images>` until it is written, of images, cache and run.
        n_images: Training images.
        ratio: Share of patches in the bank.
        backbone: timm name.
        side: Of the images, px.
        max_memory_bytes: Limit for the training patches in memory, see `extensions.Patchcore`.
        pre_trained: Whether the backbone's weights are loaded.
        keep: Leave the folder.

    Returns:
        The record: n_images, side, ratio, backbone, n_centers, n_channels, max_memory_bytes; seconds, of all
        processes that worked on it; fit_seconds and test_seconds of the process that finished; anonymous_bytes, the
        highest RssAnon of /proc/self/status in all of them (None where there is no such file); disk_bytes, the most
        that was taken on the disk; n_runs, processes; image_AUROC, pixel_AUROC; environment.

    Raises:
        ValueError: The folder is of another experiment.
        RuntimeError: The run failed; the message is its record's.
        OSError: The disk is full.
    """
    from benchmark.one_run.options import RunOptions
    from benchmark.one_run.runner import run_experiment
    from benchmark.plan.experiment import Experiment
    from benchmark.speed.fit_predict import cache_in

    facts = {
        "n_images": n_images,
        "side": side,
        "ratio": ratio,
        "backbone": backbone,
        "max_memory_bytes": max_memory_bytes,
    }
    folder = output / f"large-{n_images}"
    with _Watch(folder, facts) as watch, cache_in(folder / "cache"):
        draw_images(folder / "images", n_images, side=side)
        experiment = Experiment(
            model={
                "class_path": "extensions.Patchcore",
                "init_args": {
                    "backbone": backbone,
                    "pre_trained": pre_trained,
                    "image_size": side,
                    "coreset_sampling_ratio": ratio,
                    "max_memory_bytes": max_memory_bytes,
                },
            },
            data={
                "class_path": "extensions.Folder",
                "init_args": {
                    "name": "made-up parts",
                    "root": str((folder / "images").absolute()),
                    "normal_dir": "train",
                    "normal_test_dir": "good",
                    "abnormal_dir": "bad",
                    "mask_dir": "masks",
                },
            },
        )
        run = run_experiment(experiment, folder / "run", options=RunOptions(overwrite="failed"))
        if run is None:
            msg = f"{folder}: another process is at work there"
            raise RuntimeError(msg)
        if run.error is not None:
            raise RuntimeError(run.error.message)
        n_centers, n_channels = _bank_shape(folder / "run")
    record = facts | {
        "n_centers": n_centers,
        "n_channels": n_channels,
        "seconds": watch.state["seconds"],
        "fit_seconds": run.speed.fit_seconds,
        "test_seconds": run.speed.test_seconds,
        "anonymous_bytes": watch.state["anonymous_bytes"],
        "disk_bytes": watch.state["disk_bytes"],
        "n_runs": watch.state["n_runs"],
        "reused": run.reused.on_disk(),
        "image_AUROC": run.metrics["image_AUROC"],
        "pixel_AUROC": run.metrics["pixel_AUROC"],
        "environment": run.environment,
    }
    write_json(output / f"large-{n_images}.json", record)
    if not keep:
        shutil.rmtree(folder)
    return record


def draw_images(folder: Path, n_train: int, *, side: int) -> None:
    """Draw good images of `side` px to `train` and `good`, bad ones to `bad` with `masks`; those there are left."""
    for name in ("train", "good", "bad", "masks"):
        (folder / name).mkdir(parents=True, exist_ok=True)

    def draw(number: int) -> None:
        path = folder / ("train" if number < n_train else "good") / f"{number:06}.png"
        if not path.exists():
            _write(path, draw_part(number, side=side))

    def draw_bad(number: int) -> None:
        from extensions.data.synthetic.defects import draw_defect

        path = folder / "bad" / f"{number:06}.png"
        if not path.exists():
            part, source = (draw_part(n, side=side) for n in (number, number + N_TEST))
            defect = draw_defect(part, source, np.random.default_rng(number))
            _write(folder / "masks" / path.name, defect.mask.astype(np.uint8) * 255)
            _write(path, defect.image)

    n_good = n_train + N_TEST
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(progress_bar(pool.map(draw, range(n_good)), total=n_good, title="drawing images", unit="image"))
        list(pool.map(draw_bad, range(n_good, n_good + N_TEST)))


def draw_part(number: int, *, side: int) -> np.ndarray:
    """A turned disc with grooves and holes in uneven light, (side, side, 3) uint8; each number is another image."""
    rng = np.random.default_rng([side, number])
    y, x = np.mgrid[0:side, 0:side].astype(np.float32) / side - 0.5
    dx, dy = x - rng.normal(0, 0.01), y - rng.normal(0, 0.01)
    radius, angle = np.hypot(dx, dy), np.arctan2(dy, dx) - rng.uniform(0, 2 * np.pi)
    disc = radius < rng.normal(0.38, 0.004)
    grooves = 12 * np.sin(radius * rng.normal(160, 4)) + 6 * np.sin(3 * angle + 20 * radius)
    holes = (np.abs(radius - 0.26) < 0.035) & (np.cos(6 * angle) > 0.8)
    tone = np.where(holes, 50, np.where(disc, 140 + grooves, 215))
    cloud = cv2.resize(rng.normal(0, 5, (6, 6)).astype(np.float32), (side, side), interpolation=cv2.INTER_CUBIC)
    light = 1 + rng.normal(0, 0.08) * x + rng.normal(0, 0.08) * y
    image = (tone * light + cloud)[..., None] * rng.normal((1, 0.97, 0.9), 0.005)
    image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), rng.uniform(0.5, 0.9))
    return np.clip(image + rng.normal(0, 3, image.shape), 0, 255).astype(np.uint8)


def _write(path: Path, pixels: np.ndarray) -> None:
    from PIL import Image

    unfinished = path.with_name(f".{path.name}")
    Image.fromarray(pixels).save(unfinished, format="PNG")
    unfinished.replace(path)


def _bank_shape(run: Path) -> tuple[int, int]:
    import torch

    (checkpoint,) = run.rglob("model.ckpt")
    bank = torch.load(checkpoint, map_location="meta", weights_only=True)["state_dict"]["model.memory_bank"]
    return bank.shape[0], bank.shape[1]


class _Watch:
    """Notes in the folder how long its processes worked and how much memory and disk they took; Linux only for memory.

    Attributes:
        state: seconds, anonymous_bytes, disk_bytes, n_runs.
    """

    def __init__(self, folder: Path, experiment: dict[str, Any]) -> None:
        self._path = folder / "state.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.state: dict[str, Any] = {
            "experiment": experiment,
            "seconds": 0.0,
            "anonymous_bytes": None,
            "disk_bytes": 0,
            "free_bytes": shutil.disk_usage(folder).free,  # before the first of them
            "n_runs": 0,
        }
        if self._path.exists():
            self.state = json.loads(self._path.read_text(encoding="utf-8"))
        if self.state["experiment"] != experiment:
            msg = f"{folder}: it is of {self.state['experiment']}, this run is of {experiment}; delete the folder"
            raise ValueError(msg)

    def __enter__(self) -> _Watch:
        """Start looking."""
        self.state["n_runs"] += 1
        self._before = self.state["seconds"]
        self._started = time.perf_counter()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join()
        self._note()

    def _look(self) -> None:
        status = Path("/proc/self/status")
        noted = 0.0
        while True:
            if status.exists():
                line = next(line for line in status.read_text().splitlines() if line.startswith("RssAnon"))
                self.state["anonymous_bytes"] = max(self.state["anonymous_bytes"] or 0, 1024 * int(line.split()[1]))
            if time.perf_counter() - noted > SAVE_EVERY:
                self._note()
                noted = time.perf_counter()
            if self._stop.wait(INTERVAL):
                return

    def _note(self) -> None:
        self.state["seconds"] = self._before + time.perf_counter() - self._started
        taken = self.state["free_bytes"] - shutil.disk_usage(self._path.parent).free
        self.state["disk_bytes"] = max(self.state["disk_bytes"], taken)
        write_json(self._path, self.state)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.speed.large", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/speed"), help="folder of record and files")
    parser.add_argument("--images", type=int, default=7000, help="how many images (default: 7000)")
    parser.add_argument("--ratio", type=float, default=0.01, help="share of patches in the bank (default: 0.01)")
    parser.add_argument("--keep", action="store_true", help="leave the files when the record is written")
    options = parser.parse_args(arguments)
    try:
        record = run_large(options.output, n_images=options.images, ratio=options.ratio, keep=options.keep)
    except (OSError, RuntimeError, ValueError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
