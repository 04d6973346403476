"""multipart/related with binary parts, as DICOMweb has it (PS3.18 8.6.1.2, RFC 2387, RFC 2046 5.1)."""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator

__all__ = ["MultipartError", "join", "split"]


class MultipartError(ValueError):
    """The body is not what its Content-Type says."""


def join(parts: Iterable[bytes], content_type: str) -> tuple[str, bytes]:
    """The value of Content-Type and the body.

    Parameters
    ----------
    parts : iterable of bytes
    content_type : str
        Of each part.
    """
    boundary = secrets.token_hex(16)  # 128 random bits do not occur in a part
    body = b"".join(
        b"--%s\r\nContent-Type: %s\r\n\r\n%s\r\n" % (boundary.encode(), content_type.encode(), part)
        for part in parts
    )
    return (
        f'multipart/related; type="{content_type}"; boundary={boundary}',
        body + b"--%s--\r\n" % boundary.encode(),
    )


def split(content_type: str, body: bytes) -> Iterator[bytes]:
    """The parts of a body, without their headers.

    Raises
    ------
    MultipartError
        If there is no boundary, or a part is cut short.
    """
    found = re.search(r"""boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))""", content_type, re.IGNORECASE)
    if found is None or not content_type.lower().startswith("multipart/"):
        raise MultipartError("no boundary")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    framed = b"\r\n" + body
    at = framed.find(delimiter)
    while at >= 0:
        begin = at + len(delimiter)
        if framed[begin : begin + 2] == b"--":
            return
        headers_end = framed.find(b"\r\n\r\n", begin)
        at = framed.find(delimiter, headers_end + 2 if headers_end >= 0 else begin)
        if headers_end < 0 or at < 0:
            break
        yield framed[headers_end + 4 : at]
    raise MultipartError("a part is cut short")
