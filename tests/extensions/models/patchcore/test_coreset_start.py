"""Where a greedy coreset begins, and which distances it measures."""

import numpy as np
import pytest
import torch
from lightning import seed_everything

import extensions
from extensions.models.patchcore.coreset import select_coreset
from extensions.models.patchcore.coreset_start import start_by_mean

PATCHES = torch.from_numpy(np.random.default_rng(0).normal(size=(700, 12)).astype(np.float32))
EXACT = {"sampling_ratio": 0.05, "projection": False, "progress": False}


def slow_farthest_first(patches: torch.Tensor, n: int, first: int) -> list[int]:
    chosen = [first]
    while len(chosen) < n:
        distances = torch.cdist(patches.double(), patches[chosen].double()).amin(dim=1)
        chosen.append(int(distances.argmax()))
    return chosen


@pytest.mark.parametrize("start", ["center", "farthest"])
def test_selection_starts_by_the_mean_and_goes_on_by_distances_as_they_are(start):
    away = (PATCHES.double() - PATCHES.double().mean(dim=0)).norm(dim=1)
    first = int(away.argmin() if start == "center" else away.argmax())
    seed_everything(0)
    expected = slow_farthest_first(PATCHES, 35, first)
    for seed in (0, 1):
        seed_everything(seed)
        assert select_coreset(PATCHES, start=start, **EXACT).tolist() == expected
    half = select_coreset(PATCHES, start=start, **(EXACT | {"sampling_ratio": 0.02}))
    assert half.tolist() == expected[:14]


def test_neither_seed_nor_order_of_the_images_changes_which_patches_are_kept():
    order = torch.randperm(len(PATCHES), generator=torch.Generator().manual_seed(0))
    kept = select_coreset(PATCHES, start="center", **EXACT)
    assert torch.equal(PATCHES[kept], PATCHES[order][select_coreset(PATCHES[order], start="center", **EXACT)])


def test_a_random_start_without_projection_is_the_seed_s():
    found = []
    for seed in (0, 0, 1):
        seed_everything(seed)
        found.append(select_coreset(PATCHES, **EXACT).tolist())
    assert found[0] == found[1] != found[2]
    assert found[2] == slow_farthest_first(PATCHES, 35, found[2][0])


def test_with_a_projection_the_seed_still_decides_all_but_the_start():
    found = []
    for seed in (0, 1):
        seed_everything(seed)
        found.append(select_coreset(PATCHES, sampling_ratio=0.05, start="center", progress=False).tolist())
    assert found[0][0] == found[1][0] == start_by_mean(PATCHES, "center")
    assert found[0] != found[1]


def test_only_dense_patches_are_started_from_where_only_these_are_kept():
    seed_everything(0)
    outlier = torch.cat([PATCHES, torch.full((1, 12), 1000.0)])
    assert 700 in select_coreset(outlier, start="farthest", **EXACT)
    assert 700 not in select_coreset(outlier, method="density", start="farthest", **EXACT)


def test_the_start_does_not_depend_on_chunks(monkeypatch):
    expected = [start_by_mean(PATCHES, start) for start in ("center", "farthest")]
    monkeypatch.setattr("extensions.models.patchcore.coreset_start.CHUNK_ROWS", 64)
    assert [start_by_mean(PATCHES, start) for start in ("center", "farthest")] == expected
    rows = torch.arange(100, 200)
    assert start_by_mean(PATCHES, "center", rows=rows) == start_by_mean(PATCHES[100:200], "center")


def test_wrong_starts_and_what_is_not_greedy_are_refused():
    small = {"backbone": "test_resnet", "pre_trained": False, "image_size": 32}
    with pytest.raises(ValueError, match="coreset_start is 'first'; expected one of random, center, farthest"):
        extensions.Patchcore(**small, coreset_start="first")
    with pytest.raises(ValueError, match="of a greedy or density coreset, and coreset is 'kmeans': leave them out"):
        extensions.Patchcore(**small, coreset="kmeans", coreset_projection=False)


def test_banks_of_a_cache_are_not_mixed_up(tiny_folder, engine, bare, tmp_path, monkeypatch):
    from extensions.cache import open_cache
    from extensions.models.common.cached_run import CachedRun

    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path))
    banks = {}
    for start, projection in (("random", True), ("center", True), ("center", False), ("random", True)):
        seed_everything(0)
        model = extensions.Patchcore(
            "test_resnet", pre_trained=False, image_size=64, coreset_sampling_ratio=0.2, coreset_start=start,
            coreset_projection=projection, **bare
        )  # fmt: skip
        datamodule = tiny_folder()
        datamodule.setup()
        cached = CachedRun(open_cache(), datamodule, model)
        cached.prepare("train")
        model.feature_source = cached.source
        engine(callbacks=cached.callbacks).fit(model, datamodule=cached.datamodule())
        banks.setdefault((start, projection), []).append(model.model.memory_bank.clone())
    first, again = banks["random", True]
    assert torch.equal(first, again)
    assert not torch.equal(first, banks["center", True][0])
    assert not torch.equal(banks["center", True][0], banks["center", False][0])
