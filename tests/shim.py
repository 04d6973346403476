"""A library to be preloaded into a program: it makes the disk fail and sets the clock, when a test says so.

Both come from outside of the program, as they do in life, so nothing in the program knows of it.
"""

from __future__ import annotations

import mmap
import shutil
import struct
import subprocess
from pathlib import Path

import pytest

SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct told { long long ahead_s; long long disk_fails; };
static const volatile struct told nothing = {0, 0};
static const volatile struct told *told = &nothing;

__attribute__((constructor)) static void find(void) {
    const char *path = getenv("SHIM_TOLD");
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (fd < 0) return;
    void *there = mmap(NULL, sizeof *told, PROT_READ, MAP_SHARED, fd, 0);
    if (there != MAP_FAILED) told = there;
    close(fd);
}

#define REAL(name) ((__typeof__(&name)) dlsym(RTLD_NEXT, #name))

int clock_gettime(clockid_t id, struct timespec *at) {
    int done = REAL(clock_gettime)(id, at);
    if (done == 0 && (id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE)) at->tv_sec += told->ahead_s;
    return done;
}

time_t time(time_t *at) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (at) *at = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *at, void *zone) {
    struct timespec now;
    (void) zone;
    clock_gettime(CLOCK_REALTIME, &now);
    at->tv_sec = now.tv_sec;
    at->tv_usec = now.tv_nsec / 1000;
    return 0;
}

static int failed(void) { errno = EIO; return -1; }
int fdatasync(int fd) { return told->disk_fails ? failed() : REAL(fdatasync)(fd); }
int fsync(int fd) { return told->disk_fails ? failed() : REAL(fsync)(fd); }
"""


class Shim:
    """The library, and what it is told.

    Parameters
    ----------
    folder : Path
        For the library.
    """

    def __init__(self, folder: Path) -> None:
        compiler = shutil.which("cc") or shutil.which("gcc")
        if compiler is None:
            pytest.skip("no C compiler")
        source, self.library, file = folder / "shim.c", folder / "shim.so", folder / "told"
        source.write_text(SOURCE)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-O1", "-o", self.library, source, "-ldl"],
            check=True,
            capture_output=True,
        )
        file.write_bytes(bytes(16))
        with file.open("r+b") as opened:
            self._told = mmap.mmap(opened.fileno(), 16)
        self.environment = {"LD_PRELOAD": str(self.library), "SHIM_TOLD": str(file)}
        """For the program."""

    def set_clock(self, ahead_s: int) -> None:
        """Set the clock by so many seconds against the true one."""
        self._told[:8] = struct.pack("<q", ahead_s)

    def fail_disk(self, fails: bool) -> None:
        """Whether what is written does not reach the disk: EIO."""
        self._told[8:] = struct.pack("<q", fails)
