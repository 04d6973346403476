"""Windows: stored values become the grey values at which a person, or a reader of text, looks.

CT has Hounsfield units, so its windows are fixed. MR has none: its windows follow the values that are there.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

Values = npt.NDArray[Any]
"""(rows, columns), stored values of any integer type."""
Grey = npt.NDArray[np.uint8]
"""(rows, columns), 0 black to 255 white."""


class Window(NamedTuple):
    """What is black and what is white, in stored values (PS3.3 C.11.2.1.2, linear)."""

    low: float
    high: float


class Rescale(NamedTuple):
    """From stored values to Hounsfield units (PS3.3 C.11.1.1.2)."""

    slope: float = 1.0
    intercept: float = 0.0

    def stored(self, low_hu: float, high_hu: float) -> Window:
        """A window that is given in Hounsfield units."""
        ends = ((low_hu - self.intercept) / self.slope, (high_hu - self.intercept) / self.slope)
        return Window(min(ends), max(ends))


SOFT_TISSUE_HU: Final = (-160.0, 240.0)
LUNG_HU: Final = (-1350.0, 150.0)
_SAMPLED: Final = 7
"""Every so many-th row and column is enough for a percentile."""


def soft_tissue(modality: str, rescale: Rescale, values: Values) -> Window:
    """The window at which a person looks at the series first.

    Parameters
    ----------
    modality : str
    rescale : Rescale
        Counts for CT only.
    values : numpy.ndarray
        One slice, from which an MR window is taken.
    """
    if modality == "CT" and rescale.slope:
        return rescale.stored(*SOFT_TISSUE_HU)
    return _between(values, 1, 99)


def windows(modality: str, rescale: Rescale, values: Values) -> tuple[Window, ...]:
    """The three windows in which text is looked for.

    Soft tissue, lung and everything for CT; the usual range, the dark half and everything for MR.
    """
    everything = _between(values, 0, 100)
    if modality == "CT" and rescale.slope:
        return rescale.stored(*SOFT_TISSUE_HU), rescale.stored(*LUNG_HU), everything
    return _between(values, 1, 99), _between(values, 0, 60), everything


def grey(values: Values, window: Window) -> Grey:
    """The values in a window, as 8-bit grey."""
    width = max(window.high - window.low, 1.0)
    scaled = (values.astype(np.float32) - window.low) * (255.0 / width)
    shades: Grey = np.clip(scaled, 0, 255).astype(np.uint8)
    return shades


def _between(values: Values, low: float, high: float) -> Window:
    step = _SAMPLED if low > 0 or high < 100 else 1
    few = values[::step, ::step]
    ends = np.percentile(few, (low, high))
    return Window(float(ends[0]), float(ends[1]))
