"""What a query strategy may look at: the training images that are still kept, each thing computed when asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from extensions.configuration.checked_values import check_values

if TYPE_CHECKING:
    from extensions.refinement.patch_neighbors import PatchNeighbors

Source = Any  # an array or tensor, or a function without arguments that gives one


class EvidenceError(ValueError):
    """A strategy asked for what there is none of, or what it got cannot be; the message says what is needed."""


class Evidence:
    """The training images that are still kept, as query strategies see them.

    Of each source that is a function the result is kept, so a strategy may ask twice. `embeddings` are pooled from
    `patches` when they are not given. No source is asked for before a strategy needs it.

    Args:
        names: One for each of the N images. What is drawn at random is drawn in their order, so that the order of
            the images changes nothing.
        rng: Of everything a strategy draws; a seeded one gives the same scores again.
        patches: (N, P, C), patch features of a frozen backbone, P positions in each image.
        neighbors: From a random generator to the patch neighbors of these images and perhaps others; None finds them
            among `patches`.
        embeddings: (N, D), one vector for each image.
        contrastive: (N, K), unit-length embeddings by a contrastive head in eval mode.
        views: (2, N, K), those of two augmented views of each image.
        temperature: Of the contrastive head's softmax.
        discrepancy: (N,), how far a trained student is from its teacher, higher is more anomalous.
        injected: (N,) bool, the ground truth, where it is known; for `oracle` only.
        batch_size: Images in a batch, for the strategies that work on batches.

    Example:
        >>> evidence = Evidence(names, rng=np.random.default_rng(0), patches=features.patches)
        >>> strategy = STRATEGIES["out_of_bag"]
        >>> scores = strategy(evidence)
    """

    def __init__(
        self,
        names: Sequence[str],
        *,
        rng: np.random.Generator,
        patches: Source | None = None,
        neighbors: Callable[[np.random.Generator], PatchNeighbors] | None = None,
        embeddings: Source | None = None,
        contrastive: Source | None = None,
        views: Source | None = None,
        temperature: float = 0.5,
        discrepancy: Source | None = None,
        injected: Source | None = None,
        batch_size: int = 32,
    ) -> None:
        check_values(
            temperature=(temperature, temperature > 0, "a number above 0, such as the contrastive head's"),
            batch_size=(batch_size, batch_size >= 2, "2 or more, for an image needs others to be compared with"),
        )
        self.names = list(names)
        self.rng = rng
        self.temperature = temperature
        self.batch_size = batch_size
        self._sources = {
            "patches": patches,
            "embeddings": embeddings,
            "contrastive": contrastive,
            "views": views,
            "discrepancy": discrepancy,
            "injected": injected,
        }
        self._found: dict[str, np.ndarray] = {}
        self._find_neighbors = neighbors or self._own_neighbors
        self._neighbors: PatchNeighbors | None = None

    def __len__(self) -> int:
        return len(self.names)

    @property
    def order(self) -> np.ndarray:
        """(N,) places of the images sorted by name: the order to draw in."""
        return np.asarray(sorted(range(len(self.names)), key=self.names.__getitem__), np.int64)

    @property
    def injected(self) -> np.ndarray | None:
        """(N,) bool, or None where the truth is unknown."""
        return None if self._sources["injected"] is None else self._get("injected", (len(self),), bool)

    def patches(self) -> np.ndarray:
        """(N, P, C) float32: patch features of a frozen backbone.

        Raises:
            EvidenceError: There are none.
        """
        return self._get("patches", (len(self), None, None), np.float32)

    def patch_neighbors(self) -> PatchNeighbors:
        """The nearest other images of each image's strangest patches.

        Raises:
            EvidenceError: There are no patches.
        """
        if self._neighbors is None:
            self._neighbors = self._find_neighbors(self.rng)
        return self._neighbors

    def _own_neighbors(self, rng: np.random.Generator) -> PatchNeighbors:
        from extensions.refinement.patch_neighbors import PatchNeighbors

        return PatchNeighbors(self.patches(), self.names, rng=rng)

    def embeddings(self) -> np.ndarray:
        """(N, D) float32: for each image the mean and the standard deviation of every channel over its patches.

        Raises:
            EvidenceError: There are none, nor patches.
        """
        if self._sources["embeddings"] is None and self._sources["patches"] is not None:
            self._sources["embeddings"] = lambda: pooled(self.patches())
        return self._get("embeddings", (len(self), None), np.float32)

    def contrastive(self) -> np.ndarray:
        """(N, K) float32: unit-length embeddings by a contrastive head in eval mode.

        Raises:
            EvidenceError: The detector has no such head.
        """
        return self._get("contrastive", (len(self), None), np.float32)

    def views(self) -> np.ndarray:
        """(2, N, K) float32: unit-length embeddings of two augmented views of each image.

        Raises:
            EvidenceError: The detector has no contrastive head.
        """
        return self._get("views", (2, len(self), None), np.float32)

    def discrepancy(self) -> np.ndarray:
        """(N,) float64: how far a trained student is from its teacher, higher is more anomalous.

        Raises:
            EvidenceError: The detector has no student.
        """
        return self._get("discrepancy", (len(self),), np.float64)

    def _get(self, what: str, shape: tuple[int | None, ...], dtype: Any) -> np.ndarray:
        if what in self._found:
            return self._found[what]
        source: Any = self._sources[what]
        if source is None:
            raise EvidenceError(_NEEDED[what])
        found = source() if callable(source) else source
        array = np.asarray(found.detach().cpu() if hasattr(found, "detach") else found, dtype)
        expected = tuple(side if side is not None else "*" for side in shape)
        if len(array.shape) != len(shape) or any(e not in ("*", n) for e, n in zip(expected, array.shape, strict=True)):
            msg = f"{what} has shape {array.shape}; expected {expected}, a row for each of {len(self)} images"
            raise EvidenceError(msg)
        self._check_finite(what, array)
        self._found[what] = array
        return array

    def _check_finite(self, what: str, array: np.ndarray) -> None:
        rows = np.moveaxis(array, 1, 0) if what == "views" else array
        sums = rows.reshape(len(rows), -1).sum(axis=1, dtype=np.float64)
        if not np.isfinite(sums).all():
            name = self.names[int(np.flatnonzero(~np.isfinite(sums))[0])]
            msg = f"{what} of {name} is not finite; expected finite numbers: look at the image and the network"
            raise EvidenceError(msg)


def pooled(patches: np.ndarray) -> np.ndarray:
    """One vector for each image: mean and standard deviation of every channel over its patches.

    Args:
        patches: (N, P, C).

    Returns:
        (N, 2 C) float32.
    """
    if not len(patches):
        return np.empty((0, 2 * patches.shape[2]), np.float32)
    # An image at a time: in one call NumPy would hold a second array of the patches' size.
    rows = (np.concatenate([image.mean(axis=0), image.std(axis=0)]) for image in patches)
    return np.stack(list(rows)).astype(np.float32)


_RANKING = "name the backbone to rank with"
_HEAD = "the detector must have one, such as extensions.ContrastiveStfpm"
_NEEDED: dict[str, str] = {
    "patches": f"needs patch features of a frozen backbone and was given none: {_RANKING}",
    "embeddings": f"needs patch features or embeddings of a frozen backbone and was given none: {_RANKING}",
    "contrastive": f"needs the embeddings of a contrastive head and was given none: {_HEAD}",
    "views": f"needs two augmented views by a contrastive head and was given none: {_HEAD}",
    "discrepancy": f"needs a student and its teacher and was given none: {_HEAD}",
}
