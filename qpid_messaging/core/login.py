"""What a client says while a broker lets it in: what program it is, and who, by the mechanism that proves it."""

from __future__ import annotations

import os
import socket
import sys
from functools import cache
from typing import TYPE_CHECKING, Any

from ..amqp import sasl

if TYPE_CHECKING:
    from collections.abc import Iterable

    from qpid_address import BrokerAddress

    from ..options import ConnectionOptions


def choose_mechanism(
    offered: Iterable[str], options: ConnectionOptions, broker: BrokerAddress | None, *, encrypted: bool
) -> sasl.Mechanism:
    """The SASL mechanism that the options ask for; see `sasl.choose`.

    Args:
        offered: the broker's mechanisms.
        options: who to be, and what is permitted.
        broker: which broker that is.
        encrypted: whether nobody can read along.

    Raises:
        SASLError: none fits, or the connection is not what `sasl_min_ssf` demands.
    """
    if options.sasl_min_ssf and not encrypted:
        raise sasl.SASLError(f"sasl_min_ssf is {options.sasl_min_ssf}, and the connection is not encrypted")
    return sasl.choose(
        offered,
        options.username,
        options.password,
        permitted=options.sasl_mechanisms.split() if options.sasl_mechanisms else None,
        trace=f"{options.username or 'anonymous'}@{socket.gethostname()}",
        service=options.sasl_service,
        host="" if broker is None else broker.host,
        certified=encrypted and options.ssl_certfile is not None,
    )


def client_properties(given: dict[str, Any]) -> dict[str, Any]:
    """What a client tells a broker about itself: the names that Qpid's tools look at, and what the application adds."""
    return {
        "product": "qpid python client",
        "qpid.client_version": _version(),
        "platform": os.name,
        "qpid.client_process": os.path.basename(sys.argv[0] if sys.argv else ""),
        "qpid.client_pid": os.getpid(),
        "qpid.client_ppid": os.getppid(),
        **given,
    }


@cache
def _version() -> str:
    from importlib import metadata  # noqa: PLC0415 - 20 ms of import, needed at the first connection only

    try:
        return metadata.version("qpid-messaging")
    except metadata.PackageNotFoundError:
        return "unidentified"
