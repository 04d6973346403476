"""YAML that remembers its lines.

In: one YAML file. Out: plain data (`dict`, `list`, scalars), and for every place in it the line on which it stands.
Takes nothing but what YAML's safe schema makes; a key that stands twice is a mistake, not the last one's win.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

__all__ = ["Document", "Mistake", "Place"]

Place = Sequence[int | str]
"""Where something stands: keys of mappings and indices of lists, from the top."""


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One mistake of a file."""

    file: Path
    line: int
    """From 1."""
    key: str
    """Such as `destinations[0].port`; empty where nothing can be named."""
    message: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: " + (f"{self.key}: " if self.key else "") + self.message


class _Loader(yaml.SafeLoader):
    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        try:
            return super().construct_object(node, deep)
        except ValueError:  # 2026-13-01 has the form of a date
            problem = "a date or a number that does not exist"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark) from None


class Document:
    """One YAML document.

    Parameters
    ----------
    file : Path

    Raises
    ------
    OSError
        If the file cannot be read.
    """

    def __init__(self, file: Path) -> None:
        self.file: Final = file
        self.data: Any = None
        """The content; None where `mistakes` says that the syntax is broken."""
        self.mistakes: Final[list[Mistake]] = []
        """Of the syntax, and keys that stand twice."""
        self._root: yaml.Node | None = None
        source = file.read_bytes()
        loader = None
        try:
            loader = _Loader(source)
            self._root = loader.get_single_node()
            self.mistakes.extend(self._twice(self._root, (), set()))
            if self._root is not None:
                self.data = loader.construct_document(self._root)
        except yaml.MarkedYAMLError as error:
            mark = error.problem_mark or error.context_mark
            said = ", ".join(text for text in (error.context, error.problem) if text)
            self.mistakes.append(Mistake(file, mark.line + 1 if mark else 1, "", f"is not YAML: {said}"))
        except yaml.YAMLError:  # of the reader: it knows no line
            self.mistakes.append(Mistake(file, 1, "", "is not YAML: a character that text does not have"))
        finally:
            if loader is not None:
                loader.dispose()

    def mistake(self, place: Place, message: str) -> Mistake:
        """A mistake at a place."""
        return Mistake(self.file, self.line(place), _shown(place), message)

    def line(self, place: Place) -> int:
        """The line of a place; of the nearest one around it, where it is not there itself."""
        line = 1 if self._root is None else self._root.start_mark.line + 1
        for marker, _ in self._way(place):
            line = marker.start_mark.line + 1
        return line

    def written(self, place: Place) -> str | None:
        """The characters of a scalar, as they stand in the file without quotes; None where there is none."""
        *_, (_, node) = ((None, self._root), *self._way(place))
        return node.value if isinstance(node, yaml.ScalarNode) else None

    def _way(self, place: Place) -> Iterator[tuple[yaml.Node, yaml.Node]]:
        """Each step's marker and what it leads to. A part that the document does not have is passed over."""
        node = self._root
        for part in place:
            step = _step(node, part)
            if step is not None:
                node = step[1]
                yield step

    def _twice(
        self, node: yaml.Node | None, place: tuple[int | str, ...], seen: set[int]
    ) -> Iterator[Mistake]:
        if node is None or id(node) in seen:
            return
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            for index, item in enumerate(node.value):
                yield from self._twice(item, (*place, index), seen)
        elif isinstance(node, yaml.MappingNode):
            first: dict[str, int] = {}
            for key, value in node.value:
                name = key.value if isinstance(key, yaml.ScalarNode) else ""
                line = key.start_mark.line + 1
                if name in first:
                    where = f"stands twice; the first is on line {first[name]}"
                    yield Mistake(self.file, line, _shown((*place, name)), where)
                first.setdefault(name, line)
                yield from self._twice(value, (*place, name), seen)


def _shown(place: Place) -> str:
    """A place as a person reads it: `destinations[0].port`."""
    text = ""
    for part in place:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else part
    return text


def _step(node: yaml.Node | None, part: int | str) -> tuple[yaml.Node, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key, value
    elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part], node.value[part]
    return None
