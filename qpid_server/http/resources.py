"""What there is to ask for."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib.resources import files
from typing import TYPE_CHECKING, NamedTuple

from .metrics import metrics
from .responses import HTML, JSON, METRICS, Response, plain
from .status import status

if TYPE_CHECKING:
    from ..broker import Broker

__all__ = ["RESOURCES", "Resource"]

#: The page brings all that it needs with it, and asks nobody but the broker.
_PAGE_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Resource(NamedTuple):
    """Something that has a path.

    Attributes:
        public: for everybody, also where the broker asks its clients who they are.
        answer: makes the answer, from the broker and the parameters of the request.
    """

    public: bool
    answer: Callable[[Broker, Mapping[str, str]], Response]


def _health(broker: Broker, parameters: Mapping[str, str]) -> Response:
    return plain(200, "alive")


def _ready(broker: Broker, parameters: Mapping[str, str]) -> Response:
    return plain(200 if broker.serves_clients else 503, broker.role)


def _metrics(broker: Broker, parameters: Mapping[str, str]) -> Response:
    return Response(200, METRICS, metrics(broker))


def _status(broker: Broker, parameters: Mapping[str, str]) -> Response:
    return Response(200, JSON, status(broker, parameters.get("contains", "")))


def _page(broker: Broker, parameters: Mapping[str, str]) -> Response:
    page = files(__package__).joinpath("page.html").read_text("utf-8")
    return Response(200, HTML, [page], [("Content-Security-Policy", _PAGE_POLICY)])


RESOURCES = {
    "/health": Resource(True, _health),
    "/ready": Resource(True, _ready),
    "/metrics": Resource(False, _metrics),
    "/status.json": Resource(False, _status),
    "/": Resource(False, _page),
}
