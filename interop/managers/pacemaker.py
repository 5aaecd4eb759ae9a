"""Hosts under Pacemaker and corosync, as Debian has them, with the agent and the configuration that we ship."""

from __future__ import annotations

import shutil
import sys
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path

from interop.managers.applications import wait_until
from interop.managers.hosts import ENVIRONMENT, NETWORK, Host, Hosts
from interop.peers import PeerAbsent
from qpid_server.ha.managers.write_scripts import write_scripts

VIRTUAL_IP = f"{NETWORK}.100"
AGENTS = "/usr/lib/ocf/resource.d"
PRIVATE = ("/run", "/dev/shm", "/var/lib/pacemaker", "/var/lib/corosync", "/var/log/pacemaker", "/etc/corosync")
"""What the daemons keep, each host for itself."""

_COROSYNC = """
totem {{
  version: 2
  cluster_name: qpid
  transport: knet
  crypto_cipher: none
  crypto_hash: none
  # Longer than a busy machine of two cores lets a process wait.
  token: 3000
}}
system {{
  sched_rr: no
}}
nodelist {{
{nodes}}}
quorum {{
  provider: corosync_votequorum
}}
logging {{
  to_syslog: no
  to_stderr: yes
}}
"""
_NODE = """  node {{
    nodeid: {id}
    name: {name}
    ring0_addr: {address}
  }}
"""
_EMPTY = """
<cib validate-with="pacemaker-3.8" admin_epoch="0" epoch="1" num_updates="0">
  <configuration>
    <crm_config>
      <cluster_property_set id="start">
        <nvpair id="start-dc-deadtime" name="dc-deadtime" value="2s"/>
      </cluster_property_set>
    </crm_config>
    <nodes/>
    <resources/>
    <constraints/>
  </configuration>
  <status/>
</cib>
"""
# The tool, which finds a broker that refuses its promotion for as long as there is a file.
_QPID_HA = f"""#!/bin/sh
if [ "$1" = promote ] && [ -e /run/refuse ]; then
  echo "broker elsewhere is ahead of this one: promote elsewhere instead"
  exit 1
fi
exec {Path(sys.executable).parent / "qpid-ha"} "$@"
"""


def require_pacemaker() -> None:
    """Find everything that the hosts run.

    Raises:
        PeerAbsent: something is missing; the text says what.
    """
    for command, package in (
        ("corosync", "corosync"),
        ("pacemakerd", "pacemaker"),
        ("cibadmin", "pacemaker-cli-utils"),
    ):
        if shutil.which(command, path=ENVIRONMENT["PATH"]) is None:
            raise PeerAbsent(f"{command} is not on the PATH (Debian: apt-get install {package})")
    if not Path(AGENTS, "heartbeat", "IPaddr2").exists():
        raise PeerAbsent("there is no ocf:heartbeat:IPaddr2 (Debian: apt-get install resource-agents)")


class PacemakerCluster:
    """Brokers on hosts, in Pacemaker's hands.

    Args:
        hosts: where to run; made with `PRIVATE`.
        folder: for configurations, logs, and what the brokers keep.
        options: lines of qpidd.conf.

    Attributes:
        members: the hosts that have a broker.
    """

    def __init__(self, hosts: Hosts, folder: Path, options: str) -> None:
        self._folder = folder
        self.members = [hosts.add(name) for name in ("one", "two", "three")]
        nodes = "".join(
            _NODE.format(id=number, name=host.name, address=host.address) for number, host in enumerate(self.members, 1)
        )
        write_scripts(folder)
        for host in self.members:
            host.run("sh", "-c", _PREPARE, "prepare", AGENTS, str(folder / "ocf"))
            host.write("/etc/corosync/corosync.conf", _COROSYNC.format(nodes=nodes))
            # It stands in /run, where each host has its own, since the cluster's configuration names one place.
            host.write(
                "/run/qpidd.conf",
                f"data-dir={folder / host.name}\nlog-to-file={self._log(host, 'qpidd')}\n{options}",
            )
            # The first election would wait 20 seconds for hosts that may be off.
            host.write("/var/lib/pacemaker/cib/cib.xml", _EMPTY)
            host.run("chown", "hacluster:haclient", "/var/lib/pacemaker/cib/cib.xml")
            host.write("/run/qpid-ha", _QPID_HA)
            host.run("chmod", "+x", "/run/qpid-ha")
            host.start("corosync", "-f", log=self._log(host, "corosync"))
        for host in self.members:
            host.start("pacemakerd", log=self._log(host, "pacemaker"))

    def _log(self, host: Host, what: str) -> Path:
        return self._folder / f"{host.name}.{what}.log"

    def configure(self) -> None:
        """Give Pacemaker the configuration that we ship, with this place's address and commands in it."""
        tree = ET.parse(self._folder / "pacemaker.xml")
        for pair in tree.iter("nvpair"):
            if pair.get("name") == "ip":
                pair.set("value", VIRTUAL_IP)
            elif pair.get("name") == "config":
                pair.set("value", "/run/qpidd.conf")
        parameters = tree.find(".//*[@id='qpidd-parameters']")
        assert parameters is not None
        for name, value in (("qpidd", str(Path(sys.executable).parent / "qpidd")), ("qpid_ha", "/run/qpid-ha")):
            ET.SubElement(parameters, "nvpair", id=f"qpidd-parameter-{name}", name=name, value=value)
        wait_until(lambda: self._online() == len(self.members), self.logs)
        path = self._folder / "cib.xml"
        tree.write(path)
        self.members[0].run("cibadmin", "--modify", "--allow-create", "--xml-file", str(path))

    def _monitor(self, seen_by: Host) -> ET.Element:
        """What Pacemaker says of the cluster; nothing, where it does not run yet."""
        try:
            return ET.fromstring(seen_by.run("crm_mon", "--one-shot", "--output-as", "xml", check=False))
        except ET.ParseError:
            return ET.Element("nothing")

    def _online(self) -> int:
        nodes = self._monitor(self.members[0]).findall("nodes/node")
        return sum(node.get("online") == "true" for node in nodes)

    def promoted(self, seen_by: Host) -> list[str]:
        """The hosts whose broker Pacemaker has promoted, as one of them sees it."""
        return [
            str(node.get("name"))
            for resource in self._monitor(seen_by).iter("resource")
            if resource.get("id") == "qpidd" and resource.get("role") in ("Promoted", "Master")
            for node in resource.iter("node")
        ]

    def wait_for_primary(self, hosts: Sequence[Host]) -> Host:
        """Wait until one of these hosts, which see each other, has the primary and the address.

        Pacemaker takes a broker that refused for promoted, until it has demoted it: the broker is asked, too.
        """
        found: list[Host] = []

        def promoted() -> bool:
            names = self.promoted(hosts[0])
            found[:] = [
                host
                for host in hosts
                if names == [host.name] and VIRTUAL_IP in host.run("ip", "address") and self.status(host) == "active"
            ]
            return len(found) == 1

        wait_until(promoted, self.logs)
        return found[0]

    def wait_for_backups(self, count: int) -> None:
        """Wait until so many brokers follow the primary."""
        wait_until(lambda: [self.status(host) for host in self.members].count("ready") == count, self.logs)

    def refused(self, host: Host) -> bool:
        """Whether the broker of a host refused its promotion."""
        return "not promoted: broker elsewhere" in host.path("/var/log/pacemaker/pacemaker.log").read_text()

    def status(self, host: Host) -> str:
        """What the broker of a host says that it is."""
        return host.run("qpid-ha", "status", "-b", "localhost", check=False).strip()

    def broker_log(self, host: Host) -> str:
        """What the broker of a host said."""
        return self._log(host, "qpidd").read_text("utf-8", "replace")

    def logs(self) -> str:
        """What everything said, the end of it."""
        paths = sorted(self._folder.glob("*.log"))
        paths += [host.path("/var/log/pacemaker/pacemaker.log") for host in self.members]
        return "\n".join(f"--- {path}\n" + "\n".join(_lines(path)[-60:]) for path in paths)


def _lines(path: Path) -> list[str]:
    return path.read_text("utf-8", "replace").splitlines() if path.exists() else []


# Pacemaker looks for agents in one folder only: there, ours is laid beside those of the packages, on this host alone.
_PREPARE = """
set -e
mkdir -p /run/agents /run/crm /run/lock
mount --bind "$1" /run/agents
mount -t tmpfs none "$1"
ln -s /run/agents/* "$1"
ln -s "$2" "$1/qpid"
for folder in blackbox cib cores pengine; do
  install -d -o hacluster -g haclient -m 750 /var/lib/pacemaker/$folder
done
install -d -o hacluster -g haclient -m 770 /var/log/pacemaker
"""
