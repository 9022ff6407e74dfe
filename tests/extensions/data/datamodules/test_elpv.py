"""The packaged solar cells, real and with drawn defects."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from anomalib import TaskType

from extensions import Elpv, ElpvSynthetic
from extensions.data import DatasetMissingError, fingerprint
from extensions.data.datamodules import elpv
from extensions.data.reading.image_files import read_image, read_mask
from extensions.data.synthetic import drawn_images

SMALL = {"n_train": 12, "n_test": 8, "num_workers": 0}


def synthetic(**options: object) -> ElpvSynthetic:
    data = ElpvSynthetic(**(SMALL | options))  # type: ignore[arg-type]
    data.setup()
    return data


def test_elpv_is_good_against_defective_without_overlap() -> None:
    data = Elpv(n_train=30, n_test=20, num_workers=0)
    found = fingerprint(data)
    expected = {"n_train": 30, "n_test_normal": 10, "n_test_anomalous": 10, "n_masks": 0}
    assert found.counts == {**expected, "defect_kinds": {"defective": 10}}
    assert found.files.image.is_unique
    assert (data.name, data.category, data.synthetic, data.task) == ("elpv", "mono", False, TaskType.CLASSIFICATION)
    assert data.test_data[0].image.shape == (3, 300, 300)


@pytest.mark.parametrize(("cells", "good", "defective"), [("mono", 588, 313), ("poly", 920, 402)])
def test_elpv_uses_all_sure_cells_by_default(cells: str, good: int, defective: int) -> None:
    chosen = elpv.choose_cells(elpv.package_folder(), cells, n_train=None, n_test=None, seed=0)
    assert len(chosen.train) == int(0.6 * good)
    assert len(chosen.train) + len(chosen.good) == good
    assert len(chosen.defective) == defective
    assert not set(chosen.train) & set(chosen.good)


def test_elpv_follows_the_seed_and_training_does_not_depend_on_the_test() -> None:
    def train(**options: int | None) -> list[Path]:
        arguments = {"n_train": 20, "n_test": 10, "seed": 0} | options
        return elpv.choose_cells(elpv.package_folder(), "mono", **arguments).train

    assert train() == train() == train(n_test=100)
    assert train() != train(seed=1)


def test_elpv_takes_more_good_cells_where_defective_ones_run_out_and_says_what_there_is() -> None:
    folder = elpv.package_folder()
    chosen = elpv.choose_cells(folder, "mono", n_train=100, n_test=700, seed=0)
    assert (len(chosen.good), len(chosen.defective)) == (387, 313)
    with pytest.raises(ValueError, match="n_test is 2000; expected 1 to 801"):
        elpv.choose_cells(folder, "mono", n_train=100, n_test=2000, seed=0)
    with pytest.raises(ValueError, match="n_train is 589; expected 1 to 588"):
        elpv.choose_cells(folder, "mono", n_train=589, n_test=None, seed=0)


def test_elpv_without_the_package_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(DatasetMissingError, match=r'pip install "anomaly-workbench\[demo\]"'):
        Elpv().setup()


def test_synthetic_trains_on_the_cells_of_elpv_and_tests_on_others() -> None:
    data, real = synthetic(), Elpv(**SMALL)
    real.setup()
    files, real_files = fingerprint(data).files, fingerprint(real).files
    train = set(files[files.split == "train"].sha256)
    assert train == set(real_files[real_files.split == "train"].sha256)
    assert not train & set(files[files.split == "test"].sha256)
    cells = [Path(image).stem for image in files.image]
    assert len(set(cells)) == len(cells)  # none is both shown as good and drawn on
    assert fingerprint(data).counts["n_masks"] == fingerprint(data).counts["n_test_normal"] == 4
    assert (data.name, data.category, data.synthetic, data.task) == (
        "elpv_synthetic", "mono", True, TaskType.SEGMENTATION,
    )  # fmt: skip


def test_synthetic_masks_mark_exactly_the_pixels_that_differ_from_the_cell() -> None:
    samples = synthetic().test_data.samples
    for row in samples[samples.label_index == 1].itertuples():
        base = read_image(elpv.package_folder() / "images" / Path(row.image_path).name)
        changed = (read_image(row.image_path) != base).any(axis=2)
        np.testing.assert_array_equal(read_mask(row.mask_path).astype(bool), changed)


def test_synthetic_images_are_the_same_wherever_they_are_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = fingerprint(synthetic())
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "another"))
    second = fingerprint(synthetic())
    assert first.sha256 == second.sha256
    assert fingerprint(synthetic(seed=1)).sha256 != first.sha256


def test_images_are_drawn_once_and_damaged_ones_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first = synthetic()
    before = fingerprint(first).sha256
    calls: list[int] = []
    draw = drawn_images.draw_defect
    monkeypatch.setattr(drawn_images, "draw_defect", lambda *args: calls.append(1) or draw(*args))
    assert fingerprint(synthetic()).sha256 == before
    assert calls == []
    torn = Path(first.test_data.samples.image_path.iloc[0])
    torn.write_bytes(torn.read_bytes()[:100])
    assert fingerprint(synthetic()).sha256 == before
    assert len(calls) == 4
    shutil.rmtree(torn.parent)
    assert fingerprint(synthetic()).sha256 == before


def test_processes_that_draw_at_once_or_are_killed_harm_nobody(tmp_path: Path) -> None:
    code = (
        "from pathlib import Path; import time, sys\n"
        "from extensions.runtime.built_folders import build_once\n"
        "def write(folder):\n"
        "    for index in range(20):\n"
        "        (folder / f'{index}.txt').write_text('x' * 1000); time.sleep(0.02)\n"
        "print(len(list(build_once('test', {'a': 1}, write).glob('*.txt'))))"
    )
    environment = {**os.environ, "WORKBENCH_CACHE": str(tmp_path / "cache")}

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.PIPE, text=True)

    victim = start()
    folder = tmp_path / "cache" / "test"
    while not list(folder.glob(".*/3.txt")) and victim.poll() is None:
        time.sleep(0.01)
    victim.kill()
    victim.wait()
    racers = [start(), start()]
    assert [racer.communicate()[0].strip() for racer in racers] == ["20", "20"]
    whole = [path for path in folder.iterdir() if path.is_dir()]
    assert len(whole) == 1  # nothing half written is left
    assert not whole[0].name.startswith(".")


def test_a_cache_that_cannot_be_written_is_named_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("WORKBENCH_CACHE", str(tmp_path / "file"))
    with pytest.raises(OSError, match=r"file/elpv_synthetic.*set \$WORKBENCH_CACHE"):
        synthetic()
