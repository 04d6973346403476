"""The slices of a passage as planes in the patient's space: which point lies where."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from gateway.flow.structure_set import ExpectedSlice

__all__ = ["Planes"]


class Planes:
    """Parallel slices of one matrix and one spacing.

    Parameters
    ----------
    slices : sequence of ExpectedSlice
        At least one; the gates before have made sure that orientation, spacing and matrix are one.
    """

    def __init__(self, slices: Sequence[ExpectedSlice]) -> None:
        first = slices[0]
        along_row, along_column = np.array(first.orientation[:3]), np.array(first.orientation[3:])
        normal = np.cross(along_row, along_column)
        between_rows, between_columns = first.spacing
        self._to_pixels = np.stack(
            [along_row / between_columns, along_column / between_rows, normal / np.linalg.norm(normal)],
            axis=1,
        )
        """(3, 3): mm in the patient's space to columns, rows and mm along the normal."""
        self._origins = np.array([one.position for one in slices]) @ self._to_pixels
        self.shape = np.array([first.columns, first.rows])
        """Columns and rows."""
        self.mm = np.array([between_columns, between_rows])
        """Millimetres per pixel along a row, along a column."""

    def project(self, points: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
        """Turn points into the slices' axes.

        Parameters
        ----------
        points : numpy.ndarray
            (points, 3), mm in the patient's space.

        Returns
        -------
        numpy.ndarray
            (points, 3): columns, rows and mm along the normal, from the patient's origin.
        """
        projected: npt.NDArray[np.float64] = points @ self._to_pixels
        return projected

    def nearest(self, heights: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The index of the slice nearest to each height, mm along the normal."""
        nearest: npt.NDArray[np.int64] = np.abs(heights[:, None] - self._origins[None, :, 2]).argmin(axis=1)
        return nearest

    def relative(
        self, projected: npt.NDArray[np.float64], slice_index: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float64]:
        """Where projected points lie seen from their slice's first pixel: column, row, mm off its plane."""
        relative: npt.NDArray[np.float64] = projected - self._origins[slice_index]
        return relative
