"""From the numbers of a distance matrix to the probability that its offset is right.

A logistic regression: twelve numbers of the matrix (pipeline/sync/reliability.py), each with a
weight that changes with the logarithm of the length, so that one set of coefficients serves any
number of windows. It is fitted by `python -m training.calibrate` on people the network was not
trained on, and kept in the configuration of its weights.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

REFERENCE_WINDOWS = 120  # of a 5 s piece: where the logarithm of the length is zero
LARGEST_DEVIATION = 6.0  # of a scaled number


@dataclass(frozen=True)
class Calibration:
    """Coefficients of one network.

    Attributes:
        vshift: largest shift of the distances it was fitted on, frames.
        windows: fewest and most windows it was fitted on.
        means, deviations: (12,) of the numbers, by which they are brought to one scale; older
            calibrations have (11,), without the last.
        bias: logit of a piece of `REFERENCE_WINDOWS` whose numbers are all average.
        weights: (12,) of the scaled numbers.
        slopes: (12,) by how much each weight grows as the length doubles.
        length: (2,) weights of the length's logarithm and of its square.
        threshold: (3,) coefficients of a polynomial in the length's logarithm, constant first:
            the logit that a hundredth of other people's sound exceeds.
        people: how many it was fitted on.
    """

    vshift: int
    windows: tuple[int, int]
    means: tuple[float, ...]
    deviations: tuple[float, ...]
    bias: float
    weights: tuple[float, ...]
    slopes: tuple[float, ...]
    length: tuple[float, float]
    threshold: tuple[float, float, float]
    people: int

    def logit(self, numbers: np.ndarray, windows: int) -> float:
        """Log odds that the offset is right, where half of all sound is somebody else's.

        Args:
            numbers: (12,) of the distance matrix.
            windows: how many it has; a longer clip counts as the longest that was fitted.
        """
        return float(self.inputs(numbers, windows) @ self._coefficients())

    def inputs(self, numbers: np.ndarray, windows: int) -> np.ndarray:
        """(27,) inputs of the regression, in the order of bias, weights, slopes, length."""
        scaled = (numbers[: len(self.means)] - np.array(self.means)) / np.array(self.deviations)
        # Numbers beyond those fitted count as the most extreme one that was fitted.
        scaled = scaled.clip(-LARGEST_DEVIATION, LARGEST_DEVIATION)
        octaves = self.octaves(windows)
        return np.concatenate([[1.0], scaled, scaled * octaves, [octaves, octaves**2]])

    def octaves(self, windows: int) -> float:
        """Logarithm of the length to the base of 2, zero at `REFERENCE_WINDOWS`."""
        return float(np.log2(np.clip(windows, *self.windows) / REFERENCE_WINDOWS))

    def least_logit(self, windows: int) -> float:
        """Smallest logit of a reliable offset: never of one that is likelier wrong than right.

        Of long clips somebody else's sound reaches so little that the threshold alone would trust
        lips that hardly go with their own.
        """
        octaves = self.octaves(windows)
        return max(0.0, float(np.polynomial.polynomial.polyval(octaves, self.threshold)))

    def trusts(self, numbers: np.ndarray, windows: int) -> bool:
        """Whether a piece with these numbers lies above the threshold; arguments as of `logit`."""
        return self.logit(numbers, windows) >= self.least_logit(windows)

    def rescaled(self, factor: float, numbers: tuple[int, ...]) -> "Calibration":
        """The same where embeddings have grown by `factor`, and with them these numbers."""
        factors = [factor if index in numbers else 1.0 for index in range(len(self.means))]
        return replace(
            self,
            means=tuple(v * f for v, f in zip(self.means, factors, strict=True)),
            deviations=tuple(v * f for v, f in zip(self.deviations, factors, strict=True)),
        )

    def _coefficients(self) -> np.ndarray:
        return np.array([self.bias, *self.weights, *self.slopes, *self.length])

    @staticmethod
    def from_dict(stored: dict[str, Any]) -> "Calibration":
        """The inverse of `dataclasses.asdict`, also after JSON.

        Raises:
            TypeError, ValueError: the values are no calibration.
        """
        values: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list | tuple) else value
            for name, value in stored.items()
        }
        calibration = Calibration(**values)
        lengths = {
            len(v)
            for v in (
                calibration.means,
                calibration.deviations,
                calibration.weights,
                calibration.slopes,
            )
        }
        if len(lengths) != 1 or len(calibration.length) != 2 or len(calibration.threshold) != 3:
            raise ValueError("a calibration has one weight, slope, mean, deviation per number")
        return calibration
