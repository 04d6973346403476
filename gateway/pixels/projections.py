"""Projections: what a whole series shows at once, gathered slice by slice in any order.

Text on every slice stands still while the anatomy moves past it, so the darkest, the mean and the middle value of each
pixel show it clearly. Text on some slices shows in the brightest or the darkest value. Only arithmetic on arrays: about
a tenth of a millisecond for a 512 by 512 slice.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from gateway.pixels.windows import Values

KEPT: Final = 15
"""Slices that are kept whole for the median."""


class Projections:
    """Minimum, maximum, mean and median over the slices of one matrix.

    Parameters
    ----------
    first : numpy.ndarray
        (rows, columns), the first slice; the others must have its shape and type.
    """

    def __init__(self, first: Values) -> None:
        self._minimum = first.copy()
        self._maximum = first.copy()
        self._sum = first.astype(np.int32)
        self._kept: list[Values] = [first.copy()]
        self._stride = 1
        self.count = 1

    def add(self, values: Values) -> None:
        """Take one more slice.

        Raises
        ------
        ValueError
            If its matrix or type is not the first one's.
        """
        if values.shape != self._minimum.shape or values.dtype != self._minimum.dtype:
            raise ValueError("slices of different matrices have no projection")
        np.minimum(self._minimum, values, out=self._minimum)
        np.maximum(self._maximum, values, out=self._maximum)
        np.add(self._sum, values, out=self._sum)
        if self.count % self._stride == 0:
            if len(self._kept) == KEPT:
                self._kept = self._kept[::2]
                self._stride *= 2
            if self.count % self._stride == 0:
                self._kept.append(values.copy())
        self.count += 1

    def copy(self) -> Projections:
        """What was seen until now; nothing that is added later shows in it."""
        twin = object.__new__(Projections)
        twin._minimum, twin._maximum, twin._sum = self._minimum.copy(), self._maximum.copy(), self._sum.copy()
        twin._kept, twin._stride, twin.count = list(self._kept), self._stride, self.count
        return twin

    @property
    def minimum(self) -> Values:
        """The darkest value of each pixel."""
        return self._minimum

    @property
    def maximum(self) -> Values:
        """The brightest value of each pixel."""
        return self._maximum

    def mean(self) -> Values:
        """The mean of each pixel, as float32."""
        return (self._sum / np.float32(self.count)).astype(np.float32)

    def median(self) -> Values:
        """The middle value of each pixel over slices sampled evenly in the order in which they came."""
        middle: Values = np.median(np.stack(self._kept), axis=0).astype(np.float32)
        return middle
