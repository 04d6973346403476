"""An engine for tests: keeps to the frames of the contourer's pipe, and does what the model's name says."""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import socket
import sys
import time
from pathlib import Path


def exactly(length: int) -> bytes:
    data = sys.stdin.buffer.read(length)
    if len(data) != length:
        raise SystemExit(2)
    return data


def answer(told: dict, body: bytes | None = None) -> None:
    head = json.dumps(told).encode()
    out = sys.stdout.buffer
    out.write(len(head).to_bytes(4, "big") + head)
    if body is not None:
        out.write(len(body).to_bytes(8, "big") + body)
    out.flush()


def tried(what) -> str:
    try:
        return f"did {what()!r}"
    except OSError as error:
        return f"denied {error.errno}"


def spied() -> dict:
    """What an engine that was taken over could reach."""
    libc = ctypes.CDLL(None, use_errno=True)
    return {
        "socket": tried(lambda: socket.socket().fileno()),
        "socketpair": tried(lambda: socket.socketpair()[0].fileno()),
        "file": tried(lambda: Path("/tmp/contourgate-engine-was-here").write_text("x")),
        "memory of the parent": tried(lambda: open(f"/proc/{os.getppid()}/mem", "rb").fileno()),
        "environment of the parent": tried(lambda: len(Path(f"/proc/{os.getppid()}/environ").read_bytes())),
        "ptrace": libc.ptrace(0x4206, os.getppid(), None, None),  # SEIZE: attaches without stopping
        "environment": sorted(os.environ),
        "descriptors": sorted(os.listdir("/proc/self/fd")),
        "interfaces": [name for _, name in socket.if_nameindex()] if len(sys.argv) > 9 else [],
    }


def main() -> None:
    while length := sys.stdin.buffer.read(4):
        request = json.loads(exactly(int.from_bytes(length, "big")))
        model = request["model"]
        if model == "crash":
            os._exit(9)
        if model == "hang":
            time.sleep(600)
        digests = [
            hashlib.sha256(exactly(int.from_bytes(exactly(8), "big"))) for _ in range(request["slices"])
        ]
        if model == "slow":
            time.sleep(1.0)
        if model == "refuse":
            answer({"ok": False, "code": "TOO_FEW_SLICES", "hint": "none"})
        elif model == "babble":
            answer({"ok": False, "code": "<script>alert(1)</script>", "hint": "x"})
        elif model == "cut":
            sys.stdout.buffer.write(b"\0\0\1\0{")
            sys.stdout.buffer.flush()
            return
        elif model == "spy":
            answer({"ok": True, "rois": []}, json.dumps(spied()).encode())
        else:
            answer({"ok": True, "rois": ["BODY"]}, b"RTSTRUCT" + b"".join(d.digest() for d in digests))


if __name__ == "__main__":
    main()
