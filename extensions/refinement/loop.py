"""Train, score, remove, retrain: rounds that take suspects out of the training images."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pandas as pd

from extensions.models.common.known_defects import is_known_defect
from extensions.refinement.evidence import Evidence
from extensions.refinement.plan import ASKS_DETECTOR, REVIEW, Plan
from extensions.refinement.rules import RULES
from extensions.refinement.strategies import STRATEGIES

if TYPE_CHECKING:
    from anomalib.data import AnomalibDataModule

METRICS = ("image_AUROC", "pixel_AUROC", "pixel_AUPRO")


class Trained(Protocol):
    """A detector that was trained and tested.

    Attributes:
        metrics: By name, on the test set; None for what cannot be computed.
        model: The detector, for strategies that ask it.
    """

    @property
    def metrics(self) -> dict[str, float | None]: ...  # noqa: D102

    @property
    def model(self) -> Any: ...  # noqa: D102


@dataclass(frozen=True)
class Round:
    """One round: what was trained on, and what the scores of these images say.

    Attributes:
        number: 0 before anything was removed.
        kept: (n_kept,) indices of the images that are there, ascending.
        scores: (n_kept,) of these images, higher is more suspicious; None after a person's review.
        seconds: Of `train` and `score`.
        trained: The detector; None where none was trained.
        compared: Score AUROC of other strategies on the same images; None where it cannot be computed.
    """

    number: int
    kept: np.ndarray
    scores: np.ndarray | None
    seconds: dict[str, float]
    trained: Trained | None = None
    compared: dict[str, float | None] = field(default_factory=dict)


@dataclass
class Refinement:
    """What a refinement did.

    Attributes:
        names: Of all training images, relative to the data root.
        injected: (n,) bool, which of them are known to be defective; None where nobody knows.
        removed_in: (n,) round before whose training an image was removed, 0 for those that were kept.
        held_out: (n,) bool, images that are screened and not trained on.
        rounds: In order; the last one is the result.
    """

    names: list[str]
    injected: np.ndarray | None
    removed_in: np.ndarray
    held_out: np.ndarray
    rounds: list[Round] = field(default_factory=list)

    @property
    def kept(self) -> np.ndarray:
        """(n_kept,) indices of the images that are left."""
        return np.flatnonzero(self.removed_in == 0)

    def table(self) -> pd.DataFrame:
        """A row per round, in the words of `rounds.csv`.

        Counts, precision and recall are of all removals up to the round; score_auroc is that of the scores of the
        images still there against what was injected, 1 when all injected ones score higher. Blank where unknown.
        """
        rows = []
        for r in self.rounds:
            removed = (self.removed_in > 0) & (self.removed_in <= r.number)
            n_train = int((~self.held_out[r.kept]).sum())
            row: dict[str, Any] = {"round": r.number, "n_train": n_train, "n_removed": int(removed.sum())}
            row |= dict.fromkeys(("n_injected_removed", "precision", "recall", "score_auroc"))
            if self.injected is not None:
                hit = int((removed & self.injected).sum())
                row["n_injected_removed"] = hit
                row["precision"] = hit / removed.sum() if removed.any() else None
                row["recall"] = hit / self.injected.sum() if self.injected.any() else None
                row["score_auroc"] = None if r.scores is None else auroc(r.scores, self.injected[r.kept])
            metrics = r.trained.metrics if r.trained is not None else {}
            rows.append(row | {name: metrics.get(name) for name in METRICS})
        return pd.DataFrame(rows)

    def suspects(self) -> pd.DataFrame:
        """A row per training image in the words of `suspects.csv`, the most suspicious first.

        Those removed first come first; within a round, and among those that were kept, higher scores do. A score is
        that of the round in which the image was last scored.
        """
        score = np.full(len(self.names), np.nan)
        for r in self.rounds:
            if r.scores is not None:
                score[r.kept] = r.scores
        order = np.lexsort((-score, np.where(self.removed_in == 0, np.iinfo(int).max, self.removed_in)))
        frame = pd.DataFrame(
            {
                "image": self.names,
                "score": score,
                "removed_in_round": pd.array([number or None for number in self.removed_in.tolist()], dtype="Int64"),
                "injected": None if self.injected is None else self.injected,
                "keep": "",
            }
        )
        return frame.iloc[order].reset_index(drop=True)


def refine(
    datamodule: AnomalibDataModule,
    plan: Plan,
    *,
    seed: int,
    evidence: Callable[[np.ndarray, Trained | None, np.random.Generator], Evidence] | None,
    train: Callable[[AnomalibDataModule], Trained],
    held_out: np.ndarray | None = None,
    on_round: Callable[[str], None] = lambda _: None,
) -> Refinement:
    """Refine the training images of a datamodule.

    Round 0 trains on all images. After each round the strategy scores what it trained on, the rule removes the
    worst, and the next round trains on the rest, until the rule removes none or `plan.rounds` removals were made. The
    test set plays no part in what is removed, nor does the truth, but for the strategy `oracle`.

    Args:
        datamodule: Set up. It is not changed.
        plan: What to do.
        seed: Of the strategies' random choices; the same one removes the same images.
        evidence: From the indices of the kept images, the detector trained on them (None where none was) and a
            random generator to what strategies may look at; None for a person's review.
        train: Trains and tests a detector on a datamodule with fewer training images.
        held_out: (n,) bool, which images `train` does not train on; None for none.
        on_round: Gets a sentence about each round that is finished.
    """
    _check_no_tiles(datamodule)
    _check_no_known_defects(datamodule)
    names = training_names(datamodule)
    held_out = np.zeros(len(names), bool) if held_out is None else held_out
    result = Refinement(names, injected_mask(datamodule), np.zeros(len(names), int), held_out)
    if plan.strategy == REVIEW:
        _check_dropped(plan.dropped or (), names)
        result.removed_in[[names.index(name) for name in plan.dropped or ()]] = 1
        trained, taken = _timed(train, with_training(datamodule, result.kept))
        result.rounds.append(Round(1, result.kept, None, {"train": taken, "score": 0.0}, trained))
        return result
    assert evidence is not None
    asks = plan.strategy in ASKS_DETECTOR
    for number in range(plan.rounds + 1):
        kept = result.kept
        trained, seconds = None, {"train": 0.0, "score": 0.0}
        if plan.retrain == "every" or asks or (plan.retrain == "ends" and number == 0):
            trained, seconds["train"] = _timed(train, with_training(datamodule, kept))
        known = evidence(kept, trained, np.random.default_rng([seed, number]))
        scores, seconds["score"] = _timed(STRATEGIES[plan.strategy], known)
        others = {} if number else _compare(plan.compared, known, result.injected, seed=seed)
        result.rounds.append(Round(number, kept, scores, seconds, trained, others))
        if number == plan.rounds:
            on_round(f"round {number}: {len(kept)} images, the last round")
            break
        worst = RULES[plan.rule](scores, n_start=len(names), floor=plan.floor, **plan.rule_arguments)
        on_round(f"round {number}: {len(kept)} images, {len(worst)} to remove, {sum(seconds.values()):.1f} s")
        if not len(worst):
            break
        result.removed_in[kept[worst]] = number + 1
    last = result.rounds[-1]
    if plan.retrain in ("ends", "last") and last.trained is None:
        trained, last.seconds["train"] = _timed(train, with_training(datamodule, last.kept))
        result.rounds[-1] = replace(last, trained=trained)
    return result


def _check_no_tiles(datamodule: AnomalibDataModule) -> None:
    if getattr(datamodule.train_data, "gives_tiles", False):
        msg = (
            f"refinement: data set {datamodule.name!r} sets tiling, and what judges a training image looks at it "
            "whole; leave the tiling out (or set image_size), or drop the refinement"
        )
        raise ValueError(msg)


def _check_no_known_defects(datamodule: AnomalibDataModule) -> None:
    if n := int(is_known_defect(datamodule.train_data.samples).sum()):
        msg = (
            f"refinement: the training images of data set {datamodule.name!r} hold {n} known defects, which would be "
            "the first suspects; set known_defects to 0 and leave known_defects_dir out, or drop the refinement"
        )
        raise ValueError(msg)


def _check_dropped(dropped: tuple[str, ...], names: list[str]) -> None:
    unknown = sorted(set(dropped) - set(names))
    if unknown:
        msg = f"refinement: dropped names {unknown[0]!r}, which is none of the {len(names)} images of the data set"
        raise ValueError(msg)


def _compare(
    names: tuple[str, ...], known: Evidence, injected: np.ndarray | None, *, seed: int
) -> dict[str, float | None]:
    """Score AUROC of each strategy on the first round's evidence, as if it were alone."""
    found = {}
    for name in names:
        known.rng = np.random.default_rng([seed, 0])
        scores = STRATEGIES[name](known)
        found[name] = None if injected is None else auroc(scores, injected)
    return found


def with_training(datamodule: AnomalibDataModule, kept: np.ndarray) -> AnomalibDataModule:
    """The datamodule with some of its training images, the same object otherwise.

    Args:
        datamodule: Set up; not changed.
        kept: (n_kept,) indices into its training samples.
    """
    part = copy.copy(datamodule)
    part.train_data = copy.copy(datamodule.train_data)
    samples = datamodule.train_data.samples
    part.train_data.samples = samples.iloc[kept].reset_index(drop=True)
    part.train_data.samples.attrs.update(samples.attrs)
    return part


def training_names(datamodule: AnomalibDataModule) -> list[str]:
    """Names of the training images, relative to the data root, in the order of the samples."""
    from extensions.data.checks.fingerprints import image_names

    return list(map(image_names(datamodule), datamodule.train_data.samples["image_path"]))


def injected_mask(datamodule: AnomalibDataModule) -> np.ndarray | None:
    """Which training images are known to be defective, (n,) bool; None for a datamodule that injects none."""
    samples = datamodule.train_data.samples
    return samples["injected"].to_numpy(bool) if "injected" in samples else None


def auroc(scores: np.ndarray, injected: np.ndarray) -> float | None:
    """AUROC of scores against what was injected; None where only one kind is left."""
    from sklearn.metrics import roc_auc_score

    return float(roc_auc_score(injected, scores)) if injected.any() and not injected.all() else None


def _timed(work: Callable[[Any], Any], argument: Any) -> tuple[Any, float]:
    started = time.perf_counter()
    return work(argument), time.perf_counter() - started
