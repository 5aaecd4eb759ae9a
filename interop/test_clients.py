"""The scenarios, each run with the original client on Python 2.7 and with ours, against our broker."""

from __future__ import annotations

import pytest

from interop.broker_process import BrokerProcess
from interop.clients import Client, scenarios


@pytest.mark.parametrize(
    ("file", "function"),
    [pytest.param(file, function, id=f"{file}-{function.removeprefix('test_')}") for file, function in scenarios()],
)
def test_scenario(broker: BrokerProcess, client: Client, file: str, function: str) -> None:
    client.run(file, broker.url, function)
