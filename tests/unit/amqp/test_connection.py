"""The connection machine, both ends: handshake, negotiation, closing, and peers that keep to nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from qpid_messaging.amqp import commands as c
from qpid_messaging.amqp import sasl
from qpid_messaging.amqp.connection import AuthenticationError, ServerConnection, State, VersionError
from qpid_messaging.amqp.errors import ProtocolError
from qpid_messaging.amqp.events import (
    Attached,
    AttachRequested,
    Authenticate,
    Broken,
    Closed,
    Detached,
    DetachRequested,
    HeartbeatReceived,
    Incoming,
    Opened,
    OpenRequested,
)
from qpid_messaging.amqp.framing import Decoder, encode
from qpid_messaging.amqp.ranges import RangeSet
from qpid_messaging.amqp.session import Session
from tests.unit.amqp.peers import HEADER, Pair, attach, make_client, make_server, opened


def units(data: bytes) -> list[c.Command]:
    """The controls and commands in what an end wrote, behind the protocol header if that is there."""
    return [command for _, command, _, _ in Decoder().feed(data.removeprefix(HEADER))]


def broken(events: list[Any]) -> ProtocolError:
    """The error of the one Broken event, which is the last event."""
    assert [type(event) for event in events].count(Broken) == 1
    return events[-1].error


# -- the handshake


@pytest.mark.parametrize("chunks", [None, 1, 2, 3])
def test_handshake(chunks: int | None) -> None:
    client = make_client(client_properties={"who": "me"}, virtual_host="here", heartbeat=10)
    pair = Pair(client, chunks=None if chunks is None else random.Random(chunks))
    pair.pump()
    assert pair.seen_by_client == [Opened(["h:1"])]
    assert pair.seen_by_server == [Authenticate("ANONYMOUS", b"", initial=True), OpenRequested("here")]
    assert pair.client.state is pair.server.state is State.OPENED
    assert pair.client.server_properties == {"product": "test"}
    assert pair.server.client_properties == {"who": "me"}
    assert pair.client.heartbeat == pair.server.heartbeat == 10


def test_what_the_client_wants_of_the_tuning() -> None:
    pair = opened(client=make_client(max_channels=2, max_frame_size=5000, locale="fr_FR"))
    assert pair.client.channel_max == pair.server.channel_max == 1
    assert pair.client.max_frame_size == pair.server.max_frame_size == 5000
    for name in (b"a", b"b"):
        pair.client.attach(Session(name))
    with pytest.raises(ProtocolError, match="all 2 channels"):
        pair.client.attach(Session(b"c"))
    start_ok = make_client(locale="fr_FR")
    start_ok.data_to_send()
    start_ok.receive(HEADER + encode(0, c.ConnectionStart(mechanisms=["ANONYMOUS"], locales=["en_US"])))
    [(_, command, _, _)] = Decoder().feed(start_ok.data_to_send())
    assert command.locale == "fr_FR"


def test_plain_credentials_arrive() -> None:
    pair = Pair(make_client())
    pair.client._choose_mechanism = lambda offered: sasl.choose(offered, "ann", "secret")
    pair.pump()
    assert pair.seen_by_server[0] == Authenticate("PLAIN", b"\0ann\0secret", initial=True)
    assert pair.server.mechanism == "PLAIN"


class Asking(sasl.Mechanism):
    """A mechanism that answers challenges."""

    name = "PLAIN"

    def respond(self, challenge: bytes) -> bytes:
        return b"<" + challenge + b">"


def test_challenges() -> None:
    client, server = make_client(), make_server()
    client._choose_mechanism = lambda offered: Asking()
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    assert server.receive(client.data_to_send()) == [Authenticate("PLAIN", b"", initial=True)]
    for challenge in (b"one", b"two"):
        server.challenge(challenge)
        client.receive(server.data_to_send())
        assert server.receive(client.data_to_send()) == [Authenticate("PLAIN", b"<%s>" % challenge, initial=False)]
    server.authenticated()
    client.receive(server.data_to_send())
    assert server.receive(client.data_to_send()) == [OpenRequested("")]


def test_a_second_response_is_not_tried_before_the_first_is_answered() -> None:
    """Else one read could carry a thousand passwords."""
    server = make_server()
    response = c.ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=b"\0a\0b", locale="en_US")
    more = encode(0, c.ConnectionSecureOk(response=b"\0a\0c"))
    events = server.receive(HEADER + encode(0, response) + 1000 * more)
    assert [type(event) for event in events] == [Authenticate, Broken]
    assert "before connection.start-ok was answered" in str(events[-1].error)


def test_an_answer_to_a_connection_that_is_over_is_none() -> None:
    server = make_server()
    start_ok = c.ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=b"\0a\0b", locale="en_US")
    broken(server.receive(HEADER + encode(0, start_ok) + b"\xff" * 12))
    server.data_to_send()
    server.challenge(b"?")
    server.authenticated()
    server.open_ok()
    assert server.state is State.CLOSED
    assert server.data_to_send() == b""


def test_open_is_asked_once() -> None:
    pair = Pair()
    pair.to_server(pair.client.data_to_send())
    pair.to_client(pair.server.data_to_send())
    pair.to_server(pair.client.data_to_send())
    pair.to_client(pair.server.data_to_send())
    opening = pair.client.data_to_send()
    events = pair.server.receive(opening + encode(0, c.ConnectionOpen(virtual_host="other")))
    assert [type(event) for event in events] == [OpenRequested, Broken]


def test_refused() -> None:
    client, server = make_client(), make_server()
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    server.receive(client.data_to_send())
    server.refuse()
    assert client.receive(server.data_to_send()) == [
        Closed(c.CloseCode.CONNECTION_FORCED, "Authentication failed", by_peer=True)
    ]
    assert server.receive(client.data_to_send()) == [Closed(c.CloseCode.NORMAL, "", by_peer=False)]
    assert client.state is server.state is State.CLOSED


def test_no_mechanism_in_common() -> None:
    pair = Pair(server=ServerConnection(server_properties={}, mechanisms=["GSSAPI"]))
    pair.client._choose_mechanism = lambda offered: sasl.choose(offered, "ann", "secret")
    pair.pump()
    error = broken(pair.seen_by_client)
    assert isinstance(error, AuthenticationError)
    assert "offers: GSSAPI" in str(error)


def test_a_challenge_that_cannot_be_answered() -> None:
    client, server = make_client(), make_server()
    server.receive(client.data_to_send())
    client.receive(server.data_to_send())
    server.receive(client.data_to_send())
    server.challenge(b"?")
    assert isinstance(broken(client.receive(server.data_to_send())), AuthenticationError)


def test_a_mechanism_that_was_not_offered() -> None:
    server = make_server()
    start_ok = c.ConnectionStartOk(client_properties={}, mechanism="GSSAPI", response=b"", locale="en_US")
    assert "GSSAPI" in str(broken(server.receive(HEADER + encode(0, start_ok))))


@pytest.mark.parametrize("name", ["ж" * 127, "語" * 85, "\U0001f40d" * 63, "\0" * 255])
def test_the_text_of_a_refusal_fits(name: str) -> None:
    """connection.close's reply-text holds 255 bytes, however few characters that are."""
    server = make_server()
    start_ok = c.ConnectionStartOk(client_properties={}, mechanism=name, response=b"", locale="en_US")
    broken(server.receive(HEADER + encode(0, start_ok)))
    close = units(server.data_to_send())[-1]
    assert isinstance(close, c.ConnectionClose)
    assert close.reply_text
    pair = opened()
    pair.server.close(c.CloseCode.CONNECTION_FORCED, name)
    pair.pump()
    assert isinstance(pair.seen_by_client[0], Closed)
    assert name.startswith(pair.seen_by_client[0].text)


# -- protocol headers


@pytest.mark.parametrize(
    "data",
    [
        b"AMQP\x00\x01\x00\x00",
        b"AMQP\x00\x00\x09\x01",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01",
        b"G",
        b"AMQP\x01\x01\x00\x09",
    ],
)
def test_wrong_header_at_the_server(data: bytes) -> None:
    server = make_server()
    assert isinstance(broken(server.receive(data)), VersionError)
    assert server.data_to_send() == HEADER
    assert server.state is State.CLOSED
    assert server.receive(HEADER) == []


@pytest.mark.parametrize("data", [b"AMQP\x00\x01\x00\x00", b"HTTP/1.1 400", b"\x15\x03\x01\x00"])
def test_wrong_header_at_the_client(data: bytes) -> None:
    client = make_client()
    client.data_to_send()
    assert isinstance(broken(client.receive(data)), VersionError)
    assert client.data_to_send() == b""


def test_the_version_of_the_other_is_named() -> None:
    assert "AMQP 0-9" in str(broken(make_client().receive(b"AMQP\x01\x01\x00\x09")))


def test_header_byte_by_byte() -> None:
    server = make_server()
    for index in range(8):
        assert server.data_to_send() == b""
        assert server.receive(HEADER[index : index + 1]) == []
    assert [type(unit) for unit in units(server.data_to_send())] == [c.ConnectionStart]


# -- negotiation


@pytest.mark.parametrize(
    ("wanted", "least", "most", "agreed"),
    [(0, 5, 10, 0), (3, 5, 10, 5), (7, 5, 10, 7), (60, 5, 10, 10), (60, None, None, 60), (100_000, 0, 0, 65535)],
)
def test_heartbeat(wanted: int, least: int | None, most: int | None, agreed: int) -> None:
    client = make_client(heartbeat=wanted)
    client.receive(HEADER + encode(0, c.ConnectionStart(server_properties={}, mechanisms=["ANONYMOUS"], locales=[])))
    client.data_to_send()
    assert client.receive(encode(0, c.ConnectionTune(heartbeat_min=least, heartbeat_max=most))) == []
    tune_ok = units(client.data_to_send())[0]
    assert isinstance(tune_ok, c.ConnectionTuneOk)
    assert tune_ok.heartbeat == client.heartbeat == agreed


@pytest.mark.parametrize(
    ("client", "server", "agreed"), [(65535, 65535, 65535), (4096, 65535, 4096), (65535, 8192, 8192)]
)
def test_frame_size(client: int, server: int, agreed: int) -> None:
    pair = opened(client=make_client(max_frame_size=client), server=make_server(max_frame_size=server))
    assert pair.client.max_frame_size == pair.server.max_frame_size == agreed
    session = Session(b"s")
    attach(pair, session)
    session.send(c.MessageTransfer(destination="q"), b"", b"x" * 100_000)
    data = pair.client.data_to_send()
    assert max(int.from_bytes(data[at + 2 : at + 4], "big") for at in frame_offsets(data)) == agreed
    assert pair.to_server(data)[0].body == b"x" * 100_000  # type: ignore[union-attr]


def frame_offsets(data: bytes) -> list[int]:
    offsets, at = [], 0
    while at < len(data):
        offsets.append(at)
        at += int.from_bytes(data[at + 2 : at + 4], "big")
    return offsets


def test_a_frame_larger_than_agreed() -> None:
    pair = opened(client=make_client(max_frame_size=4096))
    session = Session(b"s")
    attach(pair, session)
    pair.client.max_frame_size = 65535
    session.send(c.MessageTransfer(destination="q"), b"", b"x" * 5000)
    assert "maximum is 4096" in str(broken(pair.to_server(pair.client.data_to_send())))


def test_the_broker_wants_frames_that_are_too_small() -> None:
    client = make_client()
    client.receive(HEADER + encode(0, c.ConnectionStart(server_properties={}, mechanisms=["ANONYMOUS"], locales=[])))
    assert "100 bytes" in str(broken(client.receive(encode(0, c.ConnectionTune(max_frame_size=100)))))


@pytest.mark.parametrize("size", [1, 4095, 65535])
def test_the_client_wants_frames_that_were_not_offered(size: int) -> None:
    server = make_server(max_frame_size=8192)
    start_ok = c.ConnectionStartOk(client_properties={}, mechanism="ANONYMOUS", response=b"", locale="en_US")
    server.receive(HEADER + encode(0, start_ok))
    server.authenticated()
    error = broken(server.receive(encode(0, c.ConnectionTuneOk(max_frame_size=size))))
    assert str(error) == f"max-frame-size {size} is not from 4096 to 8192"


# -- closing


@pytest.mark.parametrize("closer", ["client", "server"])
def test_closing(closer: str) -> None:
    pair = opened()
    by_client = closer == "client"
    (pair.client if by_client else pair.server).close(c.CloseCode.NORMAL, "bye")
    (pair.client if by_client else pair.server).close(c.CloseCode.NORMAL, "twice is once")
    pair.pump()
    agreed, told = Closed(c.CloseCode.NORMAL, "", by_peer=False), Closed(c.CloseCode.NORMAL, "bye", by_peer=True)
    assert pair.seen_by_client == [agreed if by_client else told]
    assert pair.seen_by_server == [told if by_client else agreed]
    assert pair.client.state is pair.server.state is State.CLOSED
    assert pair.server.receive(encode(0, c.ConnectionHeartbeat())) == []


def test_both_close_at_once() -> None:
    pair = opened()
    pair.client.close()
    pair.server.close()
    from_client, from_server = pair.client.data_to_send(), pair.server.data_to_send()
    assert [type(event) for event in pair.to_client(from_server)] == [Closed]
    assert [type(event) for event in pair.to_server(from_client)] == [Closed]
    pair.pump()
    assert pair.client.state is pair.server.state is State.CLOSED


def test_what_comes_behind_our_close_does_not_matter() -> None:
    pair = opened()
    session = Session(b"s")
    attach(pair, session)
    pair.server.close()
    session.send(c.MessageTransfer(destination="q"), b"", b"late")
    assert pair.to_server(pair.client.data_to_send()) == []
    pair.pump()
    assert pair.server.state is State.CLOSED


def test_close_ok_that_nobody_waits_for() -> None:
    pair = opened()
    assert "connection.close-ok came" in str(broken(pair.server.receive(encode(0, c.ConnectionCloseOk()))))


def test_what_was_sent_before_it_broke_stands() -> None:
    pair = opened()
    session = Session(b"s")
    attach(pair, session)
    session.send(c.MessageTransfer(destination="q"), b"", b"good")
    events = pair.to_server(pair.client.data_to_send() + b"\xff" * 12)
    assert [type(event) for event in events] == [Incoming, Broken]
    assert isinstance(units(pair.server.data_to_send())[-1], c.ConnectionClose)


def test_lost_detaches_every_session() -> None:
    pair = opened()
    sessions = [Session(b"a"), Session(b"b")]
    for session in sessions:
        attach(pair, session)
    assert pair.client.lost() == sessions
    assert not any(session.attached for session in sessions)
    assert pair.client.lost() == []


def test_heartbeats() -> None:
    pair = opened()
    pair.client.send_heartbeat()
    pair.server.send_heartbeat()
    pair.pump()
    assert pair.seen_by_client == pair.seen_by_server == [HeartbeatReceived()]
    pair.client.close()
    pair.client.data_to_send()
    pair.client.send_heartbeat()
    assert not pair.client.has_output


# -- sessions on channels


def test_attach_and_detach() -> None:
    pair = opened()
    session = Session(b"name")
    other = attach(pair, session)
    assert pair.seen_by_client == [Attached(session)]
    assert pair.seen_by_server == [AttachRequested(other, force=False)]
    assert other.name == b"name"
    session.detach()
    pair.pump()
    assert pair.seen_by_client[-1] == Detached(session, 0)
    assert pair.seen_by_server[-1] == DetachRequested(other)
    assert not session.attached
    assert not other.attached
    assert not pair.client.sessions
    assert not pair.server.sessions


def test_channels_are_used_again() -> None:
    pair = opened()
    first, second, third = Session(b"1"), Session(b"2"), Session(b"3")
    attach(pair, first)
    attach(pair, second)
    first.detach()
    pair.pump()
    attach(pair, third)
    assert (second.channel, third.channel) == (1, 0)


def test_a_session_that_left_does_not_take_the_next_one_off_its_channel() -> None:
    pair = opened()
    old = attach(pair, first := Session(b"1"))
    first.detach()
    pair.pump()
    new = attach(pair, second := Session(b"2"))
    pair.server.detach(old)
    pair.server.release(old)
    assert not pair.server.has_output
    assert new.attached
    assert second.attached
    assert pair.server.sessions == {0: new}


def test_all_channels_in_use() -> None:
    pair = opened(server=make_server(channel_max=1))
    attach(pair, Session(b"1"))
    attach(pair, Session(b"2"))
    with pytest.raises(ProtocolError, match="all 2 channels"):
        pair.client.attach(Session(b"3"))


def test_a_channel_above_the_highest() -> None:
    pair = opened(server=make_server(channel_max=1))
    events = pair.server.receive(encode(2, c.SessionAttach(name=b"s")))
    assert "channel 2 is above channel-max 1" in str(broken(events))


def test_two_sessions_on_one_channel() -> None:
    pair = opened()
    attach(pair, Session(b"1"))
    assert "has a session already" in str(broken(pair.server.receive(encode(0, c.SessionAttach(name=b"2")))))


@pytest.mark.parametrize(
    ("command", "answered"),
    [
        (c.MessageTransfer(destination="q"), True),
        (c.ExecutionSync(), True),
        (c.SessionCompleted(commands=RangeSet([(0, 3)])), True),
        (c.SessionCommandPoint(command_id=7, command_offset=0), True),
        (c.SessionDetach(name=b"x"), True),
        (c.SessionDetached(name=b"x", code=0), False),
    ],
)
def test_a_channel_without_session(command: c.Command, answered: bool) -> None:
    """The server says that nothing is attached there; what crosses with a detach is no error."""
    pair = opened()
    assert pair.server.receive(encode(5, command)) == []
    answer = units(pair.server.data_to_send())
    assert [type(unit) for unit in answer] == ([c.SessionDetached] if answered else [])
    assert all(unit.code == c.DetachCode.NOT_ATTACHED for unit in answer)  # type: ignore[attr-defined]
    assert pair.client.receive(encode(5, command)) == []
    assert not pair.client.has_output


# -- controls of the wrong end, or at the wrong time

_OF_SERVER: list[Callable[[], c.Command]] = [
    lambda: c.ConnectionStart(server_properties={}, mechanisms=["PLAIN"], locales=[]),
    lambda: c.ConnectionSecure(challenge=b""),
    c.ConnectionTune,
    c.ConnectionOpenOk,
]
_OF_CLIENT: list[Callable[[], c.Command]] = [
    lambda: c.ConnectionStartOk(client_properties={}, mechanism="PLAIN", response=b"", locale=""),
    lambda: c.ConnectionSecureOk(response=b""),
    c.ConnectionTuneOk,
    lambda: c.ConnectionOpen(virtual_host=""),
]


@pytest.mark.parametrize("make", [*_OF_SERVER, *_OF_CLIENT, c.ConnectionRedirect])
@pytest.mark.parametrize("attached", [False, True])
def test_handshake_again_when_open(make: Callable[[], c.Command], attached: bool) -> None:
    for side in ("client", "server"):
        pair = opened()
        if attached:
            attach(pair, Session(b"s"))
        broken(getattr(pair, side).receive(encode(0, make())))
        assert isinstance(units(getattr(pair, side).data_to_send())[-1], c.ConnectionClose)


def test_only_clients_attach() -> None:
    pair = opened()
    assert "session.attach" in str(broken(pair.client.receive(encode(0, c.SessionAttach(name=b"s")))))


@pytest.mark.parametrize(
    "command",
    [
        c.MessageTransfer(destination="q"),
        c.SessionAttach(name=b"s"),
        c.SessionCompleted(),
        c.ConnectionOpen(),
        c.TxSelect(),
    ],
)
def test_before_the_handshake(command: c.Command) -> None:
    assert "came while" in str(broken(make_server().receive(HEADER + encode(0, command))))


@pytest.mark.parametrize("make", _OF_SERVER[1:])
def test_the_server_hurries(make: Callable[[], c.Command]) -> None:
    assert "came while connection.start was awaited" in str(broken(make_client().receive(HEADER + encode(0, make()))))


# -- anything at all


def conversation() -> tuple[bytes, bytes]:
    """What a client and a server write in a short and complete exchange."""
    streams = [b"", b""]
    pair = Pair()
    session = Session(b"s")

    def pump() -> None:
        while pair.client.has_output or pair.server.has_output:
            data = pair.client.data_to_send()
            streams[0] += data
            for event in pair.to_server(data):
                if isinstance(event, Incoming):
                    event.session.complete(event.id)
            data = pair.server.data_to_send()
            streams[1] += data
            pair.to_client(data)

    pump()
    pair.client.attach(session)
    session.request_timeout(60)
    session.flush(expected=True, completed=True, confirmed=True)
    pump()
    for size in (0, 5, 100):
        session.send(c.MessageTransfer(destination="q"), b"", b"x" * size)
    session.send(c.QueueDeclare(queue="q", arguments={"a": 1, "b": ["c", 2.5]}), token="declared")
    session.sync()
    pump()
    other = pair.server.sessions[0]
    other.send(c.MessageTransfer(destination="q"), b"", b"y" * 50)
    other.result(3, c.QueueQueryResult(queue="q"))
    other.flush(completed=True)
    pair.server.send_heartbeat()
    pump()
    session.detach()
    pump()
    pair.client.close()
    pump()
    return streams[0], streams[1]


def mutate(chance: random.Random, data: bytes) -> bytes:
    """The data with a few bytes changed, left out, doubled or put in."""
    mutated = bytearray(data)
    for _ in range(chance.choice((1, 1, 2, 5))):
        at = chance.randrange(len(mutated))
        kind = chance.randrange(5)
        if kind == 0:
            mutated[at] = chance.randrange(256)
        elif kind == 1:
            mutated[at] ^= 1 << chance.randrange(8)
        elif kind == 2:
            del mutated[at : at + chance.choice((1, 2, 12, 40))]
        elif kind == 3:
            mutated[at:at] = chance.randbytes(chance.choice((1, 4, 12)))
        else:
            mutated[at:at] = mutated[at : at + chance.choice((12, 24, 60))]
        if not mutated:
            break
    return bytes(mutated)


@pytest.mark.parametrize("side", ["client", "server"])
def test_ten_thousand_broken_streams(side: str) -> None:
    """Each end gives events, the last of them Broken or Closed where it is over, and raises nothing."""
    chance = random.Random(side)
    stream = conversation()[side == "client"]
    ended = 0
    for number in range(10_000):
        end = make_client() if side == "client" else make_server()
        pair = Pair(client=end) if side == "client" else Pair(server=end)  # type: ignore[arg-type]
        noise = HEADER + chance.randbytes(chance.randrange(200))
        data = mutate(chance, stream) if number % 10 else noise
        feed = pair.to_client if side == "client" else pair.to_server
        if side == "client":
            # Somebody to whom it can speak.
            session = Session(b"s")
            end.sessions[0] = session
            session.bind(end, 0)
            session.next_id = 5
        cut = chance.randrange(len(data) + 1)
        events = feed(data[:cut]) + feed(data[cut:])
        end.data_to_send()
        over = [event for event in events if isinstance(event, (Broken, Closed))]
        assert over == (events[-1:] if over else [])
        assert (end.state is State.CLOSED) == bool(over)
        assert not over or feed(data) == []
        ended += bool(over)
    assert ended > 5000
