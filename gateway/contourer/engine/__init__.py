"""The engine: classical image analysis that outlines what a threshold and anatomy can find.

Runs as a process of its own (`python -m gateway.contourer.engine`) with no network and no key (R41): pseudonymised
slices come in on standard input, an RT Structure Set goes out on standard output. It is no medical device and says so
in what it writes: every structure is marked AUTOMATIC and UNAPPROVED.

::

    slices.py         one Part 10 image        -> Slice (HU, geometry, UIDs)
    volume.py         slices                   -> Volume (voxels along the patient's axes)
    segmentation.py   Volume                   -> masks, by external.py (external_mr.py), bones.py, canal.py, lungs.py
    contours.py       masks                    -> closed planar outlines in mm, by keyhole.py and simplify.py
    structure_set.py  Volume and outlines      -> RT Structure Set, Part 10, with contour_sequence.py
    engine.py         the whole way of one order
    frames.py         the bytes on the pipe
"""
