"""Linear maps in closed form: ridge regression of pooled features onto frozen anchors, shrunk towards a given map.

For features X (n, d) and anchors Y (n, D) the map y = W x + b minimises

    1/n sum |W x_i + b - y_i|^2 + ridge * s * |W - W0|^2,

with the prior map W0 (D, d) and the mean variance s of a feature, so that `ridge` has no unit. The
bias is not shrunk. Hoerl & Kennard, "Ridge Regression", Technometrics 1970, with a prior mean. The
best change of rank r follows reduced-rank regression (Izenman, J. Multivariate Analysis 1975):
singular vectors of the change in the metric of the normal equations. Only float64 sums over pairs
are kept: memory does not grow with n.
"""

from dataclasses import dataclass

import torch

from pecl.errors import DataError

RIDGES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0)  # candidate strengths
_FEWEST_PAIRS = 2
_LEAST_SPREAD = 1e-12  # variance of features / their mean square; smaller is rounding


@dataclass(frozen=True)
class LinearMap:
    """y = weight x + bias: weight (D, d), bias (D,)."""

    weight: torch.Tensor
    bias: torch.Tensor

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Map (n, d) to (n, D)."""
        return features.to(self.weight) @ self.weight.T + self.bias


class NormalEquations:
    """Sums over pairs of features, d wide, and anchors, D wide, for the ridge solution.

    Without a bias, features are not centred and s is their mean square.
    """

    def __init__(self, features: int, outputs: int, *, bias: bool = True) -> None:
        self.count = 0
        self._bias = bias
        self._sum_x = torch.zeros(features, dtype=torch.float64)
        self._sum_y = torch.zeros(outputs, dtype=torch.float64)
        self._xx = torch.zeros(features, features, dtype=torch.float64)
        self._xy = torch.zeros(features, outputs, dtype=torch.float64)

    def add(self, features: torch.Tensor, anchors: torch.Tensor) -> None:
        """Add n pairs: (n, d) and (n, D)."""
        x = features.to(self._xx)
        y = anchors.to(self._xy)
        self.count += len(x)
        self._sum_x += x.sum(0)
        self._sum_y += y.sum(0)
        self._xx.addmm_(x.T, x)
        self._xy.addmm_(x.T, y)

    def solve(self, prior: LinearMap, ridge: float) -> LinearMap:
        """Return the map, shrunk towards `prior`, in float64.

        Raises:
            DataError: there are fewer than two pairs, or the features do not vary.
        """
        metric, residual = self._system(prior, ridge)
        return self._with_bias(prior.weight.double() + torch.cholesky_solve(residual, metric).T)

    def solve_low_rank(
        self,
        base: LinearMap,
        prior: LinearMap,
        ridge: float,
        rank: int,
    ) -> dict[str, torch.Tensor]:
        """Return the change of `base` of rank `rank` whose outputs are nearest to those of `solve(prior, ridge)`.

        It is `up` (D, r) times `down` (r, d) for the weight, and `shift` (D,) for the bias.
        """
        # lower triangular L (d, d) with L L^T = M; (d, D)
        metric, residual = self._system(prior, ridge)
        solution = prior.weight.double().T + torch.cholesky_solve(residual, metric)  # (d, D)
        # (d, D): Frobenius norm = norm in the metric M
        change = metric.T @ (solution - base.weight.double().T)
        u, s, vh = torch.linalg.svd(change, full_matrices=False)
        root = s[:rank].sqrt()  # half to each factor, so that both are of one size
        down = torch.linalg.solve_triangular(metric.T, u[:, :rank] * root, upper=True).T  # (r, d)
        up = vh[:rank].T * root  # (D, r)
        whole = self._with_bias(base.weight.double() + up @ down)

        return {"down": down, "up": up, "shift": whole.bias - base.bias.double()}

    def _system(self, prior: LinearMap, ridge: float) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the Cholesky factor (d, d) of the covariance with ridge, and the residual (d, D) of `prior`."""
        if self.count < _FEWEST_PAIRS:
            raise DataError(
                f"expected at least {_FEWEST_PAIRS} pairs for the closed form, got {self.count}", field="text"
            )

        mean_x, mean_y = self._means()
        xx = self._xx / self.count - mean_x.outer(mean_x)  # (d, d)
        xy = self._xy / self.count - mean_x.outer(mean_y)  # (d, D)
        scale = xx.diagonal().mean()
        if not scale > _LEAST_SPREAD * self._xx.diagonal().mean() / self.count:
            raise DataError(
                f"expected different texts for the closed form, got {self.count} of equal features", field="text"
            )

        residual = xy - xx @ prior.weight.double().T  # (d, D)
        metric = xx + ridge * scale * torch.eye(len(xx), dtype=xx.dtype)
        factor, failed = torch.linalg.cholesky_ex(metric)
        if failed:
            raise DataError(
                f"{self.count} pairs do not determine a map of {len(xx)} features at the ridge {ridge:g}: "
                f"expected more than {len(xx)} pairs, or a ridge above 0",
                field="text",
            )
        return factor, residual

    def _with_bias(self, weight: torch.Tensor) -> LinearMap:
        mean_x, mean_y = self._means()
        return LinearMap(weight, mean_y - weight @ mean_x)

    def _means(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the means of features (d,) and anchors (D,), or zeros for a map without bias."""
        if not self._bias:
            return torch.zeros_like(self._sum_x), torch.zeros_like(self._sum_y)
        return self._sum_x / self.count, self._sum_y / self.count


def choose_ridge(
    equations: NormalEquations,
    prior: LinearMap,
    features: torch.Tensor,
    anchors: torch.Tensor,
) -> float:
    """Return the strength of `RIDGES` with the smallest mean squared error on held-out pairs.

    `equations` are sums over the training pairs; features (m, d) and anchors (m, D) are those of
    the held-out pairs. If errors are equal, the larger strength wins.

    Raises:
        DataError: there are no held-out pairs, or as `NormalEquations.solve`.
    """
    if not len(features):
        raise DataError("expected at least one pair to choose the ridge by, got none", field="held_out")
    errors = {
        ridge: float((equations.solve(prior, ridge)(features) - anchors.double()).square().mean()) for ridge in RIDGES
    }
    return min(sorted(errors, reverse=True), key=errors.__getitem__)
