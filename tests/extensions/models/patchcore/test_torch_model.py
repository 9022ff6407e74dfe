"""PatchCore's faster prediction against anomalib's, step by step."""

import copy
import io

import anomalib.models.image.patchcore.torch_model as stock
import pytest
import torch
from anomalib.models.image.patchcore.anomaly_map import AnomalyMapGenerator as StockMaps

from extensions import Patchcore
from extensions.models.patchcore import torch_model
from extensions.models.patchcore.anomaly_map import AnomalyMapGenerator


@pytest.fixture
def model(bare) -> torch_model.PatchcoreModel:
    network = Patchcore("test_resnet", pre_trained=False, num_neighbors=3, **bare).model.eval()
    network.memory_bank = torch.rand(300, 384, generator=torch.Generator().manual_seed(0))
    return network


@pytest.fixture
def queries() -> torch.Tensor:
    return torch.rand(2100, 384, generator=torch.Generator().manual_seed(1))


def stock_neighbors(model, queries, n_neighbors):
    return stock.PatchcoreModel.nearest_neighbors(model, queries, n_neighbors)


@pytest.mark.parametrize("n_neighbors", [1, 4])
def test_neighbors_are_anomalibs(model, queries, n_neighbors):
    expected, expected_indices = stock_neighbors(model, queries, n_neighbors)
    distances, indices = model.nearest_neighbors(queries, n_neighbors)
    assert distances.shape == expected.shape
    torch.testing.assert_close(distances, expected, atol=1e-5, rtol=1e-5)
    assert torch.equal(indices, expected_indices)


@pytest.mark.parametrize("n_neighbors", [1, 4])
def test_half_precision_keeps_anomalibs_way_in_bounded_chunks(model, queries, n_neighbors, monkeypatch):
    model.half()
    expected = stock_neighbors(model, queries.half(), n_neighbors)
    monkeypatch.setattr(torch_model, "SCRATCH_BYTES", 2 * 300 * 2 * 1024)
    found = model.nearest_neighbors(queries.half(), n_neighbors)
    assert torch.equal(found[0], expected[0])
    assert torch.equal(found[1], expected[1])


def test_a_changed_bank_is_searched_anew(model, queries):
    model.nearest_neighbors(queries, 1)
    model.memory_bank[7] = queries[5]
    assert model.nearest_neighbors(queries, 1)[1][5] == 7
    model.memory_bank = queries[5:6].clone()
    assert model.nearest_neighbors(queries, 1)[0][5] == 0
    model.load_state_dict(model.state_dict() | {"memory_bank": queries[9:13].clone()})
    assert model.nearest_neighbors(queries, 1)[1][11] == 2  # a searched bank can be resized, too


def test_a_bank_made_in_inference_mode_is_searched(model, queries):
    with torch.inference_mode():
        model.memory_bank = queries[:20] + 1
        distances, _ = model.nearest_neighbors(queries, 1)
        expected, _ = stock_neighbors(model, queries, 1)
    torch.testing.assert_close(distances, expected, atol=1e-5, rtol=1e-5)


def test_a_copy_holds_the_bank_once_and_searches_its_own(model, queries):
    model.nearest_neighbors(queries, 1)
    twin = copy.deepcopy(model)
    twin.memory_bank[3] = queries[2]
    assert twin.nearest_neighbors(queries, 1)[1][2] == 3
    assert model.nearest_neighbors(queries, 1)[1][2] != 3
    file = io.BytesIO()
    torch.save(model.memory_bank, file)
    bank_bytes = file.tell()
    whole, empty = io.BytesIO(), io.BytesIO()
    torch.save(model, whole)
    model.memory_bank = model.memory_bank[:0].clone()
    torch.save(model, empty)
    assert whole.tell() - empty.tell() < 1.1 * bank_bytes


def test_one_patch_that_is_in_the_bank_has_its_neighbors_around_itself(model):
    own = model.memory_bank[[5, 8]]
    distances, indices = model.nearest_neighbors(own, 3)
    assert indices[:, 0].tolist() == [5, 8]
    assert distances[:, 0].tolist() == [0, 0]


@pytest.mark.parametrize(
    ("patches", "pixels"), [((28, 28), (224, 224)), ((32, 32), (256, 256)), ((9, 14), (70, 111)), ((20, 24), None)]
)
def test_maps_are_anomalibs(patches, pixels):
    scores = 30 * torch.rand(3, 1, *patches, generator=torch.Generator().manual_seed(0))
    expected = StockMaps()(scores, pixels)
    found = AnomalyMapGenerator()(scores, pixels)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_maps_follow_the_size_and_the_kernel_of_the_moment():
    maps, expected = AnomalyMapGenerator(sigma=4), StockMaps(sigma=4)
    scores = torch.rand(1, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    for pixels in ((224, 224), (112, 224), (224, 224)):
        torch.testing.assert_close(maps(scores, pixels), expected(scores, pixels), atol=1e-5, rtol=1e-5)
    for generator in (maps, expected):
        generator.blur.load_state_dict({"kernel": torch.ones_like(expected.blur.kernel) / 33**2})
    torch.testing.assert_close(maps(scores, (224, 224)), expected(scores, (224, 224)), atol=1e-5, rtol=1e-5)


def test_maps_in_half_precision_are_anomalibs():
    scores = torch.rand(2, 1, 28, 28, generator=torch.Generator().manual_seed(0)).half()
    assert torch.equal(AnomalyMapGenerator().half()(scores, (64, 64)), StockMaps().half()(scores, (64, 64)))
