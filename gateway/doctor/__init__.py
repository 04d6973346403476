"""The doctor: can this machine and this account carry the gateway, is what it keeps sound, are its peers there?

Each examination looks at one thing and says what it found. None changes anything but a file of its own in the
clerk's folder, to time the disk. The gateway may run meanwhile; the console shows what a running one finds (`rounds`).
"""

from gateway.doctor.checkup import examine
from gateway.doctor.diagnosis import Diagnosis, Finding, is_green

__all__ = ["Diagnosis", "Finding", "examine", "is_green"]
