"""What pretraining and fine-tuning on numbers share: their units, the loss, and the measures of what was predicted."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from tmbench.errors import ConfigError
from tmbench.sources.network import Inputs, in_batches


@dataclass(frozen=True)
class Units:
    """What a network is taught to predict numbers in: their distance from their mean, over one length for all outputs.

    The mean squared error in these units is the one in the outputs' own but for a factor, so that a learning rate
    means the same whatever the numbers are, and training begins at their mean.

    Attributes:
        mean: (k,) float64 of each output.
        length: the root of the mean variance of the outputs; 1 where none varies.
    """

    mean: np.ndarray
    length: float

    @classmethod
    def of(cls, values: np.ndarray) -> "Units":
        """Those of ``values`` (n, k)."""
        return cls(values.mean(axis=0), float(np.sqrt(values.var(axis=0).mean())) or 1.0)

    def loss(self, outputs: Tensor, values: Tensor) -> Tensor:
        """The mean squared error of ``outputs`` (n, k), in these units, of ``values`` (n, k) float64, in their own."""
        mean = torch.from_numpy(self.mean).to(values.device)
        return nn.functional.mse_loss(outputs, ((values - mean) / self.length).to(outputs.dtype))

    def predicted(self, network: nn.Module, inputs: Inputs) -> np.ndarray:
        """(n, k) float64: what ``network`` predicts, in the values' own units."""
        return in_batches(network, inputs).double().numpy() * self.length + self.mean

    def put_into(self, network: nn.Module) -> None:
        """Change the head of ``network``, so that it predicts in the values' own units.

        Raises:
            ConfigError: for a head that is no linear map with an intercept.
        """
        head = network.get_classifier()  # type: ignore[operator]
        if not isinstance(head, nn.Linear) or head.bias is None:
            raise ConfigError(
                f"a source is pretrained on numbers by a linear head with an intercept; that of "
                f"{type(network).__name__} is {type(head).__name__}."
            )
        with torch.no_grad():
            head.weight.mul_(self.length)
            head.bias.mul_(self.length).add_(torch.from_numpy(self.mean).to(head.bias))


def measures(
    values: np.ndarray, predicted: np.ndarray, names: Sequence[str], lengths: np.ndarray | None, tolerance: float
) -> dict[str, float]:
    """How well ``predicted`` (n, k) meets ``values`` (n, k); larger is better.

    Args:
        values: what is true.
        predicted: what a network says.
        names: of the k outputs.
        lengths: (n,) the reference length of each image, in the units of the points; None where outputs are no points.
        tolerance: a point is predicted correctly within this share of the reference length.

    Returns:
        ``negative_mse``, minus the mean squared error over images and outputs; ``negative_mse_over_variance``, that of
        each output over its variance in ``values``, averaged over the outputs that vary (-1 is what their mean
        reaches; absent where none varies); ``pck``, the share of points that are predicted correctly; and
        ``negative_mse/OUTPUT`` of each output.
    """
    errors = ((values - predicted) ** 2).mean(axis=0)
    variances = values.var(axis=0)
    found = {"negative_mse": -float(errors.mean())}
    if (varies := variances > 0).any():
        found["negative_mse_over_variance"] = -float((errors[varies] / variances[varies]).mean())
    if lengths is not None:
        apart = np.linalg.norm((values - predicted).reshape(len(values), -1, 2), axis=2)
        found["pck"] = float((apart <= tolerance * lengths[:, None]).mean())
    return found | {f"negative_mse/{name}": -float(error) for name, error in zip(names, errors, strict=True)}
