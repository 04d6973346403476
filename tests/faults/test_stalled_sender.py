"""A sender that stalls in the middle of an instance: nothing is contoured before the series is whole."""

from __future__ import annotations

import time
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pynetdicom import AE
from pynetdicom.sop_class import CTImageStorage  # type: ignore[attr-defined]

from tests.peers.pacs import made_series
from tests.running import running
from tests.wire import p_data, store_rq

pytestmark = pytest.mark.peer("storescu", "storescp")

IDLE_S = 2


def test_a_series_is_not_taken_for_whole_in_the_middle_of_an_instance(tmp_path: Path) -> None:
    files = made_series(tmp_path / "images", 5)
    limits = {"idle_s": IDLE_S, "message_s": 60, "rate_window_s": 60}
    with running(tmp_path, {"limits": limits}) as (gateway, tps):
        assert tps is not None
        ae = AE("PACS")
        ae.add_requested_context(CTImageStorage)
        association = ae.associate("127.0.0.1", gateway.port, ae_title="CONTOURGATE")
        for path in files[:4]:
            assert association.send_c_store(pydicom.dcmread(BytesIO(path.read_bytes()))).Status == 0
        (context,) = association.accepted_contexts
        beginning = p_data(context.context_id, 0, bytes(1000))  # a fragment of a dataset, not the last
        association.dul.socket.send(p_data(context.context_id, 3, store_rq(9)) + beginning)
        time.sleep(2 * IDLE_S)  # that nothing happens cannot be waited for
        (passage,) = gateway.passages()
        assert (passage["state"], passage["received"]) == ("receiving", 4)
        assert gateway.send(*files).returncode == 0
        association.dul.socket.close()
        (passage,) = gateway.until_state("delivered")
        assert passage["received"] == 5
        assert len(tps.received()) == 1
