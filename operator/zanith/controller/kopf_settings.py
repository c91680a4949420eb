"""How kopf is set: it watches, and that is all. It posts nothing, scans nothing, stores nothing on any object."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import kopf

from zanith.api.names import LABEL_MIGRATION_UID

_FIRST_S = 1.0
_CAP_S = 30.0


class EndlessBackoffs(Iterable[float]):
    """1, 2, 4 ... 30, 30, 30: an API server that is away for an hour must not end the process."""

    def __iter__(self) -> Iterator[float]:
        delay_s = _FIRST_S
        while True:
            yield delay_s
            delay_s = min(delay_s * 2, _CAP_S)


def configure(settings: kopf.OperatorSettings) -> None:
    """Set kopf up."""
    settings.posting.enabled = False
    settings.scanning.disabled = True
    settings.networking.request_timeout = 30.0
    settings.networking.connect_timeout = 10.0
    settings.networking.error_backoffs = EndlessBackoffs()
    # A watch that is cut now and then cannot stay deaf for long without anyone noticing.
    settings.watching.server_timeout = 300
    settings.watching.client_timeout = 310
    settings.watching.connect_timeout = 10.0
    settings.watching.reconnect_backoff = 1.0
    settings.watching.chunk_size = 500
    settings.watching.label_selectors["batch", "v1", "jobs"] = LABEL_MIGRATION_UID
    settings.watching.label_selectors["v1", "pods"] = LABEL_MIGRATION_UID
    settings.process.ultimate_exiting_timeout = 25.0
