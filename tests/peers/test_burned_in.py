"""A series with a name in its pixels goes through a whole gateway: held, shown masked, released by a person."""

from __future__ import annotations

import urllib.error
import urllib.request
from pathlib import Path

import imagecodecs
import numpy as np
import pytest

from tests import made
from tests.burned import Face, Text, drawn
from tests.pixel_stand import body, series
from tests.running import Gateway, running

pytestmark = pytest.mark.peer("storescu", "storescp")

NAME = "INVENTED PERSON 4711"


def saved(folder: Path, *, text: bool, slices: int = 40) -> Path:
    folder.mkdir()
    stack = body(slices, 256)
    if text:
        letters = drawn(Text(NAME, Face("bitmap"), 8, True, "all", "light", "corner"))
        rows, columns = letters.shape
        stack[5:30, 10 : 10 + rows, 10 : 10 + columns] = np.where(letters > 0, 40 + 200 * letters, -1000)
    images = series(stack, ImageComments="", BurnedInAnnotation="NO")
    for number, image in enumerate(images):
        image.SeriesInstanceUID += f".{int(text)}"
        image.SOPInstanceUID += f".{int(text)}"
        (folder / f"{number}.dcm").write_bytes(made.part10(image))
    return folder


def act(gateway: Gateway, passage: str, what: str) -> None:
    request = urllib.request.Request(
        f"http://127.0.0.1:{gateway.web}/api/passages/{passage}/{what}",
        method="POST",
        headers={"X-Contourgate": "test"},
    )
    urllib.request.urlopen(request, timeout=10).close()


def test_a_name_in_the_pixels_is_held_masked_and_only_a_person_releases_it(tmp_path: Path) -> None:
    with running(tmp_path) as (gateway, _):
        assert gateway.send(saved(tmp_path / "text", text=True)).returncode == 0
        (held,) = gateway.until_state("held")
        assert held["reason"]["code"] == "DEID_BURNED_IN"
        assert held["uploaded"] == 40  # sealed: without its key nobody can read it
        picture = imagecodecs.png_decode(gateway.get(f"/passages/{held['id']}/text.png"))
        zoom = picture.shape[0] // 256
        assert (picture[12 * zoom : 16 * zoom, 10 * zoom : 130 * zoom] == 0).mean() > 0.3
        with pytest.raises(urllib.error.HTTPError, match="404"):
            gateway.get(f"/passages/{held['id']}/slices/7.bin")

        assert gateway.send(saved(tmp_path / "clean", text=False)).returncode == 0
        (returned,) = gateway.until_state("delivered")
        assert returned["id"] != held["id"]

        act(gateway, held["id"], "release")
        gateway.until_state("delivered", count=2)
        everywhere = gateway.log.read_bytes() + b"".join(
            path.read_bytes() for path in (tmp_path / "var").rglob("*") if path.is_file()
        )
    assert NAME.split()[0].encode() not in everywhere.upper()
