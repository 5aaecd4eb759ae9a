"""The address language, under the name that users of `qpid.messaging` know. See `qpid_address`."""

from __future__ import annotations

from qpid_address import Address, AddressError, BrokerAddress, BrokerURL, parse

#: What `qpid.messaging.address` calls the error.
ParseError = AddressError

__all__ = ["Address", "AddressError", "BrokerAddress", "BrokerURL", "ParseError", "parse"]
