"""The console's pages and static files, read once at start: the running vault opens no file for them.

Templates escape every value (Jinja2 autoescape) and know no value that is not given to them (`StrictUndefined`).
"""

from __future__ import annotations

from importlib.resources import files
from typing import Any, Final, NamedTuple

from jinja2 import DictLoader, Environment, StrictUndefined

_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


class StaticFile(NamedTuple):
    """A file that pages load."""

    body: bytes
    content_type: str


class Pages:
    """Renders the templates and holds the static files.

    Raises
    ------
    ValueError
        If a static file is of a kind that no page needs.
    """

    def __init__(self) -> None:
        folder = files("gateway.console")
        sources = {
            entry.name: entry.read_text("utf-8")
            for entry in folder.joinpath("templates").iterdir()
            if entry.name.endswith(".html")
        }
        self._environment = Environment(
            loader=DictLoader(sources),
            autoescape=True,
            undefined=StrictUndefined,
            auto_reload=False,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates = {name: self._environment.get_template(name) for name in sources}
        self.static = {
            entry.name: _static(entry.name, entry.read_bytes())
            for entry in folder.joinpath("static").iterdir()
        }

    def render(self, template: str, /, **values: Any) -> str:
        """Return a page."""
        return self._templates[template].render(values)


def _static(name: str, body: bytes) -> StaticFile:
    suffix = name[name.rfind(".") :]
    if suffix not in _TYPES:
        raise ValueError(f"{name}: no page loads such a file")
    return StaticFile(body, _TYPES[suffix])
