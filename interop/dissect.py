"""tshark's opinion of recorded AMQP 0-10 traffic."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from interop.pcap import Read, write_pcap

SERVER_PORT = 5672
CLIENT_HOST = "127.0.0.1"
FIELDS = ("ip.src", "_ws.col.Info", "_ws.expert.message")


@dataclass(frozen=True)
class Dissection:
    """What tshark saw.

    Attributes:
        client: The controls and commands (`message.transfer`) that the clients sent, in order.
        server: The same of the server.
        complaints: What the dissector found malformed, unknown or wrong, one text a finding.
    """

    client: list[str]
    server: list[str]
    complaints: list[str]


def dissect(tshark: Path, reads: Iterable[Read]) -> Dissection:
    """Lets tshark decode `reads`, whose server spoke AMQP 0-10."""
    with tempfile.NamedTemporaryFile(suffix=".pcap") as file:
        write_pcap(file, reads, SERVER_PORT)
        file.flush()
        command = [str(tshark), "-n", "-r", file.name, "-d", f"tcp.port=={SERVER_PORT},amqp", "-T", "fields"]
        for field in FIELDS:
            command += ["-e", field]
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    found = Dissection([], [], [])
    for number, line in enumerate(done.stdout.splitlines(), 1):
        source, info, expert = line.split("\t")
        side = "client" if source == CLIENT_HOST else "server"
        (found.client if side == "client" else found.server).extend(
            word for word in info.split() if word.partition(".")[2].replace("-", "").isalpha()
        )
        if expert:
            found.complaints.append(f"packet {number} from the {side}: {expert} in {info!r}")
    return found
