"""The address language and the broker URL language of ``qpid.messaging``: text in, values out.

>>> from qpid_address import parse, parse_url
>>> name, subject, options = parse("news/sport.#; {link: {durable: True}}")
>>> parse_url("guest/guest@localhost:5672").addresses
(BrokerAddress(transport='tcp', host='localhost', port=5672),)
"""

from .address import MAX_DEPTH, Address
from .errors import AddressError, URLError
from .jms import JMS_PORT, JMSBroker, JMSConnectionURL
from .lexer import MAX_LENGTH
from .parser import parse, parse_map
from .url import AMQP_PORT, AMQPS_PORT, DEFAULT_PORTS, BrokerAddress, BrokerURL, parse_url

__all__ = [
    "AMQPS_PORT",
    "AMQP_PORT",
    "DEFAULT_PORTS",
    "JMS_PORT",
    "MAX_DEPTH",
    "MAX_LENGTH",
    "Address",
    "AddressError",
    "BrokerAddress",
    "BrokerURL",
    "JMSBroker",
    "JMSConnectionURL",
    "URLError",
    "parse",
    "parse_map",
    "parse_url",
]
