"""The parts of a record: data, training, times, files, refinement and what else a run leaves."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from benchmark.records.section import Section
from extensions.data.joint_training import ONE_EACH


class Weights(Section):
    """Of the backbone, or of the autoencoder."""

    sha256: str | None = None
    source: str | None = None


class Dataset(Section):
    """The data of a run.

    Attributes:
        synthetic: Whether its defects are drawn.
        sha256: Over names, contents, labels and masks; None where the data could not be read.
        k_shot: Number of training images, where it was limited; `k_shot_images` names them.
        contamination_ratio: Share of anomalous images put among the training images, as asked for.
        contamination: What of it was realised.
        defect_kinds: Test images of each kind.
        known_kinds: Defects of each kind that were trained on as such, with their masks; empty where there were none.
        calibration_kinds: Images of each kind that thresholds alone were fitted on; empty where there were none.
        image_size: Height and width that the network saw, px.
        training: `one_for_all` where the model was trained on several products together, else `one_each`.
        products: Those that it was trained on together; empty for one.
        part_score: What a part of several images scores, see `extensions.data.part_score`; None where no parts are
            named.
        aligned: Whether images were turned and shifted onto a template; `n_unaligned` of them could not be.
        alignment_ms: What it takes to find how an image lies and to turn it, and its map back, at the size of its file;
            no part of the latency of the network. None where nothing is aligned.
        position_score: How well the good training images lie on each other, 0 to 1, see
            `extensions.data.checks.position_check`; measured for detectors that are bound to places.
        position_registered: The same once they are registered.
        position_remark: What that means for the detector; None where nothing is to be said.
    """

    name: str
    category: str = ""
    synthetic: bool = False
    sha256: str | None = None
    k_shot: int | None = None
    contamination_ratio: float | None = None
    k_shot_images: list[str] = []
    contamination: dict[str, Any] = {}
    n_train: int | None = None
    n_test_normal: int | None = None
    n_test_anomalous: int | None = None
    n_masks: int | None = None
    defect_kinds: dict[str, int] = {}
    known_kinds: dict[str, int] = {}
    calibration_kinds: dict[str, int] = {}
    image_size: list[int] = []
    training: str = ONE_EACH
    products: list[str] = []
    part_score: str | None = None
    aligned: bool = False
    n_unaligned: int | None = None
    alignment_ms: float | None = None
    position_score: float | None = None
    position_registered: float | None = None
    position_remark: str | None = None
    n_train_groups: int | None = None
    n_test_groups_normal: int | None = None
    n_test_groups_anomalous: int | None = None

    @property
    def n_known_defects(self) -> int | None:
        """How many defects were trained on as such, None for none."""
        return sum(self.known_kinds.values()) or None

    @property
    def label(self) -> str:
        """Name and category, as a line of text tells them."""
        return " ".join(filter(None, (self.name, self.category)))

    @property
    def size(self) -> str | None:
        """Height x width that the network saw, px."""
        return "x".join(map(str, self.image_size)) or None

    @property
    def lack(self) -> str | None:
        """Which kind of images the test set lacks, so that nothing tells how well they are told apart; else None."""
        counts = {"anomalous": self.n_test_anomalous, "normal": self.n_test_normal}
        return next((f"no {kind} test images" for kind, n in counts.items() if n == 0), None)


class Failure(Section):
    """Why a run has no result: the error's class, one sentence, the traceback."""

    type: str = ""
    message: str = ""
    traceback: str = ""


class Thresholds(Section):
    """On raw scores and raw map values, and how they were found; `label_free` is the model's own.

    Attributes:
        image: An image is anomalous from here on; where there are three verdicts, below it is good.
        upper: From here on an image is defective, between `image` and it unsure; None with one threshold.
        requirement: What the image thresholds keep, as a configuration has it; None where nothing was required.
        promise: One sentence: what they keep on new images, from how many, and what they cannot promise.
        unsure: Share of unsure images among those that they were fitted on; None with one threshold.
        part: As `image`, on what a part of several images scores; None where no parts are named.
        part_upper: As `upper`, likewise.
        part_promise: As `promise`, likewise.
    """

    image: float | None = None
    upper: float | None = None
    pixel: float | None = None
    source: str | None = None
    requirement: dict[str, Any] | None = None
    promise: str | None = None
    unsure: float | None = None
    label_free: float | None = None
    label_free_source: str | None = None
    part: float | None = None
    part_upper: float | None = None
    part_promise: str | None = None


class Training(Section):
    """How a fit went: for the record and the question whether the model may be ranked.

    Attributes:
        epochs: That were trained.
        max_epochs: That were allowed; None for no limit.
        stopped_by: What ended the training.
        converged: Whether the loss was flat at its end; nothing that ended for want of a finite loss has. None where
            nothing was trained.
        loss: Mean training loss of each epoch.
        val_loss: Likewise, of held-out images; empty where there are none.
        rewinds: How often a NaN loss took the model back.
    """

    epochs: int | None = None
    max_epochs: int | None = None
    stopped_by: str | None = None
    converged: bool | None = None
    loss: list[float] = []
    val_loss: list[float] = []
    rewinds: int = 0


class Speed(Section):
    """Times of a run: of the fit and the test in s, of one image in ms.

    Attributes:
        fit_seconds: What the fit costs with nothing at hand; None where that is not known.
        fit_own_seconds: What it took here.
        fit_reused_seconds: What it took from the cache had taken.
        latency_session: In which the network was timed in turn with others; None when that was in its run, alone.
        latency_device: What computed.
        network: The same for networks that take the same time, see `benchmark.one_run.kept_networks.network_id`.
        latency_of: Key of the run whose network was timed.
        latency_note: What else the machine did; empty when it was quiet.
    """

    fit_seconds: float | None = None
    fit_own_seconds: float | None = None
    fit_reused_seconds: float | None = None
    test_seconds: float | None = None
    latency_ms: float | None = None
    latency_p95_ms: float | None = None
    latency_batch_size: int | None = None
    latency_n: int | None = None
    latency_session: str | None = None
    latency_device: str | None = None
    network: str | None = None
    latency_min_ms: float | None = None
    latency_max_ms: float | None = None
    latency_turns: int | None = None
    latency_of: str | None = None
    latency_threads: int | None = None
    latency_note: str | None = None


class ReusedSplit(Section):
    """Of how many images of a split the pixels and the features were there already, and whether the bank was."""

    images: int = 0
    features: int = 0
    of: int = 0
    bank: bool = False


class Reused(Section):
    """What earlier runs had worked out."""

    train: ReusedSplit | None = None
    test: ReusedSplit | None = None
    val: ReusedSplit | None = None


class Memory(Section):
    """Highest resident size of the process, and size of the network alone; bytes."""

    peak_memory_bytes: int | None = None
    model_bytes: int | None = None


MISSED, FALSE_ALARM = "missed", "false alarm"
TYPICAL_GOOD, TYPICAL_DEFECTIVE = "typical good", "typical defective"
KINDS = (MISSED, FALSE_ALARM, TYPICAL_GOOD, TYPICAL_DEFECTIVE)
"""What a drawn test image shows, in the order in which they are told."""


class Panel(Section):
    """A drawn test image: one of `KINDS`, label (0 good, 1 defective), raw score, name, file beside the record.

    Earlier records have the kinds `worst` and `best`.
    """

    kind: str = ""
    label: int = 0
    score: float = 0.0
    image: str = ""
    panel: str = ""


class Files(Section):
    """Names of the files beside the record; None where there is none."""

    scores: str | None = None
    calibration: str | None = None
    resamples: str | None = None
    checkpoint: str | None = None
    images: list[Panel] | None = None


class Round(Section):
    """One round of a refinement: what was removed before it, how well the score ranks, what the detector reached."""

    round: int
    n_train: int
    n_removed: int = 0
    n_injected_removed: int | None = None
    precision: float | None = None
    recall: float | None = None
    score_auroc: float | None = None
    image_AUROC: float | None = None  # noqa: N815 - a column of tables
    pixel_AUROC: float | None = None  # noqa: N815 - a column of tables
    pixel_AUPRO: float | None = None  # noqa: N815 - a column of tables


class Refinement(Section):
    """How training images were refined.

    Attributes:
        retrain: After which rounds a detector was trained: `every`, `last` or `never`.
        repeats: How often each injected image is there.
        n_held_out: Images to set the threshold on.
        compared: AUROC of the first round's scores by other strategies.
        seconds: By what they went into.
    """

    retrain: str = ""
    repeats: int = 1
    n_held_out: int = 0
    compared: dict[str, float | None] = {}
    rounds: list[Round] = Field(default=[], min_length=1)
    seconds: dict[str, float] = {}
    files: dict[str, str | None] = {}


class RecordedBy(Section):
    """Who wrote the record, where that was not the benchmark, and what differs from its own."""

    name: str = ""
    notes: list[str] = []
