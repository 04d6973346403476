"""The one place where the vault's objects are made and wired.

`run_vault` is the whole life of the vault process: lock down, wire, serve, drain, stop in the reverse order.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from ipaddress import ip_address
from pathlib import Path
from typing import Final

import structlog

from gateway import logs
from gateway.clerk.fields import Names
from gateway.clerk.link import ClerkLink
from gateway.clerk.records import Alerted, Started, Stopped
from gateway.cloud.factory import make_contourer
from gateway.cloud.receipts import Deletions
from gateway.config import Config, load
from gateway.console.readiness import Readiness
from gateway.console.server import Console
from gateway.deid.profile import Profile, load_profiles
from gateway.deid.tripwire import Tripwire
from gateway.dicom.acceptor import Acceptor, SecurityAlert
from gateway.dicom.decode import Transcoder
from gateway.dicom.find import Finder
from gateway.dicom.instance import Instance
from gateway.dicom.query import Querier
from gateway.dicom.scu import Scu
from gateway.dicom.tls import client_context
from gateway.doctor import certificates
from gateway.doctor.rounds import Rounds
from gateway.errors import GatewayError, Word
from gateway.flow.accept import Accept
from gateway.flow.alarm import Alarm
from gateway.flow.assemble import Assembler
from gateway.flow.chronicle import SERIES, Chronicle
from gateway.flow.clock import ClockWatch
from gateway.flow.concerns import Concerns, damage_told, delivery_troubled
from gateway.flow.conduct import Conductor
from gateway.flow.deidentify import stored_values
from gateway.flow.ending import Ending
from gateway.flow.expiry import ExpiryWatch
from gateway.flow.gallery import Gallery
from gateway.flow.pixel_gate import PixelGate
from gateway.flow.prepare import Prepare
from gateway.flow.queues import Queues
from gateway.flow.receipts import Receipts
from gateway.flow.receive import Receive
from gateway.flow.recover import Recovery, queries_of
from gateway.flow.stages import Stages
from gateway.flow.store import Deliveries, Trouble
from gateway.metrics import Metrics, measure_lag
from gateway.pixels.reading import Reader
from gateway.reload import Reload
from gateway.supervisor import RENEW
from gateway.vault.budget import Budget
from gateway.vault.keys import ClinicKey
from gateway.vault.ledger_key import ledger_key
from gateway.vault.lockdown import Lockdown, lock_down
from gateway.vault.pseudonyms import Pseudonyms, keyed_digest, scope_of
from gateway.vault.sweep import Sweep

_log = structlog.get_logger()

CPU_THREADS: Final = 2
"""For what releases the GIL: codecs and pictures."""
SWITCH_EVERY_S: Final = 0.0005
"""How long a thread of the pool may keep the interpreter from the event loop; Python's own 5 ms are ten slices."""
ASSOCIATIONS_GRACE_S: Final = 10.0
"""How long open associations may go on while the gateway drains."""


def run_vault(config_path: Path, clerk_fd: int) -> int:
    """Be the vault until told to stop.

    Parameters
    ----------
    config_path : Path
    clerk_fd : int
        The vault's end of the socket pair to the clerk.

    Returns
    -------
    int
        The process's exit code.

    Raises
    ------
    ConfigError
        If the configuration, the key or the machine is not fit.
    """
    config = load(config_path)
    configure_logs(config)
    sys.setswitchinterval(SWITCH_EVERY_S)
    # Before the first thread: what a thread has done already, the kernel does not take back.
    lockdown = lock_down(config.lockdown.waivers)
    vault = Vault(
        config,
        ClinicKey.load(config.clinic_key_file),
        load_profiles(config.deid.profiles),
        lockdown,
        config_path,
    )
    return asyncio.run(vault.run(clerk_fd))


def configure_logs(config: Config) -> None:
    """Set the logs up; they may tell the names of the configuration."""
    names = Names.of(config, profiles=frozenset())
    logs.configure(config.log.level, names.ae_title | names.destination | names.model)


class Vault:
    """The vault's objects, and the order in which they start and stop."""

    def __init__(
        self,
        config: Config,
        key: ClinicKey,
        profiles: dict[str, Profile],
        lockdown: Lockdown,
        config_path: Path,
    ) -> None:
        self._config = config
        self._key = key
        self._profiles = profiles
        self._lockdown = lockdown
        self._config_path = config_path
        self._metrics = Metrics()
        self._asked_to_stop = 0
        self._stopping = asyncio.Event()
        self._hurried = asyncio.Event()
        self._is_to_reload = asyncio.Event()

    async def run(self, clerk_fd: int) -> int:
        """Serve until stopped; see `run_vault`."""
        loop = asyncio.get_running_loop()
        for signal_ in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(signal_, self._ask_to_stop)
        loop.add_signal_handler(signal.SIGHUP, self._is_to_reload.set)
        self._show_lockdown()
        async with asyncio.TaskGroup() as group, contextlib.AsyncExitStack() as stack:
            await self._serve(group, stack, clerk_fd)
        return 0

    async def _serve(self, group: asyncio.TaskGroup, stack: contextlib.AsyncExitStack, clerk_fd: int) -> None:
        config, key, metrics = self._config, self._key, self._metrics
        cpu = stack.enter_context(ThreadPoolExecutor(CPU_THREADS, "cpu"))

        link = ClerkLink(
            clerk_fd,
            ledger_key(key),
            paused=lambda: accept.close("INTAKE_PAUSED"),
            resumed=lambda: accept.open("INTAKE_PAUSED"),
            damaged=lambda damage: concerns.begin(*damage_told(damage)),
            waited=metrics.journal_seconds.observe,
        )
        alarm = Alarm(config.alarm)
        concerns = Concerns(alarm, metrics, group)
        receipts = Receipts(link, Deletions(), concerns, metrics)
        digest = functools.partial(keyed_digest, key)
        chronicle = Chronicle(link, digest)
        budget = Budget(config.limits.memory_bytes, metrics.memory_used_bytes.set)
        metrics.memory_budget_bytes.set(config.limits.memory_bytes)
        transcoder = Transcoder(deadline_s=config.limits.decode_s)
        stack.push_async_callback(transcoder.close)
        reader = Reader()
        stack.push_async_callback(reader.close)
        contourer = make_contourer(config, self._reply_seed, metrics)
        tls = config.dicom.tls
        scu = Scu(
            config.dicom.ae_title, tls=client_context(tls) if tls is not None and tls != "off" else None
        )
        stack.push_async_callback(scu.close)

        assembler = Assembler(
            self._pseudonyms_for,
            lambda instance: hashlib.sha256(stored_values(instance)).digest(),
            lambda uid: keyed_digest(key, SERIES, uid.encode()),
            config.limits.slices,
        )
        gate = PixelGate(self._profiles, reader, cpu, config.limits.instance_bytes, group)
        gallery = Gallery(cpu, config.limits.instance_bytes, chronicle, gate.masked_picture)
        prepare = Prepare(
            contourer,
            self._profiles,
            Tripwire(self._profiles),
            gate.look,
            budget,
            metrics,
            gallery.changed,
            group,
        )
        sweep = Sweep()
        ending = Ending(
            config.passage.review_s, assembler, prepare, gate, budget, receipts, gallery.changed, sweep, group
        )

        def troubled(trouble: Trouble) -> None:
            gallery.waits(trouble.passage_id, trouble.error)
            delivery_troubled(concerns, trouble)

        deliveries = Deliveries(
            config.destinations,
            scu,
            Finder(scu),
            metrics,
            troubled=troubled,
            recovered=lambda destination: concerns.end("DELIVERY_LATE", destination),
        )
        querier = Querier(scu, Finder(scu), config.dicom.ae_title)
        receive = Receive(
            config,
            assembler,
            chronicle,
            lambda series: recovery.announced(series),
            lambda series: recovery.pull(series),
        )
        stages = Stages(
            config,
            receive,
            prepare,
            gate,
            deliveries,
            chronicle,
            self._restoration_seed,
            receipts,
            ending.delete_soon,
        )
        conductor = Conductor(
            config,
            prepare,
            stages.table(),
            chronicle,
            metrics,
            alarm,
            changed=gallery.changed,
            ended=ending.end,
            group=group,
        )
        accept = Accept(config, assembler, transcoder, budget, metrics, conductor.joined)
        recovery = Recovery(
            queries_of(config),
            querier,
            assembler,
            digest,
            alarm,
            accept,
            contourer,
            nobody=lambda: Pseudonyms(key, b"nobody"),
            conduct=conductor.take_up,
            changed=gallery.changed,
            delete=ending.delete,
            ae_title=config.dicom.ae_title,
            group=group,
        )
        acceptor = Acceptor(config, accept, metrics, lambda alert: self._note(alert, link, group))
        rounds = Rounds(config, self._lockdown, scu, contourer)
        console = Console(
            config,
            gallery,
            metrics,
            lambda: Readiness(accept.closed_by),
            drain=self._stopping.set,
            reload=lambda: reload.ask(),
            concerns=lambda: concerns.standing,
            queues=Queues(deliveries.lines, chronicle),
            doctor=rounds.report,
            pool=cpu,
        )
        # fmt: off
        reload = Reload(
            self._config_path, config, link, concerns,
            (
                stages.update,  # may refuse, so it comes first
                lambda changed: deliveries.update(changed.destinations),
                *(accept.update, acceptor.update, recovery.update),
                *(alarm.update, rounds.update, console.update, configure_logs),
            ),
            wanted=self._is_to_reload, renew=lambda: os.kill(os.getppid(), RENEW),
        )
        # fmt: on

        await link.start()
        stack.push_async_callback(link.close)
        await link.write(self._started())
        await reader.start()
        await contourer.start()
        stack.push_async_callback(contourer.close)
        await console.start()
        stack.push_async_callback(console.stop)
        watches = [
            group.create_task(watch)
            for watch in (
                measure_lag(metrics),
                ClockWatch(link, concerns).watch(),
                ExpiryWatch(lambda: certificates.examine(config), concerns).watch(),
                receipts.watch(),
                reload.watch(),
            )
        ]
        before = await link.open_passages()
        receipts.take_up(before)
        recovery.take_up(before)
        sweep.start()
        await acceptor.start()
        recovery.start()
        _log.info("ready")

        await self._stopping.wait()
        accept.close("DRAINING")
        _log.info("draining", count=len(list(assembler)))
        await acceptor.stop(0 if self._hurried.is_set() else ASSOCIATIONS_GRACE_S)
        was_drained = await self._drained(assembler)
        conductor.stop()
        for series in assembler:
            prepare.forget(series)
        recovery.stop()
        ending.stop()
        concerns.stop()
        for watch in watches:
            watch.cancel()
        with contextlib.suppress(GatewayError):
            await link.write(Stopped(at=datetime.now(UTC), was_drained=was_drained))
        _log.info("stopped", drained=was_drained)

    async def _drained(self, assembler: Assembler) -> bool:
        """Wait until no passage is under way that could still end by itself; at most `passage.drain_s`."""
        end = time.monotonic() + self._config.passage.drain_s
        while any(not (series.passage.needs_a_person or series.is_awaited) for series in assembler):
            if self._hurried.is_set() or time.monotonic() > end:
                break
            await asyncio.sleep(0.1)
        return not list(assembler)

    def _ask_to_stop(self) -> None:
        """The first signal drains, the second one stops at once."""
        self._asked_to_stop += 1
        self._stopping.set()
        if self._asked_to_stop > 1:
            self._hurried.set()

    def _show_lockdown(self) -> None:
        for protection in self._lockdown.in_force:
            self._metrics.lockdown.labels(protection).set(1)
        for waiver in self._lockdown.waived:
            self._metrics.lockdown.labels(waiver.protection).set(0)
            _log.warning("protection waived", reason=waiver.protection)
        for modality, profile in self._profiles.items():
            if not profile.text_gate:
                _log.warning("text in pixels is not looked for", profile=profile.name, kind=Word(modality))

    def _started(self) -> Started:
        return Started(
            at=datetime.now(UTC),
            configuration=hashlib.sha256(self._config_path.read_bytes()).hexdigest(),
            in_force=self._lockdown.in_force,
            waived=tuple(waiver.protection for waiver in self._lockdown.waived),
        )

    def _note(self, alert: SecurityAlert, link: ClerkLink, group: asyncio.TaskGroup) -> None:
        """Put a security alert into the log and the ledger; its count is a metric already."""
        _log.warning("security", reason=alert.kind, count=alert.count)

        async def write() -> None:
            with contextlib.suppress(GatewayError):  # the clerk is lost: that has its own alarm
                await link.write(
                    Alerted(
                        at=datetime.now(UTC),
                        alert=alert.kind,
                        count=alert.count,
                        address=ip_address(alert.address) if alert.address else None,
                        source=alert.source or None,
                    )
                )

        group.create_task(write())

    def _pseudonyms_for(self, instance: Instance) -> Pseudonyms:
        return Pseudonyms(self._key, scope_of(instance, self._config.deid.linkage))

    def _reply_seed(self, passage_id: str) -> bytes:
        return self._key.derive(b"reply", passage_id.encode(), 96)

    def _restoration_seed(self, passage_id: str, destination: str) -> bytes:
        return self._key.derive(b"restored", f"{passage_id} {destination}".encode())
