"""The few directions in which the rows of a bank spread most, and the lower bound of a distance that they give."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

LEAST_SHARE = 0.9  # of the squared lengths, in the head
FEWEST_ROWS, FEWEST_CHANNELS = 256, 512  # that are worth a head
STEP = 16  # channels
SAMPLE = 4096  # rows that the directions are found from


@dataclass(frozen=True)
class Heads:
    """Rows x as (h, t): their coordinates along orthonormal directions, and the length of what these leave of them.

    |x - y|² is |h - h'|² and the squared distance of the rests, which is at least (t - t')² (Cauchy and Schwarz). So
    h·h' + t t' is at least x·y, and a product of short rows bounds that of whole ones. Any directions are right; those
    of the bank's largest variance make the bound tight. They are found by one pass over random combinations of rows
    (Halko, Martinsson and Tropp 2011, "Finding structure with randomness", https://doi.org/10.1137/090771806), drawn
    with a fixed seed.

    Attributes:
        directions: (n_channels, n_directions) float32, orthonormal.
        relative_error: Of the squared length of a row: lengths are given as larger by this, so that rounding keeps the
            bound a bound.
    """

    directions: np.ndarray
    relative_error: float

    @classmethod
    def of(cls, rows: np.ndarray, *, relative_error: float) -> Heads | None:
        """The fewest directions that hold nine tenths of the squared lengths; None where a quarter of them do not.

        Args:
            rows: (n_rows, n_channels) float32, shifted to their mean.
            relative_error: See the attribute.
        """
        n_rows, n_channels = rows.shape
        if n_rows < FEWEST_ROWS or n_channels < FEWEST_CHANNELS:
            return None
        some = rows[:: -(-n_rows // SAMPLE)]
        n_probes = min(len(some), n_channels // 4)
        probes = np.random.default_rng(0).standard_normal((n_channels, n_probes)).astype(np.float32)
        basis = np.linalg.qr((some.T @ (some @ probes)).astype(np.float64))[0]
        seen = some @ basis.astype(np.float32)
        values, vectors = np.linalg.eigh((seen.T @ seen).astype(np.float64))
        held = np.cumsum(values[::-1]) / max(float(np.einsum("ij,ij->", some, some, dtype=np.float64)), 1e-30)
        enough = np.flatnonzero(held >= LEAST_SHARE)
        if not len(enough):
            return None
        n_directions = -(-(int(enough[0]) + 1) // STEP) * STEP
        directions = basis @ vectors[:, ::-1][:, :n_directions]
        return cls(np.ascontiguousarray(directions, np.float32), relative_error)

    def left(self, rows: np.ndarray, squares: np.ndarray) -> np.ndarray:
        """(h, t, 1) of queries with these squared lengths, (n, n_directions + 2)."""
        heads = rows @ self.directions
        rest = squares - np.einsum("ij,ij->i", heads, heads)
        lengths = np.sqrt(np.maximum(rest, 0) + np.float32(self.relative_error) * squares)
        return np.column_stack([heads, lengths, np.ones(len(rows), np.float32)])

    def factors(self, rows: np.ndarray) -> np.ndarray:
        """(-h, -t, |r|² / 2) of the bank: times (h, t, 1) at most half the squared distance less the query's half."""
        squares = np.einsum("ij,ij->i", rows, rows)
        left = self.left(rows, squares)
        left[:, :-1] *= -1
        left[:, -1] = squares / 2
        return left
