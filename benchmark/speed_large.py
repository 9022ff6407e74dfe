"""PatchCore's bank of a large data set in little memory: python -m benchmark.speed_large [--pictures N] [--output DIR].

Made-up pictures of 256 px (32 x 32 patches of 384 channels) go through what a fit does after the network: the patches
are written to a file, projected, the coreset is selected, the bank is gathered. Everything large is mapped from disk.
A run that was stopped goes on: features and projection after the last block, then stage by stage.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from benchmark.machine import environment
from benchmark.store import write_json

SIDE = 32
N_CHANNELS = 384
BLOCK = 16  # pictures written at once
INTERVAL = 0.05  # s


def run_large(
    output: Path,
    *,
    n_pictures: int = 7000,
    ratio: float = 0.01,
    side: int = SIDE,
    n_channels: int = N_CHANNELS,
    seed: int = 0,
    keep: bool = False,
) -> dict[str, Any]:
    """Build the bank of made-up pictures from files; write `large-<pictures>.json`.

    Args:
        output: Folder of the record and, in `large-<pictures>`, of the files until the record is written.
        n_pictures: Pictures to make up.
        ratio: Share of patches in the bank.
        side: Patches along each side of a picture.
        n_channels: Channels of a patch.
        seed: Of features, projection and first center.
        keep: Leave the files, `bank.npy` among them.

    Returns:
        The record: n_pictures, n_patches, n_channels, n_projected, n_centers, seconds (of each stage, and total;
        those of a stopped run included up to its last finished block), disk_bytes, anonymous_bytes (the highest
        RssAnon in /proc/self/status of all runs; None where there is no such file), n_runs, environment.

    Raises:
        ValueError: The files in the folder are of another experiment.
        OSError: The disk has too little space.
    """
    work = _Work(output / f"large-{n_pictures}", n_pictures=n_pictures, side=side, n_channels=n_channels, seed=seed)
    n_patches = n_pictures * side**2
    projection = _projection(n_patches, n_channels, seed)
    disk_bytes = 4 * n_patches * (n_channels + len(projection))
    work.require(disk_bytes)
    with AnonymousPeak() as memory:
        work.watch(memory)
        product = MadeUpProduct(seed, side=side, n_channels=n_channels)
        features = work.fill("features", n_channels, product.pictures)
        projected = work.fill(
            "projection",
            len(projection),
            lambda start, stop: features[start * side**2 : stop * side**2] @ projection.T,
        )
        selected = work.once("selection", lambda: _select(projected, int(n_patches * ratio), seed))
        bank = work.once("bank", lambda: np.asarray(features[selected]))
    seconds = work.state["seconds"]
    record = {
        "n_pictures": n_pictures,
        "n_patches": n_patches,
        "n_channels": n_channels,
        "n_projected": len(projection),
        "n_centers": len(bank),
        "ratio": ratio,
        "seed": seed,
        "seconds": {**seconds, "total": sum(seconds.values())},
        "disk_bytes": disk_bytes,
        "anonymous_bytes": work.state["anonymous_bytes"],
        "n_runs": work.state["n_runs"],
        "environment": environment(),
    }
    write_json(output / f"large-{n_pictures}.json", record)
    if not keep:
        shutil.rmtree(work.folder)
    return record


class MadeUpProduct:
    """Patches like `made_up_embedding`'s, picture by picture: the same however they are cut into blocks.

    Args:
        seed: Another seed, another product.
        side: Patches along each side of a picture.
        n_channels: Channels of a patch.
    """

    def __init__(self, seed: int, *, side: int, n_channels: int) -> None:
        rng = np.random.default_rng(seed)
        n_latent = 24
        waves = rng.normal(size=(2, n_latent)) * 3
        places = np.mgrid[0:side, 0:side].reshape(2, -1).T / side  # (side², 2)
        self.place = np.sin(places @ waves * 2 + rng.uniform(0, 6, n_latent)).astype(np.float32)
        self.mixing = (rng.normal(size=(n_latent, n_channels)) / np.sqrt(n_latent)).astype(np.float32)
        self.seed = seed

    def pictures(self, start: int, stop: int) -> np.ndarray:
        """Patches of the pictures from start up to stop, ((stop - start) * side², n_channels) float32."""
        return np.concatenate([self._picture(number) for number in range(start, stop)])

    def _picture(self, number: int) -> np.ndarray:
        rng = np.random.default_rng([self.seed, number])
        shape = self.place.shape
        spread = 0.1 * rng.standard_exponential((len(self.place), 1), dtype=np.float32)
        shift = 0.15 * rng.standard_normal((1, shape[1]), dtype=np.float32)
        latent = self.place + shift + spread * rng.standard_normal(shape, dtype=np.float32)
        patches = latent @ self.mixing
        patches += 0.05 * rng.standard_normal(patches.shape, dtype=np.float32)
        return np.maximum(patches, 0, out=patches)


class AnonymousPeak:
    """Samples this process's anonymous memory while the block runs: what no file backs. Linux only, else None."""

    peak_bytes: int | None = None

    def __enter__(self) -> AnonymousPeak:
        """Start sampling."""
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop sampling."""
        self._stop.set()
        self._thread.join()

    def _sample(self) -> None:
        status = Path("/proc/self/status")
        while status.exists():
            (kilobytes,) = (line.split()[1] for line in status.read_text().splitlines() if line.startswith("RssAnon"))
            self.peak_bytes = max(self.peak_bytes or 0, 1024 * int(kilobytes))
            if self._stop.wait(INTERVAL):
                return


class _Work:
    """The folder of a run: what is done, how long it took, and the files."""

    def __init__(self, folder: Path, **experiment: int) -> None:
        self.folder = folder
        self.n_pictures = experiment["n_pictures"]
        self.n_patches = experiment["side"] ** 2  # of a picture
        self._memory: AnonymousPeak | None = None
        new: dict[str, Any] = {
            "experiment": experiment,
            "done": {},
            "seconds": {},
            "anonymous_bytes": None,
            "n_runs": 0,
        }
        path = folder / "state.json"
        self.state: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else new
        if self.state["experiment"] != experiment:
            msg = (
                f"{folder}: the files are of {self.state['experiment']}, this run is of {experiment}; delete the folder"
            )
            raise ValueError(msg)
        self.state["n_runs"] += 1

    def require(self, disk_bytes: int) -> None:
        """Make the folder; OSError when what is still to be written does not fit on its disk."""
        self.folder.mkdir(parents=True, exist_ok=True)
        missing = disk_bytes - sum(path.stat().st_size for path in self.folder.glob("*.f32"))
        free = shutil.disk_usage(self.folder).free
        if missing > free:
            msg = (
                f"{self.folder}: the run needs {missing / 1e9:.1f} GB more of disk, but {free / 1e9:.1f} GB are free; "
                "make space or give another folder by --output"
            )
            raise OSError(msg)

    def watch(self, memory: AnonymousPeak) -> None:
        """Keep this peak with the state."""
        self._memory = memory

    def fill(self, stage: str, n_columns: int, block: Callable[[int, int], np.ndarray]) -> np.memmap:
        """Write a matrix block of pictures by block of pictures, from where an earlier run stopped, and map it."""
        path = self.folder / f"{stage}.f32"
        done = self.state["done"].get(stage, 0)
        path.touch()
        with path.open("r+b") as file, tqdm(total=self.n_pictures, initial=done, desc=stage, delay=2) as bar:
            file.truncate(done * self.n_patches * n_columns * 4)
            file.seek(0, 2)
            while done < self.n_pictures:
                start, stop = time.perf_counter(), min(done + BLOCK, self.n_pictures)
                np.ascontiguousarray(block(done, stop), np.float32).tofile(file)
                file.flush()
                bar.update(stop - done)
                done = stop
                self._save(stage, done, time.perf_counter() - start)
        return np.memmap(path, np.float32, mode="r+", shape=(self.n_pictures * self.n_patches, n_columns))

    def once(self, stage: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Compute an array, unless an earlier run did."""
        path = self.folder / f"{stage}.npy"
        if stage not in self.state["done"]:
            start = time.perf_counter()
            np.save(path, compute())
            self._save(stage, 1, time.perf_counter() - start)
        return np.load(path)

    def _save(self, stage: str, done: int, seconds: float) -> None:
        self.state["done"][stage] = done
        self.state["seconds"][stage] = self.state["seconds"].get(stage, 0.0) + seconds
        peaks = (self.state["anonymous_bytes"], self._memory.peak_bytes if self._memory else None)
        self.state["anonymous_bytes"] = max((peak for peak in peaks if peak is not None), default=None)
        write_json(self.folder / "state.json", self.state)


def _projection(n_patches: int, n_channels: int, seed: int) -> np.ndarray:
    """The matrix that PatchCore's coreset projects with, (n_projected, n_channels) float32."""
    from anomalib.models.components import SparseRandomProjection

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # A generator: a number would draw the same channels for every row.
        sampler = SparseRandomProjection(eps=0.9, random_state=np.random.RandomState(seed))
        sampler.fit(torch.empty(1).expand(n_patches, n_channels))
    return sampler.sparse_random_matrix.numpy()


def _select(projected: np.ndarray, n_centers: int, seed: int) -> np.ndarray:
    from extensions.models.patchcore.coreset import greedy_k_center

    first = int(np.random.default_rng(seed).integers(len(projected)))
    return greedy_k_center(projected, n_centers, first, progress=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmark.speed_large", description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=Path, default=Path("output/speed"), help="folder of record and files")
    parser.add_argument("--pictures", type=int, default=7000, help="how many pictures (default: 7000)")
    parser.add_argument("--ratio", type=float, default=0.01, help="share of patches in the bank (default: 0.01)")
    parser.add_argument("--keep", action="store_true", help="leave the files when the record is written")
    options = parser.parse_args(arguments)
    try:
        record = run_large(options.output, n_pictures=options.pictures, ratio=options.ratio, keep=options.keep)
    except (OSError, ValueError) as error:
        sys.stderr.write(f"error: {' '.join(str(error).split())}\n")
        return 1
    sys.stdout.write(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
