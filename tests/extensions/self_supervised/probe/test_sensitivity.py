"""How far features move: distances and ratios of known features, the changes of images, and the command's table."""

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from PIL import Image

from extensions.self_supervised.__main__ import main
from extensions.self_supervised.probe.sensitivity import change_images, movement, ratio


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images") / "good"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for index in range(4):
        Image.fromarray(rng.integers(60, 200, (80, 80, 3), dtype=np.uint8)).save(folder / f"{index}.png")
    return folder


def test_a_changed_image_differs_under_its_mask_alone(folder):
    paths = sorted(folder.iterdir())
    changed = change_images(paths, image_size=64, n=3, largest=0.02, seed=1)
    assert changed.images.shape == (3, 3, 64, 64)
    differs = (changed.images != changed.defective).any(dim=1, keepdim=True)
    assert torch.equal(differs, changed.masks)
    shares = changed.masks.float().mean(dim=(1, 2, 3))
    assert (shares > 0).all()
    assert (shares <= 0.02).all()
    again = change_images(paths, image_size=64, n=3, largest=0.02, seed=1)
    assert torch.equal(changed.defective, again.defective)
    assert torch.equal(changed.weak, again.weak)


def test_images_of_one_color_are_refused_in_words(tmp_path):
    Image.new("RGB", (32, 32), (0, 0, 0)).save(tmp_path / "black.png")
    with pytest.raises(ValueError, match=r"no defect of at most 1e-06 .* on any of 1 images"):
        change_images([tmp_path / "black.png"], image_size=32, n=5, largest=1e-6, seed=0)


def test_movement_is_the_cosine_distance_at_the_defect_and_of_the_average():
    image = torch.zeros(1, 2, 4, 4)
    image[:, 0] = 1  # all positions point along the first axis
    defective, weak = image.clone(), image.clone()
    defective[0, :, 1, 1] = torch.tensor([0.0, 1.0])  # one position turned by 90 degrees
    weak[0, :, :, :2] = torch.tensor([1.0, 1.0])[:, None, None]  # half of them by 45
    masks = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    masks[0, 0, 2, 2:5] = True  # touches positions (1, 1) and (1, 2)
    found = movement(image, defective, weak, masks)
    assert found.local_defect == pytest.approx([0.5])
    assert found.local_weak == pytest.approx([(1 - np.sqrt(0.5)) / 2])
    assert found.pooled_defect == pytest.approx([1 - 15 / np.hypot(15, 1)])
    assert found.pooled_weak == pytest.approx([1 - 2 / np.hypot(2, 1)])


def test_the_ratio_is_that_of_the_means_and_its_interval_holds_it():
    rng = np.random.default_rng(0)
    weak = rng.uniform(0.5, 1.5, 200)
    defect = 3 * weak + rng.normal(0, 0.1, 200)
    value, low, high = ratio(defect, weak, seed=0)
    assert value == pytest.approx(defect.mean() / weak.mean())
    assert low < value < high
    assert high - low < 0.1  # of pairs; images drawn apart from each other would give 0.4
    assert np.isnan(ratio(defect[:1], weak[:1], seed=0)[1:]).all()


def config_of(tmp_path, folder, **changes):
    config = {
        "data": {"spots": [str(folder)]},
        "encoders": [{"backbone": "resnet18", "pre_trained": False, "layers": ["layer1", "layer2"]}],
        "image_size": 64,
        "n_images": 3,
        "largest": 0.05,
    }
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(config | changes))
    return path


def test_the_command_writes_a_row_for_each_layer(tmp_path, folder, capsys):
    path = config_of(tmp_path, folder)
    assert main(["sensitivity", "--config", str(path), "--output", str(tmp_path / "out")]) == 0
    table = pd.read_csv(tmp_path / "out/sensitivity.csv")
    assert list(table["layer"]) == ["layer1", "layer2"]
    assert set(table["data"]) == {"spots"}
    assert set(table["n_images"]) == {3}
    assert np.allclose(table["local_ratio"], table["local_defect"] / table["local_weak"], rtol=1e-3)
    assert (table["local_defect"] > table["pooled_defect"]).all()  # a small spot is lost in the average
    assert "2 rows: open" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": {}}, "data is {}; expected lists of folders"),
        ({"data": {"a": "b"}}, "expected lists of folders"),
        ({"largest": 2}, "largest is 2; expected a share"),
        ({"n_image": 2}, "unknown key 'n_image'; did you mean n_images"),
        ({"encoders": ["pixels"]}, "'pixels' has no layers"),
        ({"encoders": []}, "encoders: expected a list"),
    ],
)
def test_a_config_that_cannot_be_is_refused_in_words(tmp_path, folder, changes, said, capsys):
    path = config_of(tmp_path, folder, **changes)
    assert main(["sensitivity", "--config", str(path), "--output", str(tmp_path / "out")]) != 0
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
