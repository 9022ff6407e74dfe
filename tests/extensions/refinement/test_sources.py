"""Where evidence comes from: what was worked out of all images serves every round."""

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from extensions.refinement import patch_neighbors
from extensions.refinement.sources import Sources
from extensions.refinement.strategies import STRATEGIES
from extensions.refinement.training_features import TrainingFeatures

N = 24


@pytest.fixture
def sources():
    names = [f"{number:02}.png" for number in reversed(range(N))]
    patches = np.random.default_rng(0).normal(size=(N, 16, 8)).astype(np.float32)
    samples = pd.DataFrame({"image_path": names})
    datamodule = SimpleNamespace(train_data=SimpleNamespace(samples=samples), relative=str)
    return Sources(TrainingFeatures(names, names, patches, (4, 4), 0), datamodule)


def test_patch_neighbors_are_found_once_for_all_rounds(sources, monkeypatch):
    found = []
    whole = patch_neighbors._nearest
    monkeypatch.setattr(patch_neighbors, "_nearest", lambda *given: found.append(1) or whole(*given))
    kept = np.arange(N)
    for number in range(3):
        scores = STRATEGIES["consensus"](sources(kept, None, np.random.default_rng(number)))
        kept = np.delete(kept, scores.argmax())
    assert len(found) == 2  # of the sample, and of all patches


def test_a_later_round_sees_only_the_images_that_are_left(sources):
    kept = np.arange(0, N, 2)
    evidence = sources(kept, None, np.random.default_rng(0))
    assert evidence.names == [f"{number:02}.png" for number in range(N - 1, 0, -2)]
    assert STRATEGIES["patch_neighbors"](evidence).shape == (len(kept),)
    assert (
        STRATEGIES["patch_neighbors"](evidence).mean()
        > STRATEGIES["patch_neighbors"](sources(np.arange(N), None, np.random.default_rng(0)))[kept].mean()
    ), "with fewer images the sixth nearest is farther"
