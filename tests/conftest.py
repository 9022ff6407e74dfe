"""Tiny data that several rooms test on: striped images, some with a bright square, and masks of the squares."""

import ctypes
import gc
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

# Tensors this small gain nothing from more threads and lose minutes to them on a busy machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Converting a network takes longer than most tests, and whether it is worth it depends on the machine.
os.environ.setdefault("WORKBENCH_FEATURES", "torch")
# What tests leave in the cache goes with them.
_CACHE = tempfile.TemporaryDirectory(prefix="workbench-cache-")
os.environ["WORKBENCH_CACHE"] = _CACHE.name
# OpenVINO tells its maker of each conversion, which costs seconds where there is no network: without it, it tells none.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]

SIDE = 64  # px
LARGE_RISE = 2**29  # bytes


def pytest_configure(config: pytest.Config) -> None:
    """Tests mean the CPU, whatever the machine has; only `-m gpu` looks at its GPU."""
    if "gpu" not in str(config.option.markexpr).replace("not gpu", ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


@pytest.fixture(scope="session", autouse=True)
def brief_timing() -> Iterator[None]:
    """How often a network is timed matters in `test_latency.py` alone: in runs and sweeps it is a few times."""
    from benchmark.execute import latency_session
    from benchmark.one_run import latency

    measure = latency.measure_latency
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "measure_latency", lambda *given, **timing: measure(*given, **{"repeats": 5} | timing))
        patch.setattr(latency_session, "TURN", latency_session.TURN | {"repeats": 3})
        patch.setattr(latency_session, "ROUNDS", 2)
        patch.setattr(latency_session, "MORE_ROUNDS", 2)
        yield


def draw_image(rng: np.random.Generator, *, defect: bool) -> tuple[np.ndarray, np.ndarray]:
    """Return stripes (64, 64, 3) and where a square was drawn on them (64, 64), both uint8."""
    columns = np.arange(SIDE) + rng.integers(8)
    stripes = 120 + 40 * np.sin(columns / 3)[None, :, None] + rng.normal(0, 8, (SIDE, SIDE, 3))
    mask = np.zeros((SIDE, SIDE), np.uint8)
    if defect:
        top, left = rng.integers(8, 40, 2)
        mask[top : top + 12, left : left + 12] = 255
        stripes[mask > 0] = 250
    return stripes.clip(0, 255).astype(np.uint8), mask


@pytest.fixture(scope="session")
def settled() -> dict[str, int]:
    """Bytes of memory that this process had when it last gave some back."""
    return {"rss": psutil.Process().memory_info().rss}


@pytest.fixture(autouse=True)
def memory_is_given_back(settled: dict[str, int]) -> Iterator[None]:
    """Networks that hold each other, and what malloc keeps of those that are gone, grow to GB over the tests."""
    yield
    if psutil.Process().memory_info().rss > settled["rss"] + LARGE_RISE:
        gc.collect()
        if hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
            libc.malloc_trim(0)
        settled["rss"] = psutil.Process().memory_info().rss


@pytest.fixture(scope="session")
def tiny_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with train/good (8), test/good (4), test/bad (4) and mask/bad (4), 64 px."""
    root = tmp_path_factory.mktemp("tiny")
    rng = np.random.default_rng(0)
    for folder, n_images in (("train/good", 8), ("test/good", 4), ("test/bad", 4)):
        (root / folder).mkdir(parents=True)
        (root / "mask/bad").mkdir(parents=True, exist_ok=True)
        for index in range(n_images):
            image, mask = draw_image(rng, defect=folder == "test/bad")
            Image.fromarray(image).save(root / folder / f"{index:03}.png")
            if folder == "test/bad":
                Image.fromarray(mask).save(root / "mask/bad" / f"{index:03}.png")
    return root


@pytest.fixture(scope="session")
def strips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder in MVTec AD's layout with train/good (4), test/good (2) and test/bad (2): strips of 176 x 64 px."""
    root, rng = tmp_path_factory.mktemp("strips"), np.random.default_rng(0)
    for name, n_images in (("train/good", 4), ("test/good", 2), ("test/bad", 2)):
        for folder in (name, "ground_truth/bad"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(n_images):
            parts = [draw_image(rng, defect=name == "test/bad" and part == index) for part in range(3)]
            image, mask = (np.concatenate(one)[:176] for one in zip(*parts, strict=True))
            Image.fromarray(image).save(root / name / f"{index}.png")
            if name == "test/bad":
                Image.fromarray(mask).save(root / "ground_truth/bad" / f"{index}_mask.png")
    return root


@pytest.fixture(scope="session")
def tiny_folder(tiny_root: Path) -> Callable:
    """Build anomalib's own Folder datamodule over `tiny_root`, loading in this process."""
    from anomalib.data import Folder

    def build(**init_args: object) -> Folder:
        folders = {
            "normal_dir": "train/good",
            "normal_test_dir": "test/good",
            "abnormal_dir": "test/bad",
            "mask_dir": "mask/bad",
        }
        loading = {"train_batch_size": 4, "eval_batch_size": 4, "num_workers": 0, "val_split_mode": "same_as_test"}
        return Folder(name="tiny", root=tiny_root, **(folders | loading | init_args))

    return build
