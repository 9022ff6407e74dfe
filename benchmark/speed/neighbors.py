"""PatchCore's search of its bank: ours, stock anomalib's and, where it is installed, faiss' flat index, in turns.

python -m benchmark.speed.neighbors --train FOLDER --test FOLDER [FOLDER ...] [--ratio 0.01] [--rounds 3]
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import torch

from benchmark.speed.timing import timed

Search = Callable[[torch.Tensor], tuple[torch.Tensor, torch.Tensor]]


def time_neighbors(queries: torch.Tensor, bank: torch.Tensor, *, rounds: int = 3) -> pd.DataFrame:
    """Time the nearest row of the bank for each query, after one search of a few that builds what is built once.

    Args:
        queries: (n, n_channels) float32.
        bank: (n_rows, n_channels) float32.
        rounds: How often each is timed, in turns; medians are given.

    Returns:
        One row for each of ours, stock, faiss: search, seconds, ratio to stock (higher is faster), largest_error (of up
        to 500 distances, against double precision), n_queries, n_rows, n_threads.
    """
    searches = _searches(bank)
    seconds: dict[str, list[float]] = {name: [] for name in searches}
    found = {name: search(queries[:64]) for name, search in searches.items()}
    for _ in range(rounds):
        for name, search in searches.items():
            found[name], taken = timed(partial(search, queries))
            seconds[name].append(taken)
    some = torch.linspace(0, len(queries) - 1, min(500, len(queries))).long()
    exact = torch.stack([(query.double() - bank.double()).norm(dim=1).min() for query in queries[some]])
    medians = {name: statistics.median(times) for name, times in seconds.items()}
    return pd.DataFrame(
        [
            {
                "search": name,
                "seconds": medians[name],
                "ratio": medians["stock"] / medians[name],
                "largest_error": float((found[name][0][some].double() - exact).abs().max()),
                "n_queries": len(queries),
                "n_rows": len(bank),
                "n_threads": torch.get_num_threads(),
            }
            for name in searches
        ]
    )


def _searches(bank: torch.Tensor) -> dict[str, Search]:
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel

    from extensions.models.patchcore.neighbors import NearestNeighbors

    model = SimpleNamespace(memory_bank=bank, euclidean_dist=PatchcoreModel.euclidean_dist)
    searches: dict[str, Search] = {
        "ours": NearestNeighbors(bank).nearest,
        "stock": lambda queries: PatchcoreModel.nearest_neighbors(model, queries, 1),
    }
    if find_spec("faiss"):
        import faiss  # type: ignore[import-not-found, unused-ignore]

        faiss.omp_set_num_threads(torch.get_num_threads())
        index = faiss.IndexFlatL2(bank.shape[1])
        index.add(bank.numpy())

        def flat(queries: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            squares, indices = index.search(queries.numpy(), 1)
            return torch.from_numpy(squares[:, 0]).clamp_min(0).sqrt(), torch.from_numpy(indices[:, 0])

        searches["faiss"] = flat
    return searches


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line."""
    from benchmark.speed.features import image_embedding
    from benchmark.speed.settings import Settings
    from extensions.data.reading.files import list_images
    from extensions.models.patchcore.coreset import select_coreset

    parser = argparse.ArgumentParser(prog="python -m benchmark.speed.neighbors", description=__doc__.splitlines()[0])
    parser.add_argument("--train", type=Path, required=True, help="folder of images for the bank")
    parser.add_argument("--test", type=Path, required=True, nargs="+", help="folders of images that are scored")
    parser.add_argument("--backbone", default="resnet18", help="timm name (default: resnet18)")
    parser.add_argument("--image-size", type=int, default=224, help="height and width in px (default: 224)")
    parser.add_argument("--ratio", type=float, default=0.01, help="share of patches in the bank (default: 0.01)")
    parser.add_argument("--rounds", type=int, default=3, help="how often each is timed (default: 3)")
    options = parser.parse_args(arguments)
    settings = Settings(backbone=options.backbone, image_size=options.image_size)
    train = image_embedding(list_images(options.train), settings)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        bank = train[select_coreset(train, sampling_ratio=options.ratio)]
    queries = torch.cat([image_embedding(list_images(folder), settings) for folder in options.test])
    sys.stdout.write(time_neighbors(queries, bank, rounds=options.rounds).to_string(index=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
