"""Tables with a decision, as small as may be."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import pandas as pd
from PIL import Image

from benchmark.statistics.operating_point import OperatingPoint
from benchmark.statistics.requirement import Cost, Requirement
from benchmark.tables.decision import Decision, LeadingRow, Thresholds
from benchmark.tables.gallery import GalleryImage
from benchmark.tables.leaderboard import Frames
from tests.benchmark.fabricated import make_record, tables_of

COST = Cost(missed=500, false_alarm=3, defect_rate=0.004)
N_GOOD, N_DEFECTIVE = 30, 20


def make_scores(*, seed: int = 0) -> pd.DataFrame:
    """Scores of good and defective images that overlap and have ties."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(1, 0.5, N_GOOD), rng.normal(2, 0.5, N_DEFECTIVE)]).round(1)
    labels = np.repeat([0, 1], [N_GOOD, N_DEFECTIVE])
    return pd.DataFrame(
        {"category": "mono", "image": [f"test/{i}.png" for i in range(len(labels))], "label": labels,
         "kind": np.where(labels, "crack", "good"), "score": scores}
    )  # fmt: skip


def make_row(*, lower: float = 1.5, upper: float = 1.5, label: str = "Patchcore, resnet18") -> LeadingRow:
    """A leading row with these thresholds."""
    return LeadingRow(
        label=label, model="Patchcore", backbone="resnet18", settings="", place="1–2", key="0123456789abcdef",
        scores=make_scores(), thresholds=Thresholds(lower=lower, upper=upper, source="all test images"),
    )  # fmt: skip


def make_example(kind: str = "missed", *, file: str = "runs/a b/missed-0.jpg") -> GalleryImage:
    """A panel of a run."""
    jpeg = io.BytesIO()
    Image.new("RGB", (60, 20), "red").save(jpeg, "JPEG")
    return GalleryImage(
        dataset="elpv", category="mono", rank=1, detector="Patchcore on resnet18", kind=kind, truth="defective",
        called="good", score=1.0, threshold=1.5, image="test/a.png", jpeg=jpeg.getvalue(), size=(60, 20), file=file,
    )  # fmt: skip


def make_decision(*, dataset: str = "elpv", cost: Cost | None = None, upper: float = 1.5) -> Decision:
    """A decision on a data set."""
    requirement = Requirement(cost=cost) if cost else Requirement(max_false_alarms=0.02)
    point = OperatingPoint(
        requirement=requirement, missed=3, n_defective=20, missed_interval=(0.032, 0.379), false_alarms=1, n_good=30,
        false_alarm_interval=(0.001, 0.172), cost=7.5 if cost else None, supported=False,
        note="with 30 good images at least 3.2 % false alarms must be allowed for",
    )  # fmt: skip
    return Decision(
        dataset=dataset,
        recommendation=("Patchcore, resnet18 misses the fewest.", "Padim cannot be told from it."),
        points=(point,),
        how_sure=("One seed.",),
        next_steps=("Run 3 seeds.",),
        leading=(replace(make_row(upper=upper), point=point), make_row(label="Padim, resnet18")),
        examples=(make_example(), make_example("false alarm", file="")),
        command="workbench export --run 0123456789abcdef --records output --output model",
    )


def make_tables(*decisions: Decision) -> Frames:
    """Tables of a few fabricated runs, with these decisions and a few differences."""
    models = {"Patchcore": 0.95, "Padim": 0.9, "Stfpm": 0.85, "Cflow": 0.8}
    records = [make_record(model=name, metrics={"image_AUROC": value}) for name, value in models.items()]
    differences = pd.DataFrame(
        {"dataset": "elpv", "metric": "image_AUROC", "first": "Patchcore", "second": ["Padim", "Stfpm"],
         "difference": [0.01, 0.2], "low": [-0.01, 0.1], "high": [0.03, 0.3], "p": [0.4, 0.001],
         "p_adjusted": [0.4, 0.002], "told_apart": ["no", "yes"], "method": "DeLong", "n_images": 50, "n_seeds": 1,
         "note": ""}
    )  # fmt: skip
    return replace(tables_of(records), decisions=list(decisions), differences=differences)
