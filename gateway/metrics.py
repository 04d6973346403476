"""Every metric, on one page.

Names and units follow the Prometheus conventions: base units, `_total` for counters. A label is a configured name,
a state or a code: never a UID, an address or anything of a dataset.
"""

from __future__ import annotations

import asyncio
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

LAG_EVERY_S: Final = 0.1
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800)
_LAG_SECONDS = (0.001, 0.002, 0.005, 0.01, 0.015, 0.02, 0.03, 0.05, 0.1, 0.2, 0.5, 1, 5)


class Metrics:
    """The gateway's metrics, on a registry of their own so that two gateways in one test do not meet."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        r = self.registry
        self.associations = Gauge("contourgate_associations_open", "Associations open now.", registry=r)
        self.associations_total = Counter(
            "contourgate_associations_total", "Associations by their end.", ["source", "outcome"], registry=r
        )
        self.connections_refused_total = Counter(
            "contourgate_connections_refused_total",
            "Connections that got no association.",
            ["reason"],
            registry=r,
        )
        self.aborts_total = Counter(
            "contourgate_aborts_total", "Associations that we aborted.", ["reason"], registry=r
        )
        self.certificate_not_after_seconds = Gauge(
            "contourgate_certificate_not_after_seconds",
            "When our DICOM TLS certificate ends, Unix time.",
            registry=r,
        )
        self.instances_total = Counter(
            "contourgate_instances_total", "C-STORE requests by answer.", ["source", "outcome"], registry=r
        )
        self.received_bytes_total = Counter(
            "contourgate_received_bytes_total", "Dataset bytes received.", ["source"], registry=r
        )
        self.store_seconds = Histogram(
            "contourgate_store_seconds",
            "From the last fragment to the C-STORE response.",
            buckets=_SECONDS,
            registry=r,
        )
        self.passages = Gauge("contourgate_passages", "Passages in memory by state.", ["state"], registry=r)
        self.passages_ended_total = Counter(
            "contourgate_passages_ended_total", "Passages that ended.", ["state", "code"], registry=r
        )
        self.held_total = Counter("contourgate_held_total", "Passages held, by reason.", ["code"], registry=r)
        self.stage_seconds = Histogram(
            "contourgate_stage_seconds",
            "Time a passage spent in a state.",
            ["state"],
            buckets=_SECONDS,
            registry=r,
        )
        self.uploaded_bytes_total = Counter(
            "contourgate_uploaded_bytes_total", "Sealed bytes the contourer acknowledged.", registry=r
        )
        self.uplink_bytes_per_second = Gauge(
            "contourgate_uplink_bytes_per_second",
            "Throughput to the contourer, measured on uploads.",
            registry=r,
        )
        self.contourer_errors_total = Counter(
            "contourgate_contourer_errors_total",
            "Requests to the contourer that failed.",
            ["code"],
            registry=r,
        )
        self.deliveries_total = Counter(
            "contourgate_deliveries_total",
            "Deliveries by destination and outcome.",
            ["destination", "outcome"],
            registry=r,
        )
        self.receipts_total = Counter(
            "contourgate_deletion_receipts_total",
            "Deletion receipts of the contourer: in_time, late or unsigned.",
            ["outcome"],
            registry=r,
        )
        self.alarms = Gauge(
            "contourgate_alarms", "Alarms about the gateway itself that stand, by code.", ["code"], registry=r
        )
        self.deadline_passed_total = Counter(
            "contourgate_deadline_passed_total", "Passages late beyond their deadline.", registry=r
        )
        self.memory_budget_bytes = Gauge(
            "contourgate_memory_budget_bytes", "Memory that instances may take.", registry=r
        )
        self.memory_used_bytes = Gauge(
            "contourgate_memory_used_bytes", "Memory that instances take.", registry=r
        )
        self.journal_seconds = Histogram(
            "contourgate_journal_seconds",
            "From a record's writing to the clerk's receipt.",
            buckets=_SECONDS,
            registry=r,
        )
        self.event_loop_lag_seconds = Histogram(
            "contourgate_event_loop_lag_seconds",
            "How late the event loop was, asked ten times a second.",
            buckets=_LAG_SECONDS,
            registry=r,
        )
        self.lockdown = Gauge(
            "contourgate_lockdown",
            "1 where a protection is in force, 0 where waived.",
            ["protection"],
            registry=r,
        )


async def measure_lag(metrics: Metrics) -> None:
    """Measure how late the event loop is, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + LAG_EVERY_S
        await asyncio.sleep(LAG_EVERY_S)
        metrics.event_loop_lag_seconds.observe(max(0.0, loop.time() - due))
