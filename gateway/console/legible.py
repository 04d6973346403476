"""Names and colours that come from a contourer, made fit to be shown to a person.

Comes in: whatever a structure set holds. Goes out: text that acts on nothing around it, colours that can be seen.
Escaping for HTML is not done here but where HTML is written.
"""

from __future__ import annotations

import unicodedata

ROI_NAME_LIMIT = 64
"""Characters of an ROI name that are shown (PS3.3 C.8.8.5: ROIName is LO)."""

_LEAST_LUMINANCE = 0.18
"""WCAG relative luminance below which a colour cannot be told from the images' black."""


def legible_name(name: str) -> str:
    """Return a name from outside with nothing in it that acts on the text around it.

    Control, format (bidirectional overrides, zero width) and other invisible characters become U+FFFD; the length is
    limited.
    """
    shown = "".join(
        "\N{REPLACEMENT CHARACTER}"
        if unicodedata.category(c)[0] == "C" or unicodedata.category(c) in ("Zl", "Zp")
        else c
        for c in name[: ROI_NAME_LIMIT + 1]
    ).strip()
    if len(shown) > ROI_NAME_LIMIT:
        shown = shown[: ROI_NAME_LIMIT - 1] + "…"
    return shown or "(no name)"


def legible_colour(colour: tuple[int, int, int]) -> str:
    """Return a colour as `#rrggbb`, lightened where it would be lost on black.

    The luminance is WCAG 2.2's relative luminance; the colour is mixed with white until it is high enough.
    """
    red, green, blue = (min(255, max(0, channel)) for channel in colour)
    while _luminance(red, green, blue) < _LEAST_LUMINANCE:
        red, green, blue = (min(255, channel + (255 - channel) // 8 + 1) for channel in (red, green, blue))
    return f"#{red:02x}{green:02x}{blue:02x}"


def _luminance(red: int, green: int, blue: int) -> float:
    def linear(channel: int) -> float:
        share = channel / 255
        return share / 12.92 if share <= 0.04045 else float(((share + 0.055) / 1.055) ** 2.4)

    return 0.2126 * linear(red) + 0.7152 * linear(green) + 0.0722 * linear(blue)
