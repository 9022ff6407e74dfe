"""Which of anomalib's own models run here: `python .ci/anomalib_models.py [NAME …]` tries each and keeps a record.

Each image model that `anomalib.models` exports is run by the benchmark in a process of its own with a time limit: 16
packaged solar cells to train on, 8 with drawn masks to test on, one epoch. Up to three attempts are made, the first
that finishes is measured:

- `defaults`: as anomalib has it, without any argument;
- `config`: by `configs/models/anomalib/<name>.yaml`, where there is one;
- `stand-in`: by its defaults, but at 112 px or what else it takes, and with random tensors in the place of the file
  that it would fetch. Its scores mean nothing; whether it fits, has a map and can be exported does.

The record is `results/anomalib_models/models.json`; `make readme` makes the table of docs/anomalib-models.md from it.
Without names all are tried; with names these rows alone are replaced. What a network would give is told apart from what
this machine has only without one: run it offline, with the weights folder and packages that a user has.
"""

from __future__ import annotations

import argparse
import inspect
import json
import math
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment] # waits for its maker after each conversion
RECORD = ROOT / "results" / "anomalib_models" / "models.json"
CONFIGS = ROOT / "configs" / "models" / "anomalib"
ATTEMPTS = ("defaults", "config", "stand-in")
SECONDS = 300  # for all attempts of one model
EPOCHS = 1
LARGEST_EXPORT = 250  # MB; larger networks take minutes and gigabytes to convert
STAND_IN_SIZE = 112  # px, whole patches of 14 and of 16
STAND_IN_SIZES = {"EfficientAd": 256, "Dsr": 256, "Draem": 128, "Csflow": 128, "Uflow": None}
UNNORMALIZED = ("EfficientAd", "Dsr", "Draem")  # refuse, or do it themselves
N_TRAIN = 16  # images; DFKDE takes as many principal components


def image_models() -> dict[str, Any]:
    """Every image model that `anomalib.models` exports, by its name; those for videos have no images to test."""
    import anomalib.models
    from anomalib.models import AnomalibModule

    found = inspect.getmembers(anomalib.models, inspect.isclass)
    return {
        name: kind
        for name, kind in found
        if issubclass(kind, AnomalibModule) and kind is not AnomalibModule and ".image." in kind.__module__
    }


def try_all(names: list[str], *, seconds: float) -> dict[str, dict[str, Any]]:
    """A row of each model, from a process of its own."""
    rows = {}
    for name in names:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, __file__, "--try", name, "--folder", folder]
            started = time.monotonic()
            try:
                done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
                lost = "" if done.returncode == 0 else (done.stderr.strip().splitlines() or [str(done.returncode)])[-1]
            except subprocess.TimeoutExpired:
                lost = f"stopped after {seconds:.0f} s"
            there = Path(folder, "row.json")
            row = json.loads(there.read_text(encoding="utf-8")) if there.exists() else {"attempts": {}}
            rows[name] = row | ({"lost": lost} if lost else {})
        took = time.monotonic() - started
        print(f"{name:20} {took:5.0f} s  {told(rows[name])}", flush=True)
    return rows


def told(row: dict[str, Any]) -> str:
    """A row in one line, for who watches."""
    ends = [f"{name}: {one.get('status')} {one.get('error', '')[:90]}" for name, one in row["attempts"].items()]
    return " | ".join([*ends, *([row["lost"]] if "lost" in row else [])])


def try_one(name: str, folder: Path) -> None:
    """Make the attempts at a model and write its row after each, so that a time limit costs the last one only."""
    kind = image_models()[name]
    row: dict[str, Any] = {"module": kind.__module__.split(".")[-2], "attempts": {}}
    for attempt in ATTEMPTS:
        model, trainer = described(name, attempt, folder)
        if model is None:
            continue
        with random_tensors() if attempt == "stand-in" else ExitStack():
            row["attempts"][attempt] = one_run(model, trainer, folder / attempt)
        row["licenses"] = row.get("licenses", {}) | licenses(row["attempts"][attempt].get("error", ""))
        Path(folder, "row.json").write_text(json.dumps(row), encoding="utf-8")
        if row["attempts"][attempt]["status"] == "finished":
            return


def described(name: str, attempt: str, folder: Path) -> tuple[dict[str, Any] | None, dict[str, Any]]:
    """The model of an attempt and its trainer; None where there is nothing to try."""
    from extensions.configuration import load_config

    path = CONFIGS / f"{name.lower()}.yaml"
    if attempt == "config":
        if not path.is_file():
            return None, {}
        config = load_config(path)
        return config["model"], {}
    arguments: dict[str, Any] = {}
    if attempt == "stand-in":
        size = STAND_IN_SIZES.get(name, STAND_IN_SIZE)
        if size and "pre_processor" in inspect.signature(image_models()[name]).parameters:
            backbone = None if name in UNNORMALIZED else "resnet18"
            given = {"image_size": size, "backbone": backbone}
            arguments["pre_processor"] = {"class_path": "extensions.ImagePreProcessor", "init_args": given}
        if name in ("EfficientAd", "Draem"):
            arguments["imagenet_dir" if name == "EfficientAd" else "dtd_dir"] = str(drawn_folder(folder / "images"))
    return {"class_path": f"anomalib.models.{name}", "init_args": arguments}, {}


def licenses(error: str) -> dict[str, str]:
    """The license that timm states of the file of the hub that an error asks for."""
    import timm

    found = re.search(r"hub(?:'s|:) (timm/([\w.]+))", error)
    config = timm.get_pretrained_cfg(found[2], allow_unregistered=True) if found else None
    return {found[1]: config.license} if found and config and config.license else {}


def drawn_folder(folder: Path) -> Path:
    """A folder of folders of images, in the place of ImageNette and DTD."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    for index in range(16):
        path = folder / f"kind_{index % 2}" / f"{index:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (128, 128, 3)).astype(np.uint8)).save(path)
    return folder


@contextmanager
def random_tensors() -> Iterator[None]:
    """Inside the block networks are built without the files that they would fetch."""
    import timm
    import torchvision
    from anomalib.models.image.dsr.lightning_model import Dsr
    from anomalib.models.image.dsr.torch_model import DsrModel
    from anomalib.models.image.efficient_ad.lightning_model import EfficientAd

    from extensions.backbones import stock_weights

    create = timm.create_model
    vfm = sys.modules["anomalib.models.image.anomalyvfm.torch_model"]

    class NoWeights:
        DEFAULT = IMAGENET1K_V1 = None

    with ExitStack() as stack:
        for target, attribute, value in (
            (timm, "create_model", lambda *names, **given: create(*names, **given | {"pretrained": False})),
            (torchvision.models, "get_model_weights", lambda _: NoWeights),
            (sys.modules["anomalib.models.image.csflow.torch_model"], "EfficientNet_B5_Weights", NoWeights),
            (stock_weights, "_is_found", lambda _: False),
            (vfm, "hf_hub_download", lambda **_: ""),
            (vfm, "load_file", lambda _: {}),
            (vfm.AnomalyVFMModel, "load_state_dict", lambda *_: None),
            (EfficientAd, "prepare_pretrained_model", lambda _: None),
            (Dsr, "prepare_pretrained_model", staticmethod(Path)),
            (DsrModel, "load_pretrained_discrete_model_weights", lambda *_: None),
        ):
            stack.enter_context(patch.object(target, attribute, value))
        yield


def one_run(model: dict[str, Any], trainer: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a run gave: its end, how long the fit took, whether there is a map, and what an export said."""
    from benchmark.one_run.options import RunOptions
    from benchmark.one_run.runner import run_experiment
    from benchmark.plan.experiment import Experiment
    from extensions.configuration.classes import import_class, known_classes

    kind = import_class(model["class_path"], "model", known_classes("model"))
    batch = 1 if kind.__name__ == "EfficientAd" else 4  # it refuses another one
    size = {"n_train": N_TRAIN, "n_test": 8, "num_workers": 0, "train_batch_size": batch, "eval_batch_size": 4}
    data = {"class_path": "extensions.ElpvSynthetic", "init_args": size}
    options = RunOptions(keep_checkpoint=True, progress=False, timed_later=True)
    record = None
    for limits in ({}, {"max_epochs": EPOCHS}):
        record = run_experiment(Experiment(model=model, data=data, trainer=trainer | limits), folder, options=options)
        if record.status == "finished" or "max_epochs is not given" not in record.error.message:
            break
    assert record is not None
    if record.status != "finished":
        return {"status": record.status, "error": without_home(record.error.message)}
    found: dict[str, Any] = {"status": "finished", "epochs": record.training.epochs}
    by_gradient = record.training.stopped_by != "single pass"
    found |= {"by_gradient": by_gradient, "fit_seconds": round(record.speed.fit_seconds, 1)}
    found |= {"latency_ms": round(record.speed.latency_ms, 1), "megabytes": round(record.memory.model_bytes / 1e6, 1)}
    found["has_map"] = record.metrics["pixel_AUROC"] is not None
    found["image_size"] = list(record.dataset.image_size)
    found["weights"] = record.weights.source if record.weights else None
    found["is_finite"] = math.isfinite(record.metrics["image_AUROC"])
    if found["megabytes"] > LARGEST_EXPORT:
        return found | {"export": "not tried"}
    return found | {"export": exported(folder / record.folder / record.files.checkpoint, folder / "export")}


def exported(checkpoint: Path, output: Path) -> str:
    """What exporting says: "agrees", or why not."""
    from extensions import ElpvSynthetic
    from extensions.runtime.explained import explained
    from inference.export.write_model import export_model
    from inference.model.checkpoints import load_checkpoint

    data = ElpvSynthetic(n_train=N_TRAIN, n_test=8, num_workers=0)
    data.setup()
    files = [Path(path) for path in data.train_data.samples["image_path"]]
    try:
        model, info = load_checkpoint(checkpoint)
        export_model(model, info, output, files=files)
    except Exception as error:
        return without_home(explained(error))[:400]
    return "agrees"


def without_home(text: str) -> str:
    """A sentence without the folders of this machine."""
    from extensions.backbones.manifest import weights_folder

    folders = {name: os.environ.get(name, "") for name in ("TORCH_HOME", "HF_HOME", "WORKBENCH_CACHE")}
    folders = {f"${name}": folder for name, folder in folders.items() if folder} | {"~": str(Path.home())}
    for name, folder in folders.items():
        text = text.replace(folder, name)
    text = re.sub(rf"{re.escape(tempfile.gettempdir())}/\S+/", "", text)
    return text.replace(f" {weights_folder()}:", ":").replace(str(weights_folder()), "weights")


def main() -> None:
    """Try what was asked for and put it into the record."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="classes of anomalib.models; all of them when none is given")
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--try", dest="one", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        try_one(options.one, options.folder)
        return
    from extensions.runtime.atomic_write import write_whole

    known = image_models()
    if wrong := set(options.names) - set(known):
        parser.error(f"{', '.join(sorted(wrong))}: expected names among {', '.join(known)}")
    there = json.loads(options.record.read_text(encoding="utf-8")) if options.record.is_file() else {}
    for name in options.names or known:
        there |= try_all([name], seconds=options.seconds)
        options.record.parent.mkdir(parents=True, exist_ok=True)
        write_whole(options.record, json.dumps(dict(sorted(there.items())), indent=1) + "\n")


if __name__ == "__main__":
    main()
