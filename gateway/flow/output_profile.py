"""What a destination wants its structure sets to look like: names, colours, order, labels.

A site's ROI file is YAML::

    others: keep          # or drop: what becomes of ROIs that are not listed
    rois:                 # delivered in this order, before the others
      - from: liver       # what the contourer calls it, without regard to case
        name: Liver
        colour: [255, 128, 0]
        type: ORGAN
      - from: couch
        drop: true
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from gateway.config import Destination
from gateway.errors import ConfigError, Word
from gateway.flow import roi_names
from gateway.flow.structure_set import Roi

__all__ = ["OutputProfile", "OutputRoi", "RoiFile", "RoiRule"]

_Octet = Annotated[int, Field(ge=0, le=255)]


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class RoiRule(_Model):
    """What becomes of one ROI."""

    source: Annotated[str, Field(alias="from", min_length=1)]
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    colour: Annotated[tuple[_Octet, _Octet, _Octet], Field(strict=False)] | None = None
    type: Annotated[str, Field(pattern=r"^[A-Z_]{1,16}$")] | None = None
    """RTROIInterpretedType (PS3.3 C.8.8.8.1)."""
    drop: bool = False


class RoiFile(_Model):
    """A site's ROI file."""

    rois: Annotated[tuple[RoiRule, ...], Field(strict=False)] = ()
    others: Literal["keep", "drop"] = "keep"

    @classmethod
    def load(cls, path: Path) -> RoiFile:
        """Read and check a file.

        Raises
        ------
        ConfigError
            CONFIG_UNREADABLE or CONFIG_INVALID, which names the first wrong entry's place.
        """
        try:
            found = yaml.safe_load(path.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError):
            raise ConfigError("CONFIG_UNREADABLE", key=Word("rois_file")) from None
        try:
            loaded = cls.model_validate({} if found is None else found)
        except ValidationError as error:
            place = error.errors(include_input=False)[0]["loc"]
            where = ".".join(str(part) for part in place if isinstance(part, int) or part.isidentifier())
            raise ConfigError("CONFIG_INVALID", key=Word(f"rois_file {where}"[:80])) from None
        sources = [rule.source.casefold() for rule in loaded.rois]
        if len(set(sources)) != len(sources):
            raise ConfigError("CONFIG_INVALID", key=Word("rois_file from"))
        return loaded


class OutputRoi(NamedTuple):
    """One ROI as it will be delivered."""

    roi: Roi
    name: str
    """Fits the destination."""
    colour: tuple[int, int, int] | None
    interpreted_type: str


@dataclass(frozen=True, slots=True)
class OutputProfile:
    """A destination's wishes, ready to be applied."""

    destination: str
    """Its name in the configuration."""
    label: str = "CONTOURGATE"
    """Template of StructureSetLabel; `{model}` and `{date}` are filled in."""
    description: str = "Contoured by {model}"
    """Template of SeriesDescription and StructureSetDescription."""
    roi_name_limit: int = 16
    rois: RoiFile = field(default_factory=RoiFile)

    @classmethod
    def of(cls, destination: Destination) -> OutputProfile:
        """Read what a configured destination wants.

        Raises
        ------
        ConfigError
            As `RoiFile.load`.
        """
        rois = RoiFile() if destination.rois_file is None else RoiFile.load(destination.rois_file)
        return cls(
            destination.name, destination.label, destination.description, destination.roi_name_limit, rois
        )

    def apply(self, rois: Sequence[Roi], character_set: bytes) -> list[OutputRoi]:
        """Choose, order and name the ROIs.

        Parameters
        ----------
        rois : sequence of Roi
        character_set : bytes
            The value of SpecificCharacterSet in which the names will be written.
        """
        order = {rule.source.casefold(): index for index, rule in enumerate(self.rois.rois)}
        chosen: list[tuple[int, Roi, RoiRule | None]] = []
        for roi in rois:
            index = order.get(roi.name.casefold())
            rule = None if index is None else self.rois.rois[index]
            if rule.drop if rule else self.rois.others == "drop":
                continue
            chosen.append((len(order) if index is None else index, roi, rule))
        chosen.sort(key=lambda entry: entry[0])
        names = roi_names.fit(
            [rule.name if rule and rule.name else roi.name for _, roi, rule in chosen],
            limit=self.roi_name_limit,
            character_set=character_set,
        )
        return [
            OutputRoi(
                roi,
                name,
                rule.colour if rule and rule.colour else roi.colour,
                rule.type if rule and rule.type else roi.interpreted_type,
            )
            for (_, roi, rule), name in zip(chosen, names, strict=True)
        ]

    def filled_label(self, model: str, date: str) -> str:
        """StructureSetLabel: VR SH in the default repertoire, at most 16 characters, never empty."""
        return _filled(self.label, model, date, 16) or "CONTOURGATE"

    def filled_description(self, model: str, date: str) -> str:
        """The description: VR LO in the default repertoire, at most 64 characters."""
        return _filled(self.description, model, date, 64)


def _filled(template: str, model: str, date: str, limit: int) -> str:
    text = template.replace("{model}", model).replace("{date}", date)
    fitted = roi_names.plain(text)
    return fitted[:limit].strip()
