"""A child of the supervisor: one command, started again whenever it dies."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Final

STEADY_S: Final = 10.0
"""A child that lived so long is started again at once; so is one that died early, the first time."""
FIRST_PAUSE_S: Final = 0.2
LAST_PAUSE_S: Final = 30.0

_PR_SET_PDEATHSIG: Final = 1


class Child:
    """A command of the gateway and its lives.

    Parameters
    ----------
    arguments : sequence of str
        Of the command `gateway`.
    descriptor : int
        What it inherits beside the standard streams.
    environment : mapping
    setup : bytes
        What it finds on its standard input.
    dies_with_us : bool
        Whether the kernel kills it when we die.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        descriptor: int,
        *,
        environment: Mapping[str, str],
        setup: bytes = b"",
        dies_with_us: bool = False,
    ) -> None:
        self._arguments = arguments
        self._descriptor = descriptor
        self._environment = environment
        self._setup = setup
        self._death_signal = signal.SIGKILL if dies_with_us else 0
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = 0.0
        self._early_deaths = 0
        self.due_at = 0.0
        """When it may be started, monotonic seconds."""

    @property
    def is_running(self) -> bool:
        """Whether it runs, as far as `ended` has noticed."""
        return self._process is not None

    def is_due(self, now: float) -> bool:
        """Whether it is to be started now."""
        return self._process is None and now >= self.due_at

    def start(self) -> None:
        """Begin a life."""
        parent = os.getpid()
        libc = ctypes.CDLL(None)

        def before_exec() -> None:
            libc.prctl(_PR_SET_PDEATHSIG, ctypes.c_ulong(self._death_signal))
            if os.getppid() != parent:  # it died before the kernel was told to watch it
                os._exit(1)
            signal.pthread_sigmask(signal.SIG_SETMASK, ())

        self._started_at = time.monotonic()
        self._process = subprocess.Popen(
            [sys.executable, "-m", "gateway", *self._arguments],
            stdin=subprocess.PIPE,
            env=self._environment,
            pass_fds=(self._descriptor,),
            process_group=0,  # Ctrl-C in a terminal reaches the supervisor only
            preexec_fn=before_exec,  # the supervisor has no second thread
        )
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):  # it died at once, which `ended` tells
            self._process.stdin.write(self._setup)
            self._process.stdin.close()

    def ended(self) -> int | None:
        """The exit code (negative: the signal), once after each death."""
        if self._process is None or (code := self._process.poll()) is None:
            return None
        self._process = None
        now = time.monotonic()
        self._early_deaths = 0 if now - self._started_at > STEADY_S else self._early_deaths + 1
        pause_s = 0.0 if self._early_deaths < 2 else FIRST_PAUSE_S * 2.0 ** min(self._early_deaths - 2, 16)
        self.due_at = now + min(pause_s, LAST_PAUSE_S)
        return code

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if it runs."""
        if self._process is not None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it, if it runs."""
        self.tell(signal.SIGKILL)

    def replace(self, setup: bytes) -> None:
        """End its life, and begin the next at once with another setup; before the first, only note that."""
        self._setup = setup
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self.start()

    def wait(self, timeout_s: float) -> None:
        """Wait for its end, and kill it if that does not come in time."""
        if self._process is None:
            return
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
