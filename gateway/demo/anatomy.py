"""The made patient's anatomy: what lies where, in mm, and what a scanner would see of it.

In: how many slices, how far apart, how fine. Out: planes of HU with a body on a couch, two lungs with vessels, a heart,
ribs, a sternum, a spine with its canal, and noise; and the masks that they were painted from, so that a measurement
has a truth to compare with.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

__all__ = ["Phantom"]

Mask = NDArray[np.bool_]
Plane = NDArray[np.float32]

_AIR, _FAT, _MUSCLE, _LUNG, _BLOOD = -1000.0, -95.0, 45.0, -840.0, 40.0
_CORTEX, _MARROW, _DISC, _CORD = 720.0, 260.0, 85.0, 30.0
_COUCH_SHELL, _COUCH_FOAM = -60.0, -930.0
_VERTEBRA_MM, _DISC_MM, _RIB_MM = 28.0, 6.0, 26.0


@dataclass(frozen=True)
class Phantom:
    """The geometry of the made patient, in mm of the patient coordinate system (PS3.3 C.7.6.2.1.1).

    x grows to the patient's left, y to the back, z to the head; the origin lies in the middle of the chest.
    """

    slices: int = 100
    slice_distance_mm: float = 3.0
    matrix: int = 512
    """Rows and columns."""
    pixel_spacing_mm: float = 0.9765625
    noise_hu: float = 12.0
    """Standard deviation of the noise."""
    seed: int = 1
    couch: bool = True
    vessels: int = 14
    """Vessels in each lung."""
    _grid: tuple[Plane, Plane] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if self.slices < 1 or self.matrix < 16 or self.slice_distance_mm <= 0 or self.pixel_spacing_mm <= 0:
            raise ValueError("a phantom needs slices, a matrix and distances above zero")
        axis = (np.arange(self.matrix, dtype=np.float32) - (self.matrix - 1) / 2) * self.pixel_spacing_mm
        object.__setattr__(self, "_grid", (axis[np.newaxis, :], axis[:, np.newaxis]))

    @property
    def heights_mm(self) -> NDArray[np.float64]:
        """z of each slice, from the feet up."""
        return np.asarray(
            (np.arange(self.slices) - (self.slices - 1) / 2) * self.slice_distance_mm, np.float64
        )

    @property
    def corner_mm(self) -> float:
        """x and y of the first pixel's centre, supine and head first."""
        return -(self.matrix - 1) / 2 * self.pixel_spacing_mm

    def external(self, z: float) -> Mask:
        """The body at a height."""
        return self._within(0, 0, 178 * self._taper(z), 112 * self._taper(z))

    def lung(self, side: int, z: float) -> Mask:
        """A lung with its vessels at a height; side 1 is the patient's left, -1 the right."""
        height = 1 - ((z - 12) / 128) ** 2
        if height <= 0:
            return np.zeros((self.matrix, self.matrix), bool)
        grown = float(np.sqrt(height))
        inside = self._within(side * 80, -8, 66 * grown, 84 * grown)
        inside &= self._within(0, 0, 142 * self._taper(z), 80 * self._taper(z))  # within the ribs
        dome = 1 - ((z + 128) / (92 if side < 0 else 82)) ** 2
        if dome > 0:
            inside &= ~self._within(side * 80, -8, 76 * float(np.sqrt(dome)), 100 * float(np.sqrt(dome)))
        return inside & ~self._heart(z)

    def bone(self, z: float) -> Mask:
        """Vertebra, ribs and sternum at a height, with their marrow."""
        return (self._vertebra(z) | self._ribs(z, 4.5) | self._sternum(z, 0)) & ~self.canal(z)

    def canal(self, z: float) -> Mask:
        """The spinal canal at a height."""
        return self._within(0, 78 + 2 * np.sin(z / 60), 10.5, 8.5)

    def hounsfield(self, z: float) -> Plane:
        """What a scanner without noise would see at a height."""
        plane = np.full((self.matrix, self.matrix), _AIR, np.float32)
        if self.couch:
            self._paint_couch(plane)
        body, taper = self.external(z), self._taper(z)
        plane[body] = _FAT
        plane[self._within(0, 0, 166 * taper, 100 * taper)] = _MUSCLE
        plane[self._heart(z)] = _BLOOD + 5
        for side in (-1, 1):
            lung = self.lung(side, z)
            plane[lung] = _LUNG
            plane[lung & self._vessels(side, z)] = _BLOOD
        plane[self._airway(z)] = _AIR
        plane[self._vertebra(z)] = _CORTEX
        plane[self._marrow(z)] = _MARROW
        plane[self._ribs(z, 4.5)] = _CORTEX
        plane[self._ribs(z, 2.2)] = _MARROW
        plane[self._sternum(z, 0)] = _CORTEX
        plane[self._sternum(z, 2)] = _MARROW
        if self._is_disc(z):
            plane[self._within(0, 50, 22, 16)] = _DISC
        plane[self.canal(z)] = _CORD
        return plane

    def planes(self) -> Iterator[NDArray[np.int16]]:
        """The slices as stored, in HU, from the feet up."""
        random = np.random.default_rng(self.seed)
        for z in self.heights_mm:
            noise = random.standard_normal((self.matrix, self.matrix), np.float32) * np.float32(self.noise_hu)
            yield np.clip(np.rint(self.hounsfield(float(z)) + noise), -1024, 3071).astype(np.int16)

    def volumes_cm3(self) -> dict[str, float]:
        """The true volume of each structure, by its TG-263 name."""
        voxel = self.pixel_spacing_mm**2 * self.slice_distance_mm / 1000
        heights = [float(z) for z in self.heights_mm]
        return {
            "External": voxel * sum(int(self.external(z).sum()) for z in heights),
            "Lung_L": voxel * sum(int(self.lung(1, z).sum()) for z in heights),
            "Lung_R": voxel * sum(int(self.lung(-1, z).sum()) for z in heights),
            "Bones": voxel * sum(int(self.bone(z).sum()) for z in heights),
            "SpinalCanal": voxel * sum(int(self.canal(z).sum()) for z in heights),
        }

    # Anatomy

    def _within(self, x: float, y: float, half_width: float, half_depth: float) -> Mask:
        across, down = self._grid
        return ((across - x) / half_width) ** 2 + ((down - y) / half_depth) ** 2 <= 1

    @staticmethod
    def _taper(z: float) -> float:
        return 1 - 0.08 * min(1.0, (z / 150) ** 2)

    @staticmethod
    def _is_disc(z: float) -> bool:
        return z % _VERTEBRA_MM < _DISC_MM

    def _heart(self, z: float) -> Mask:
        height = 1 - ((z + 35) / 58) ** 2
        if height <= 0:
            return np.zeros((self.matrix, self.matrix), bool)
        return self._within(24, -38, 52 * float(np.sqrt(height)), 40 * float(np.sqrt(height)))

    def _airway(self, z: float) -> Mask:
        if z >= 45:
            return self._within(0, 12, 9, 9)
        reach = (45 - z) * 0.9
        if z < 20:
            return np.zeros((self.matrix, self.matrix), bool)
        return self._within(-reach, 12, 7, 7) | self._within(reach, 12, 7, 7)

    def _vertebra(self, z: float) -> Mask:
        across, down = self._grid
        middle = 78 + 2 * np.sin(z / 60)
        spinous = (abs(across) < 3.5) & (down > middle) & (down < middle + 24)
        if self._is_disc(z):  # the foramina lie open between two arches
            arch = self._within(0, middle, 15, 13) & (down > middle + 2)
            return np.asarray((arch | spinous) & ~self.canal(z))
        transverse = (abs(across) < 32) & (abs(down - middle) < 4.5)
        arch = self._within(0, middle, 15.5, 13.5)
        return np.asarray((self._within(0, 50, 22, 18) | arch | transverse | spinous) & ~self.canal(z))

    def _marrow(self, z: float) -> Mask:
        if self._is_disc(z):
            return np.zeros((self.matrix, self.matrix), bool)
        return self._within(0, 50, 20, 16) & ~self._within(0, 78 + 2 * np.sin(z / 60), 13, 11)

    def _ribs(self, z: float, half_thickness: float) -> Mask:
        across, down = self._grid
        wide, deep = 150 * self._taper(z), 88 * self._taper(z)
        radius = np.hypot(across / wide, down / deep)
        off_middle = abs(radius - 1) * np.hypot(across, down) / np.maximum(radius, 1e-3)
        descent = 38 * (1 - down / deep)  # a rib runs down from the spine to the front
        along = (z + descent + _RIB_MM * 0.3) % _RIB_MM
        flank = (down > -deep * 0.85) & (abs(across) > 26)
        half_height = half_thickness * 1.4
        return np.asarray(flank & (off_middle < half_thickness) & (abs(along - _RIB_MM / 2) < half_height))

    def _sternum(self, z: float, inset: float) -> Mask:
        if z < -40:
            return np.zeros((self.matrix, self.matrix), bool)
        return self._within(0, -89 * self._taper(z), 18 - inset, 6.5 - inset)

    def _vessels(self, side: int, z: float) -> Mask:
        found = np.zeros((self.matrix, self.matrix), bool)
        for x, y, height, radius in self._vessel_ends[side]:
            along = (z - 5) / (height - 5)
            if 0.05 <= along <= 1:
                thin = radius * (1.15 - 0.7 * along)
                found |= self._within(
                    side * 38 + along * (x - side * 38), 5 + along * (y - 5), max(thin, 0.8), max(thin, 0.8)
                )
        return found

    @cached_property
    def _vessel_ends(self) -> dict[int, list[tuple[float, float, float, float]]]:
        random = np.random.default_rng(self.seed + 1)
        return {
            side: [
                (
                    side * float(random.uniform(48, 125)),
                    float(random.uniform(-65, 55)),
                    float(random.choice([-1, 1]) * random.uniform(35, 90)),
                    float(random.uniform(2.0, 4.2)),
                )
                for _ in range(self.vessels)
            ]
            for side in (-1, 1)
        }

    def _paint_couch(self, plane: Plane) -> None:
        across, down = self._grid
        reach = abs(across) < 235
        plane[reach & (down > 113) & (down < 158)] = _COUCH_FOAM
        shell = reach & (((down > 113) & (down < 116)) | ((down > 155) & (down < 158)))
        plane[shell | ((abs(abs(across) - 233.5) < 1.6) & (down > 113) & (down < 158))] = _COUCH_SHELL
