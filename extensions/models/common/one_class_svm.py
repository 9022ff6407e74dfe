"""A one-class support vector machine that scikit-learn fits and torch evaluates, so that it is plain tensors."""

import torch
from anomalib.models.components import DynamicBufferMixin
from torch import nn

from extensions.configuration.checked_values import check_values


class OneClassSvm(DynamicBufferMixin, nn.Module):
    """Scores vectors by how far outside of a region they lie that holds most of those it was fitted to.

    Schölkopf et al., "Estimating the Support of a High-Dimensional Distribution", 2001,
    https://doi.org/10.1162/089976601750264965, with a Gaussian kernel. Each number of a vector is scaled so that the
    fitted ones lie in 0 to 1; others may lie outside. `forward` gives minus the decision function of scikit-learn's
    `OneClassSVM`, equal to 1e-5 (for thousands of images, whose values are in the hundreds, to seven digits): higher
    is more anomalous, 0 is its boundary. It is computed in double precision, except in exported models.

    Shapes: features (N, D) -> scores (N,).

    Args:
        nu: In (0, 1], the share of the fitted vectors that may lie outside at most, and that become support vectors at
            least.
        gamma: Of the kernel exp(-gamma · distance²) on scaled vectors; `scale` takes 1 / (D · variance of all numbers),
            `auto` 1 / D.

    Raises:
        ValueError: A number out of range.
    """

    low: torch.Tensor
    span: torch.Tensor
    support_vectors: torch.Tensor
    dual_coefs: torch.Tensor
    kernel_gamma: torch.Tensor
    intercept: torch.Tensor

    def __init__(self, *, nu: float, gamma: str | float) -> None:
        super().__init__()
        is_gamma = gamma in ("scale", "auto") or (isinstance(gamma, int | float) and gamma > 0)
        check_values(
            nu=(nu, 0 < nu <= 1, "more than 0 and at most 1"),
            gamma=(gamma, is_gamma, "scale, auto or a number above 0"),
        )
        self.nu, self.gamma = nu, gamma
        self.reset()

    @property
    def is_fitted(self) -> bool:
        """Whether there is something to compare with."""
        return len(self.support_vectors) > 0

    def reset(self) -> None:
        """Forget what was fitted."""
        for name, shape in (
            ("low", (0,)), ("span", (0,)), ("support_vectors", (0, 0)), ("dual_coefs", (0,)), ("kernel_gamma", ()),
            ("intercept", ()),
        ):  # fmt: skip
            self.register_buffer(name, torch.zeros(shape))

    def fit(self, features: torch.Tensor) -> None:
        """Fit to vectors (N, D).

        Raises:
            ValueError: Fewer than two vectors, or a number that is not finite.
        """
        if len(features) < 2 or not features.isfinite().all():
            n_broken = int((~features.isfinite().all(dim=1)).sum())
            msg = (
                f"a one-class SVM needs at least 2 training images with finite features, found {len(features)}, "
                f"{n_broken} of them not finite: give more images, or train with a lower learning rate."
            )
            raise ValueError(msg)
        from sklearn.svm import OneClassSVM

        device = features.device
        low, high = features.aminmax(dim=0)
        self.low = low
        self.span = torch.where(high > low, high - low, torch.ones_like(low))  # as MinMaxScaler does
        scaled = ((features - self.low) / self.span).double().cpu().numpy()  # (N, D)
        found = OneClassSVM(kernel="rbf", nu=self.nu, gamma=self._gamma(scaled.shape[1], float(scaled.var())))
        found.fit(scaled)
        for name, array in (
            ("support_vectors", found.support_vectors_), ("dual_coefs", found.dual_coef_[0]),
            ("kernel_gamma", found.gamma), ("intercept", found.intercept_[0]),
        ):  # fmt: skip
            setattr(self, name, torch.as_tensor(array, dtype=torch.float32, device=device))

    def forward(self, features: torch.Tensor) -> torch.Tensor:
        """Minus the decision function.

        Raises:
            RuntimeError: Nothing was fitted.
        """
        if not self.is_fitted:
            msg = "the one-class SVM has not been fitted: fit the model first, or load a checkpoint of a finished fit."
            raise RuntimeError(msg)
        scaled = (features - self.low) / self.span  # (N, D)
        vectors, coefs = self.support_vectors, self.dual_coefs
        if not torch.compiler.is_compiling():
            scaled, vectors, coefs = scaled.double(), vectors.double(), coefs.double()
        center = vectors.mean(dim=0)  # small numbers lose less where squares are subtracted
        scaled, vectors = scaled - center, vectors - center
        squares = scaled.square().sum(dim=1, keepdim=True) + vectors.square().sum(dim=1)  # (N, K)
        distances = (squares - 2 * scaled @ vectors.T).clamp_min(0)
        kernel = torch.exp(-self.kernel_gamma.to(distances) * distances)  # (N, K)
        return -(kernel @ coefs + self.intercept.to(distances)).to(features.dtype)  # (N,)

    def _gamma(self, n_dimensions: int, variance: float) -> float:
        """Gamma as scikit-learn understands its names."""
        if self.gamma == "auto":
            return 1 / n_dimensions
        if self.gamma == "scale":
            return 1 / (n_dimensions * variance) if variance else 1.0
        return float(self.gamma)
