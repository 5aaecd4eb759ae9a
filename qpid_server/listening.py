"""Where a broker listens: addresses, names of network interfaces, and sockets that somebody else opened for it."""

from __future__ import annotations

import errno
import fcntl
import socket
import struct
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.abc
from anyio import abc

from .options import OptionError

__all__ = ["PEER_LEFT", "Listener", "addresses_of", "inherited", "listen"]

Listener = abc.Listener[abc.SocketStream]

#: What asking a socket for its addresses raises when the peer has left meanwhile; the last one is uvloop's.
PEER_LEFT = (OSError, anyio.TypedAttributeLookupError, AttributeError)
_LOOPBACK = ("127.0.0.1", "::1")
_ANYWHERE = ("0.0.0.0", "::")
_SIOCGIFADDR = 0x8915
_INET6 = Path("/proc/net/if_inet6")
_LINK_LOCAL = "20"


def addresses_of(interface: str) -> list[str]:
    """The addresses of a network interface, IPv4 and IPv6; what is no interface's name is an address itself.

    Args:
        interface: for example ``eth0``, ``127.0.0.1`` or ``[::1]``.

    Raises:
        OptionError: the interface has no address.
    """
    if interface not in (name for _, name in socket.if_nameindex()):
        return [interface.strip("[]")]
    found = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            answer = fcntl.ioctl(probe, _SIOCGIFADDR, struct.pack("256s", interface[:15].encode()))
            found.append(socket.inet_ntoa(answer[20:24]))
        except OSError:
            pass  # it has none of IPv4
    if _INET6.exists():
        for line in _INET6.read_text("ascii").splitlines():
            address, _, _, scope, _, name = line.split()
            if name == interface:
                text = socket.inet_ntop(socket.AF_INET6, bytes.fromhex(address))
                found.append(f"{text}%{interface}" if scope == _LINK_LOCAL else text)
    if not found:
        raise OptionError(f"network interface {interface} has no address")
    return found


async def listen(interfaces: Sequence[str], port: int, *, backlog: int, loopback: bool) -> list[Listener]:
    """Listen on a port of some interfaces.

    Args:
        interfaces: names or addresses; none is all, or only the machine itself.
        port: TCP port; with 0 the system chooses one, the same for all.
        backlog: connections that wait to be accepted.
        loopback: without interfaces, only the machine itself.

    Raises:
        OSError: an address cannot be listened on.
        OptionError: an interface has no address.
    """
    hosts = [host for interface in interfaces for host in addresses_of(interface)]
    listeners: list[Listener] = []
    try:
        for host in hosts or (_LOOPBACK if loopback else _ANYWHERE):
            try:
                multi = await anyio.create_tcp_listener(local_host=host, local_port=port, backlog=backlog)
            except OSError as error:
                absent = error.errno in (errno.EAFNOSUPPORT, errno.EADDRNOTAVAIL)
                if absent and listeners and not hosts:
                    continue  # a machine without IPv6
                raise
            listeners += multi.listeners
            port = int(listeners[-1].extra(abc.SocketAttribute.local_port))
    except BaseException:
        for listener in listeners:
            await listener.aclose()
        raise
    return listeners


async def inherited(descriptor: int) -> Listener:
    """A TCP socket that listens already.

    Raises:
        OptionError: the file descriptor is none.
    """
    try:
        listener = socket.socket(fileno=descriptor)
        listening = listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN)
    except OSError as error:
        raise OptionError(f"socket-fd: {descriptor}: {error}") from error
    if listener.family not in (socket.AF_INET, socket.AF_INET6) or not listening:
        raise OptionError(f"socket-fd: {descriptor} is no TCP socket that listens")
    listener.setblocking(False)
    return await abc.SocketListener.from_socket(listener)
