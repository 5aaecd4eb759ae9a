"""Recorded TCP payloads as a pcap file, with the IP and TCP headers that they might have had."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import IO, NamedTuple

LINKTYPE_RAW = 101  # the packet begins with its IP header
SEGMENT = 1_400  # bytes of payload in a packet, as on most networks
CLIENT_PORT = 40_000  # of connection 0; connection n has this plus n
PUSH_ACK = 0x18


class Read(NamedTuple):
    """What one read of a socket gave: one line of a capture.

    Attributes:
        connection: Number of the connection within the recording.
        seconds: Time since the recording began.
        from_client: Whether the client sent it.
        data: The payload.
    """

    connection: int
    seconds: float
    from_client: bool
    data: bytes


def write_pcap(file: IO[bytes], reads: Iterable[Read], server_port: int) -> None:
    """Writes `reads` in the order given, as TCP segments between two loopback addresses.

    Checksums are left zero: tshark does not verify them unless told to.
    """
    file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 0x40000, LINKTYPE_RAW))
    sent: dict[tuple[int, bool], int] = {}  # (connection, from_client) -> next sequence number
    for read in reads:
        ports = (CLIENT_PORT + read.connection, server_port)
        for start in range(0, len(read.data), SEGMENT):
            payload = read.data[start : start + SEGMENT]
            sequence = sent.get((read.connection, read.from_client), 1)
            acknowledged = sent.get((read.connection, not read.from_client), 1)
            sent[read.connection, read.from_client] = sequence + len(payload)
            tcp = struct.pack(
                ">HHIIBBHHH",
                *ports[:: 1 if read.from_client else -1],
                sequence,
                acknowledged,
                5 << 4,
                PUSH_ACK,
                65535,
                0,
                0,
            )
            length = 20 + len(tcp) + len(payload)
            hosts = (b"\x7f\0\0\x01", b"\x7f\0\0\x02")[:: 1 if read.from_client else -1]
            ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, 6, 0, *hosts)
            seconds, fraction = divmod(read.seconds, 1)
            file.write(struct.pack("<IIII", int(seconds), int(fraction * 1e6), length, length) + ip + tcp + payload)
