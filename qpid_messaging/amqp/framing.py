"""Frames to units and back.

A unit is a control or a command with the segments that belong to it: the method, then, for a transfer, header and body.
A segment is one frame or more. The frames of one unit follow one another on their channel and track, and those of other
channels may stand in between.

A frame, all numbers in network order::

    0         version (2 bits, 0), reserved (2), first segment, last segment, first frame, last frame
    1         segment type: control 0, command 1, header 2, body 3
    2..3      size of the frame with these twelve bytes
    4         reserved
    5         reserved (4 bits), track (4): 0 for controls, 1 for commands and their content
    6..7      channel
    8..11     reserved
    12..      payload
"""

from __future__ import annotations

from struct import Struct as Layout

from .codec import COMMAND_UNPACKERS, CONTROL_UNPACKERS, unpack_command
from .decoding import SHORT
from .errors import ProtocolError
from .schema import Command

#: What either side sends first: protocol AMQP, instance 1 over TCP, version 0-10.
PROTOCOL_HEADER = b"AMQP\x01\x01\x00\x0a"

#: Channel, control or command, header segment, body segment; None for a segment that is not there.
Unit = tuple[int, Command, "bytes | None", "bytes | None"]

CONTROL, COMMAND, HEADER, BODY = 0, 1, 2, 3
FIRST_SEGMENT, LAST_SEGMENT, FIRST_FRAME, LAST_FRAME = 0x8, 0x4, 0x2, 0x1

_WHOLE_FRAME = FIRST_FRAME | LAST_FRAME
_ALONE = FIRST_SEGMENT | LAST_SEGMENT | _WHOLE_FRAME

FRAME_HEADER_SIZE = 12
#: The frame size that every peer has to accept, and that holds before connection.tune.
MIN_MAX_FRAME_SIZE = 4096
MAX_FRAME_SIZE = 65535

_layout = Layout(">BBHxBHxxxx")
_pack = _layout.pack
_unpack = _layout.unpack_from


# --- Encoding ---------------------------------------------------------------------------------------------------------


def frames(channel: int, segment_type: int, flags: int, payload: bytes, max_frame_size: int = MAX_FRAME_SIZE) -> bytes:
    """One segment as frames.

    Args:
        channel: 0 to 65535.
        segment_type: `CONTROL`, `COMMAND`, `HEADER` or `BODY`.
        flags: `FIRST_SEGMENT` and `LAST_SEGMENT` as they apply; the frame flags are added.
        payload: the segment; an empty one is one empty frame.
        max_frame_size: bytes, with the header of twelve.
    """
    size = len(payload) + FRAME_HEADER_SIZE
    track = 1 if segment_type else 0
    if size <= max_frame_size:
        return _pack(flags | _WHOLE_FRAME, segment_type, size, track, channel) + payload
    room = max_frame_size - FRAME_HEADER_SIZE
    view = memoryview(payload)
    parts: list[bytes | memoryview] = []
    flags |= FIRST_FRAME
    for start in range(0, len(payload), room):
        piece = view[start : start + room]
        if start + room >= len(payload):
            flags |= LAST_FRAME
        parts += _pack(flags, segment_type, len(piece) + FRAME_HEADER_SIZE, track, channel), piece
        flags &= ~FIRST_FRAME
    return b"".join(parts)


def content_frames(
    channel: int, header: bytes | None, body: bytes | None, max_frame_size: int = MAX_FRAME_SIZE
) -> bytes:
    """Header and body segment as frames, to follow a method segment that was made beforehand."""
    if body is None:
        return b"" if header is None else frames(channel, HEADER, LAST_SEGMENT, header, max_frame_size)
    if header is None:
        return frames(channel, BODY, LAST_SEGMENT, body, max_frame_size)
    header_size = len(header) + FRAME_HEADER_SIZE
    body_size = len(body) + FRAME_HEADER_SIZE
    if header_size <= max_frame_size and body_size <= max_frame_size:
        return b"".join(
            (_pack(_WHOLE_FRAME, 2, header_size, 1, channel), header, _pack(0x7, 3, body_size, 1, channel), body)
        )
    return frames(channel, HEADER, 0, header, max_frame_size) + frames(
        channel, BODY, LAST_SEGMENT, body, max_frame_size
    )


def encode(
    channel: int,
    command: Command,
    header: bytes | None = None,
    body: bytes | None = None,
    max_frame_size: int = MAX_FRAME_SIZE,
) -> bytes:
    """A control or command with its content, as frames.

    Args:
        channel: 0 to 65535.
        command: its arguments are encoded here.
        header: the header segment's payload (`codec.encode_header`), None for none.
        body: the body segment's payload, None for none; an empty one is an empty frame.
        max_frame_size: bytes, with the header of twelve.

    Raises:
        EncodeError: an argument does not fit its type.
    """
    method = command.pack()
    size = len(method) + FRAME_HEADER_SIZE
    kind = 0 if command.IS_CONTROL else 1
    if header is None and body is None:
        if size <= max_frame_size:
            return _pack(_ALONE, kind, size, kind, channel) + method
        return frames(channel, kind, FIRST_SEGMENT | LAST_SEGMENT, method, max_frame_size)
    if header is not None and body is not None:
        header_size = len(header) + FRAME_HEADER_SIZE
        body_size = len(body) + FRAME_HEADER_SIZE
        if size <= max_frame_size and header_size <= max_frame_size and body_size <= max_frame_size:
            return b"".join(
                (
                    _pack(0xB, kind, size, kind, channel),
                    method,
                    _pack(0x3, 2, header_size, kind, channel),
                    header,
                    _pack(0x7, 3, body_size, kind, channel),
                    body,
                )
            )
    return frames(channel, kind, FIRST_SEGMENT, method, max_frame_size) + content_frames(
        channel, header, body, max_frame_size
    )


# --- Decoding ---------------------------------------------------------------------------------------------------------


class _Assembly:
    """A unit that is not whole yet."""

    __slots__ = ("command", "header", "held", "open", "pieces", "segment")

    def __init__(self, segment: int, command: Command | None = None) -> None:
        self.command = command
        self.header: bytes | None = None
        self.segment = segment  # the type of the last segment that has begun
        self.open = False  # whether it goes on
        self.pieces: list[bytes | memoryview] = []
        self.held = 0  # bytes of all frames, but for a header that came in one


class Decoder:
    """The receiving end of a connection's frames, behind the protocol header.

    Memory is bounded: by one frame that is not whole yet, and by `max_message_size` for all the units of the connection
    that are under assembly.

    Attributes:
        max_frame_size: the largest frame, in bytes, that the peer may send; set it when it has been negotiated.
        error: what was wrong with the stream; once set, it stays, and no more units come.
        frames: how many whole frames came in reads without an error.

    Args:
        max_frame_size: bytes.
        max_message_size: bytes that units under assembly may hold together, frame headers included.
        max_assemblies: how many units, on different channels, may be under assembly.
    """

    def __init__(
        self,
        *,
        max_frame_size: int = MAX_FRAME_SIZE,
        max_message_size: int = 256 << 20,
        max_assemblies: int = 1024,
    ) -> None:
        self.max_frame_size = max_frame_size
        self.max_message_size = max_message_size
        self.max_assemblies = max_assemblies
        self.error: ProtocolError | None = None
        self.frames = 0
        self._chunks: list[bytes] = []  # a frame that is not whole yet
        self._waiting = 0  # bytes in there
        self._needed = 0  # bytes without which looking at them again is no use
        self._offset = 0  # in the stream, of the first byte of the buffer being decoded
        self._assemblies: dict[int, _Assembly] = {}  # by channel << 4 | track

    def feed(self, data: bytes | bytearray | memoryview) -> list[Unit]:
        """Take what was read, give every unit that is whole now, in the order of their last frames.

        Where something is wrong behind whole units of the same read, these are returned and `error` is set; the next
        call raises it. So look at `error` after each call.

        Raises:
            ProtocolError: the bytes break the rules of framing or of a command's arguments; `offset` is in the stream.
        """
        if self.error is not None:
            raise self.error
        if not isinstance(data, bytes):
            data = bytes(data)
        if self._chunks:
            self._chunks.append(data)
            self._waiting += len(data)
            if self._waiting < self._needed:
                return []
            data = b"".join(self._chunks)
            self._chunks.clear()
        units: list[Unit] = []
        try:
            pos = self._decode(data, units)
            if self._assemblies:
                self._check_assemblies(pos)
        except ProtocolError as error:
            if error.offset is not None:
                error.offset += self._offset
            self.error = error
            self._assemblies.clear()
            if not units:
                raise
            return units
        self._offset += pos
        if pos < len(data):
            rest = data[pos:] if pos else data
            self._chunks.append(rest)
            self._waiting = len(rest)
            self._needed = FRAME_HEADER_SIZE if len(rest) < FRAME_HEADER_SIZE else rest[2] << 8 | rest[3]
        return units

    def _decode(self, data: bytes, units: list[Unit]) -> int:
        """Decode whole frames into `units`; where the first frame begins that is not whole."""
        end = len(data)
        pos = frames = 0
        max_frame_size = self.max_frame_size
        assemblies = self._assemblies
        while end - pos >= 12:
            flags, kind, size, track, channel = _unpack(data, pos)
            stop = pos + size
            if size < 12 or size > max_frame_size or flags > 0x3F:
                raise _bad_frame(flags, size, max_frame_size, pos)
            if stop > end:
                break
            flags &= 0xF
            track &= 0xF
            try:
                # The usual shapes: a method alone in its frame; method, header and body in a frame each.
                if flags == 0xF and kind == track and kind < 2:
                    start = pos + 12
                    unpackers = COMMAND_UNPACKERS if kind else CONTROL_UNPACKERS
                    command = unpackers[data[start] << 8 | data[start + 1]](data, start, stop, 0)
                    if channel << 4 | track in assemblies:
                        raise ProtocolError(f"a unit begins on channel {channel} before the last one is whole", pos)
                    units.append((channel, command, None, None))
                elif flags == 0xB and kind == 1 and track == 1:
                    start = pos + 12
                    command = COMMAND_UNPACKERS[data[start] << 8 | data[start + 1]](data, start, stop, 0)
                    if not command.CONTENT or channel << 4 | 1 in assemblies or len(assemblies) >= self.max_assemblies:
                        raise self._bad_begin(command, channel, pos)
                    if end - stop >= 24:
                        flags, kind, size, track, header_channel = _unpack(data, stop)
                        body = stop + size
                        if (
                            flags == 0x3
                            and kind == 2
                            and track == 1
                            and header_channel == channel
                            and 12 <= size <= max_frame_size
                            and end - body >= 12
                        ):
                            flags, kind, size, track, body_channel = _unpack(data, body)
                            whole = body + size
                            if (
                                flags == 0x7
                                and kind == 3
                                and track == 1
                                and body_channel == channel
                                and 12 <= size <= max_frame_size
                                and whole <= end
                            ):
                                units.append((channel, command, data[stop + 12 : body], data[body + 12 : whole]))
                                pos = whole
                                frames += 3
                                continue
                    assemblies[channel << 4 | 1] = _Assembly(1, command)
                elif flags == 0x3 and kind == 2:
                    assembly = assemblies[channel << 4 | track]
                    if assembly.segment != 1 or assembly.open:
                        raise _bad_order(kind, assembly, pos)
                    assembly.segment = 2
                    assembly.header = data[pos + 12 : stop]
                elif flags == 0x7 and kind == 3:
                    assembly = assemblies.pop(channel << 4 | track)
                    if assembly.open or assembly.segment == 3:
                        raise _bad_order(kind, assembly, pos)
                    units.append((channel, assembly.command, assembly.header, data[pos + 12 : stop]))  # type: ignore[arg-type]
                else:
                    unit = self._frame(data, pos, stop, flags, kind, track, channel)
                    if unit is not None:
                        units.append(unit)
            except KeyError:
                raise _not_found(data, pos, flags, kind, channel) from None
            except SHORT:
                raise ProtocolError("a command's arguments end too early", stop) from None
            pos = stop
            frames += 1
        else:
            # Less than a header is left; what there is of it may still be wrong already.
            if end > pos and data[pos] > 0x3F:
                raise _bad_frame(data[pos], 12, max_frame_size, pos)
        self.frames += frames
        return pos

    def _frame(self, data: bytes, pos: int, stop: int, flags: int, kind: int, track: int, channel: int) -> Unit | None:
        """Any frame, the unusual ones included. Raises KeyError for content without a method."""
        if kind > 3 or track > 1 or (kind < 2 and kind != track):
            raise ProtocolError(f"a frame of segment type {kind} on track {track}", pos)
        key = channel << 4 | track
        first = flags & FIRST_FRAME
        if not first:
            assembly = self._assemblies[key]
            if not assembly.open or assembly.segment != kind:
                raise _bad_order(kind, assembly, pos)
            if (flags & FIRST_SEGMENT != 0) != (kind < 2):
                raise ProtocolError("the frames of a segment disagree about whether it is the first", pos)
        elif flags & FIRST_SEGMENT:
            if kind > 1:
                raise ProtocolError(f"a unit begins with a segment of type {kind}", pos)
            if key in self._assemblies or len(self._assemblies) >= self.max_assemblies:
                raise self._bad_begin(None, channel, pos)
            assembly = self._assemblies[key] = _Assembly(kind)
            assembly.open = True
        else:
            assembly = self._assemblies[key]
            if assembly.open or kind <= assembly.segment:
                raise _bad_order(kind, assembly, pos)
            assembly.segment = kind
            assembly.open = True

        if stop - pos > FRAME_HEADER_SIZE:
            # Pieces are not copied before they are joined, but for one that would keep alive much more than itself.
            piece = memoryview(data)[pos + 12 : stop]
            assembly.pieces.append(piece if 4 * len(piece) > len(data) else bytes(piece))
        assembly.held += stop - pos
        if assembly.held > self.max_message_size:
            raise self._too_large(pos)
        if not flags & LAST_FRAME:
            return None

        assembly.open = False
        pieces = assembly.pieces
        payload = b"".join(pieces)
        assembly.pieces = []
        last = flags & LAST_SEGMENT
        if kind < 2:
            command = assembly.command = _unpack_joined(payload, kind == 0, pos)
            if not last and not command.CONTENT:
                raise self._bad_begin(command, channel, pos)
        elif kind == 2:
            assembly.header = payload
            assembly.held -= len(payload)
        if not last:
            return None
        del self._assemblies[key]
        assert assembly.command is not None
        return channel, assembly.command, assembly.header, payload if kind == 3 else None

    def _check_assemblies(self, pos: int) -> None:
        held = sum(a.held + len(a.header or b"") for a in self._assemblies.values())
        if held > self.max_message_size:
            raise self._too_large(pos)

    def _bad_begin(self, command: Command | None, channel: int, pos: int) -> ProtocolError:
        if command is not None and not command.CONTENT:
            return ProtocolError(f"{command.NAME} with content", pos)
        if len(self._assemblies) >= self.max_assemblies:
            return ProtocolError(f"more than {self.max_assemblies} units begun and not ended", pos)
        return ProtocolError(f"a unit begins on channel {channel} before the last one is whole", pos)

    def _too_large(self, pos: int) -> ProtocolError:
        return ProtocolError(f"messages of more than {self.max_message_size} bytes under assembly", pos)


def _unpack_joined(payload: bytes, is_control: bool, pos: int) -> Command:
    try:
        return unpack_command(payload, 0, len(payload), is_control)
    except ProtocolError as error:
        # Offsets inside of joined frames mean nothing to anybody: the last of these frames does.
        error.offset = pos
        raise


def _bad_frame(flags: int, size: int, max_frame_size: int, pos: int) -> ProtocolError:
    if flags > 0x3F:
        return ProtocolError(f"a frame of version {flags >> 6}", pos)
    if size < FRAME_HEADER_SIZE:
        return ProtocolError(f"a frame of {size} bytes, less than its own header", pos)
    return ProtocolError(f"a frame of {size} bytes, and the maximum is {max_frame_size}", pos)


def _bad_order(kind: int, assembly: _Assembly, pos: int) -> ProtocolError:
    state = "an unfinished segment" if assembly.open else "a segment"
    return ProtocolError(f"a segment of type {kind} behind {state} of type {assembly.segment}", pos)


def _not_found(data: bytes, pos: int, flags: int, kind: int, channel: int) -> ProtocolError:
    if kind < 2 and flags & FIRST_FRAME:
        code = f"class 0x{data[pos + 12]:02x} and code 0x{data[pos + 13]:02x}"
        return ProtocolError(f"no {'command' if kind else 'control'} has {code}", pos + 12)
    return ProtocolError(f"a segment of type {kind} on channel {channel}, and no command that it belongs to", pos)
