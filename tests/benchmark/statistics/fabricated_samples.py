import numpy as np

from benchmark.metrics.folds import stratified_folds
from benchmark.statistics.sample import Sample


def made_sample(
    *,
    n_good: int,
    n_defective: int,
    shift: float = 1.5,
    n_seeds: int = 1,
    name: str = "part",
    seed: int = 0,
    noise: float = 0.3,
) -> Sample:
    """Normal scores, those of defective images shifted; seeds add noise to the same images."""
    rng = np.random.default_rng(seed)
    labels = np.repeat([0, 1], [n_good, n_defective])
    ids = tuple(f"{name}/{i:03d}.png" for i in range(len(labels)))
    base = rng.normal(size=len(labels)) + shift * labels
    scores = base + noise * rng.normal(size=(n_seeds, len(labels)))
    return Sample(labels=labels, scores=scores, folds=stratified_folds(labels, seed=0, ids=ids), ids=ids)
