"""Contourgate: a DICOM gateway between a radiotherapy department and an auto-contouring service."""

__version__ = "0.1.0"
