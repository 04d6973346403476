"""The supervisor: starts the vault and the clerk, joins them by a socket pair, and starts again what dies.

It holds no data and opens no network. Both ends of the pair stay open here, so that a clerk that dies is replaced on
the same end and the vault does not notice more than a late receipt. If the supervisor dies, the kernel kills the
vault, and the clerk ends when it has written what was sent.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from pathlib import Path
from typing import Final

import structlog

from gateway import logs
from gateway.child import Child
from gateway.clerk.fields import Names
from gateway.clerk.wire import Setup
from gateway.config import Config, load
from gateway.deid.profile import load_profiles
from gateway.errors import ConfigError, Word
from gateway.vault.keys import ClinicKey
from gateway.vault.lockdown import ENVIRONMENT

_log = structlog.get_logger()

EX_USAGE: Final = 2
EX_CONFIG: Final = 78
GIVES_UP: Final = frozenset({EX_USAGE, EX_CONFIG})
"""Exit codes after which another try is useless."""
CLERK_FOLDER: Final = "clerk"
"""In the state folder; the clerk can read and write nothing else, the clinic key least of all."""
KILL_AFTER_S: Final = 10.0
"""How long a process may take that was told to stop at once."""

RENEW: Final = signal.SIGUSR1
"""What the vault sends us when somebody asked it to read the configuration again."""

_WATCHED: Final = (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT, signal.SIGHUP, RENEW)


def run(config_path: Path) -> int:
    """Be the supervisor until the vault has ended for good.

    Parameters
    ----------
    config_path : Path

    Returns
    -------
    int
        0 after a stop that was asked for; the vault's or the clerk's exit code where another try is useless.

    Raises
    ------
    ConfigError
        If the configuration or the clinic key is not fit, or the state folder cannot be made.
    """
    config = load(config_path)
    names = _names(config)
    logs.configure(config.log.level, names.ae_title | names.destination | names.model | names.profile)
    folder = prepare_state(config)
    setup = Setup(names=names, waived=tuple(waiver.protection for waiver in config.lockdown.waivers))
    return Supervisor(config_path, folder, setup).run()


def prepare_state(config: Config) -> Path:
    """Make what the first start needs: the state folder and the clinic key.

    A key that is missing beside a journal or a ledger is not replaced: with another key no pseudonym could be
    computed again.

    Returns
    -------
    Path
        The clerk's folder.

    Raises
    ------
    ConfigError
        `CLINIC_KEY_UNFIT`; `STATE_DIR_UNFIT`.
    """
    folder = config.state_dir / CLERK_FOLDER
    try:
        for each in (config.state_dir, folder):
            each.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError("STATE_DIR_UNFIT", reason=Word(os.strerror(error.errno or 0))) from None
    if not config.clinic_key_file.exists() and not any(folder.iterdir()):
        ClinicKey.create(config.clinic_key_file)
    ClinicKey.load(config.clinic_key_file)
    return folder


def _names(config: Config) -> Names:
    profiles = frozenset(profile.name for profile in load_profiles(config.deid.profiles).values())
    return Names.of(config, profiles=profiles)


class Supervisor:
    """The two processes and the pair of sockets between them.

    Parameters
    ----------
    config_path : Path
    folder : Path
        The clerk's.
    setup : Setup
        What a clerk is told at its start.
    """

    def __init__(self, config_path: Path, folder: Path, setup: Setup) -> None:
        self._vault_end, self._clerk_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        environment = {**os.environ, **ENVIRONMENT}
        self._config_path = config_path
        self._setup = setup
        # Without a terminal nobody else would use it; the end of a terminal is the end of what it runs.
        self._hangup_stops = sys.stdin is not None and sys.stdin.isatty()
        self._vault = Child(
            ["vault", "-c", str(config_path), "--clerk-fd", str(self._vault_end.fileno())],
            self._vault_end.fileno(),
            environment=environment,
            dies_with_us=True,
        )
        self._clerk = Child(
            ["clerk", "--state-dir", str(folder), "--fd", str(self._clerk_end.fileno())],
            self._clerk_end.fileno(),
            environment=environment,
            setup=_packed(setup),
        )
        self._stops = 0
        self._kill_at: float | None = None

    def run(self) -> int:
        """Keep both alive until the vault has ended for good; return the exit code."""
        signal.pthread_sigmask(signal.SIG_BLOCK, _WATCHED)
        try:
            return self._keep()
        finally:
            self._vault.kill()
            self._vault.wait(KILL_AFTER_S)
            self._vault_end.close()  # the clerk writes what it has and ends
            self._clerk_end.close()
            self._clerk.wait(KILL_AFTER_S)

    def _keep(self) -> int:
        while True:
            now = time.monotonic()
            for child in (self._clerk, self._vault):
                if child.is_due(now) and not (child is self._vault and self._stops):
                    if child is self._vault:
                        self._teach()  # it reads the file as it is now
                    child.start()
            if self._kill_at is not None and now > self._kill_at:
                self._vault.kill()
            told = signal.sigtimedwait(_WATCHED, self._until_next(now))
            if told is not None and told.si_signo != signal.SIGCHLD:
                self._obey(told.si_signo)
            if (code := self._clerk.ended()) is not None:
                if code in GIVES_UP:
                    return code
                _log.error("clerk ended", exit_code=code)
            if (code := self._vault.ended()) is not None:
                if self._stops:
                    return 0 if code in (0, -signal.SIGTERM) else 1
                if code in GIVES_UP or code == 0:
                    return code
                _log.error("vault ended", exit_code=code)
            elif self._stops and not self._vault.is_running:
                return 0

    def _obey(self, number: int) -> None:
        if number == RENEW or (number == signal.SIGHUP and not self._hangup_stops):
            self._teach()
            self._vault.tell(signal.SIGHUP)
        else:
            self._stop()

    def _teach(self) -> None:
        """Replace a clerk that does not know every name of the configuration file, so that records may have them."""
        try:
            names = self._setup.names | _names(load(self._config_path))
        except ConfigError:
            return  # the vault says so
        if names != self._setup.names:
            self._setup = self._setup.model_copy(update={"names": names})
            self._clerk.replace(_packed(self._setup))

    def _stop(self) -> None:
        """Ask the vault to drain; the second time to stop at once, the third time there is no asking."""
        self._stops += 1
        _log.info("stopping", count=self._stops)
        if self._stops <= 2:
            self._vault.tell(signal.SIGTERM)
        if self._stops == 2:
            self._kill_at = time.monotonic() + KILL_AFTER_S
        elif self._stops > 2:
            self._vault.kill()

    def _until_next(self, now: float) -> float:
        """Seconds until something is to be done without a signal."""
        times = [child.due_at for child in (self._clerk, self._vault) if not child.is_running]
        if self._kill_at is not None:
            times.append(self._kill_at)
        return max(0.0, min((time - now for time in times), default=3600.0)) + 0.01


def _packed(setup: Setup) -> bytes:
    return setup.model_dump_json().encode("ascii")
