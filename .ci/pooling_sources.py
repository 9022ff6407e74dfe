"""Where PatchCore's spread comes from: the seed (start and projection of its coreset), or the training images drawn.

    python .ci/pooling_sources.py --data-root DATA --output results/pooling/sources.csv

DATA holds piped and mtd as in `configs/benchmark/piped.yaml` and `mtd.yaml`. Features are computed once.
Then a bank is selected ten times with ten seeds on the same images, and ten times with one seed on ten draws of images:
25 of the 32 of a paper, or 150 of the 761 of MTD, of whose test set every fourth image is taken.
Minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from lightning import seed_everything
from sklearn.metrics import roc_auc_score

import extensions
from extensions.data.score_pooling import ScorePooling
from extensions.models.common.score_pooling import pooled_scores
from extensions.models.patchcore.coreset import select_coreset
from extensions.runtime.atomic_write import write_whole

PAPERS = ("pa_brg01_rl", "pa_brg03_tl")  # of the others `results/piped` has an AUROC of 1
POOLINGS = ("reweighted", "max", "top_10", "top_100", "top_1%")
ANOMALIB = ("random", True)  # start, projection
VARIED = {"seed": (ANOMALIB, ("random", False), ("center", True)), "images": (ANOMALIB, ("center", False))}
N = 10


@dataclass(frozen=True)
class Patches:
    """Patches (images, positions, channels) of training and test images, and which of the latter are anomalous."""

    train: torch.Tensor
    test: torch.Tensor
    labels: np.ndarray


def patches_of(model: extensions.Patchcore, datamodule: extensions.MVTecAD, *, every: int) -> Patches:
    """Patches of a data set's training images and of every so manyth of its test images."""
    datamodule.setup()
    test = list(range(0, len(datamodule.test_data), every))
    labels = datamodule.test_data.samples["label_index"].to_numpy().astype(int)[test]
    found = [
        _patches(model, split, rows)
        for split, rows in ((datamodule.train_data, range(len(datamodule.train_data))), (datamodule.test_data, test))
    ]
    return Patches(*found, labels)


@torch.no_grad()
def _patches(model: extensions.Patchcore, dataset: object, rows: object) -> torch.Tensor:
    parts = []
    for row in rows:
        seen = model.pre_processor.transform(dataset[row].image[None])
        parts.append(model.model._patches(model.model.feature_extractor(seen)))
    return torch.stack(parts)


@torch.no_grad()
def image_aurocs(model: extensions.Patchcore, bank: torch.Tensor, patches: Patches, size: int) -> dict[str, float]:
    """Image AUROC by pooling, of a bank (M, channels)."""
    network = model.model
    network.memory_bank = bank.contiguous()
    side = int(patches.test.shape[1] ** 0.5)
    scores: dict[str, list[torch.Tensor]] = {name: [] for name in POOLINGS}
    for part in patches.test.split(16):
        rows = part.flatten(0, 1)
        distances, places = (one.reshape(len(part), -1) for one in network.nearest_neighbors(rows, 1))
        maps = network.anomaly_map_generator(distances.reshape(-1, 1, side, side), (size, size))
        scores["reweighted"].append(network.compute_anomaly_score(distances, places, rows))
        for name in POOLINGS[1:]:
            scores[name].append(pooled_scores(maps, ScorePooling.named(name)))
    return {name: roc_auc_score(patches.labels, torch.cat(found)) for name, found in scores.items()}


def spreads(model: extensions.Patchcore, patches: Patches, *, n_drawn: int, size: int, ratio: float) -> Iterator[dict]:
    """Image AUROC for seeds on the first draw of images, and for draws with the first seed."""
    for k in range(N):
        for varied, ways in VARIED.items():
            draw = np.random.default_rng(k if varied == "images" else 0).permutation(len(patches.train))[:n_drawn]
            rows = patches.train[np.sort(draw)].flatten(0, 1)
            for start, projection in ways:
                seed_everything(k if varied == "seed" else 0, verbose=False)
                kept = select_coreset(rows, sampling_ratio=ratio, start=start, projection=projection, progress=False)
                found = image_aurocs(model, rows[kept], patches, size)
                yield {"varied": varied, "k": k, "start": start, "projection": projection, **found}


def main() -> None:
    """Measure, a data set after the other; what is there so far is in the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    model = extensions.Patchcore("resnet18", image_size=224).eval()
    sets = [("piped", paper, 1, 25) for paper in PAPERS] + [("mtd", "", 4, 150)]
    lines: list[dict] = []
    for name, category, every, n_drawn in sets:
        datamodule = extensions.MVTecAD(options.data_root / name, category, name=name, num_workers=0)
        patches = patches_of(model, datamodule, every=every)
        for one in spreads(model, patches, n_drawn=n_drawn, size=224, ratio=0.01):
            lines.append({"data": name, "category": category, **one})
            write_whole(options.output, pd.DataFrame(lines).to_csv(index=False, float_format="%.6f"))


if __name__ == "__main__":
    main()
