"""A receiver: credit, deliveries, and the claim for what it held when its connection was lost."""

from __future__ import annotations

from collections import deque
from math import ceil
from typing import TYPE_CHECKING, Any

from ..amqp.commands import (
    AcceptMode,
    AcquireMode,
    Command,
    CreditUnit,
    ExchangeBind,
    FlowMode,
    MessageCancel,
    MessageFlow,
    MessageFlush,
    MessageRelease,
    MessageSetFlowMode,
    MessageStop,
    MessageSubscribe,
    QueueDeclare,
    QueueDelete,
)
from ..constants import UNLIMITED, Constant
from .delivery import Delivery
from .link import THRESHOLD, LinkCore, LinkState
from .nodes import bindings, override
from .transfers import transfer_ids

if TYPE_CHECKING:
    from ..amqp.commands import MessageTransfer
    from .session import SessionCore
    from .tasks import Steps

#: Credit without limit, on the wire.
INFINITE = 0xFFFFFFFF
#: message.subscribe arguments: deliveries shall carry the id by which a broker knows the message again after a
#: fail-over; the subscription comes back for the messages with these ids.
RESUME_IDS = "qpid.resume-ids"
CLAIM = "qpid.claim"


class ReceiverCore(LinkCore):
    """What a receiver wants, and how far that is done.

    Args:
        session: the session that it belongs to.
        address: where messages come from.
        destination: the subscription's name on the wire.
        capacity: how many messages may come ahead of being fetched, or UNLIMITED.

    Attributes:
        incoming: what has come and was not fetched.
        fetching: how many calls wait for a message.
        draining: whether the broker is asked for all that it has for us before it says that it did.
        threshold: the part of the capacity below which it is filled again.
        explicit: whether messages are to be accepted; the others are settled as they come.
        decodes: whether maps and lists are decoded for the application.
    """

    ROLE = "receiver"

    def __init__(self, session: SessionCore, address: str | None, destination: str, capacity: int | Constant) -> None:
        super().__init__(session, address)
        self.destination = destination
        self.capacity = capacity
        self.threshold = THRESHOLD
        self.incoming: deque[Delivery] = deque()
        self.fetching = 0
        self.draining = False
        self.explicit = True
        self.decodes = not session.connection.options.disable_auto_decode
        # Messages that the broker may still send; None is no limit.
        self._credit: int | None = 0
        self._bytes_open = False
        # A flush or a stop is on its way: credit means nothing until it is back.
        self._halting: Command | None = None
        # A drain began while the flush of an earlier one was on its way, which says nothing of credit given since.
        self._flush_again = False
        self._claims: dict[str, Delivery] = {}
        self._subscription_queue: str | None = None

    # -- linking -----------------------------------------------------------------------------------------------

    def _link(self) -> Steps[None]:
        node = yield from self._resolve()
        link = self.link_options
        reliability = link.get("reliability", "unreliable" if node.kind == "topic" else "at-least-once")
        self.explicit = reliability not in ("unreliable", "at-most-once")
        acquire = AcquireMode.PRE_ACQUIRED
        commands: list[Command] = []
        if node.kind == "topic":
            queue = link.get("name") or f"{self.session.name}.{self.destination}"
            commands += self._subscribe_topic(queue, node.exchange_type, auto_delete=reliability == "unreliable")
        else:
            queue = self.name
            if self.options.get("mode") == "browse":
                acquire = AcquireMode.NOT_ACQUIRED
            commands += bindings(link, queue=queue)
        claim = list(self._claims)
        arguments: dict[str, Any] = {}
        if self.session.connection.resumes and self.explicit and acquire is AcquireMode.PRE_ACQUIRED:
            arguments[RESUME_IDS] = 1
            if claim:
                arguments[CLAIM] = claim
        subscribe = MessageSubscribe(
            queue=queue,
            destination=self.destination,
            accept_mode=AcceptMode.EXPLICIT if self.explicit else AcceptMode.NONE,
            acquire_mode=acquire,
            arguments=arguments or None,
        )
        self._credit, self._bytes_open, self._halting, self._flush_again = 0, False, None, False
        self.session.destinations[self.destination] = self
        commands += [
            override(subscribe, link.get("x-subscribe") or {}),
            MessageSetFlowMode(destination=self.destination, flow_mode=FlowMode.CREDIT),
        ]
        if claim:
            # The claimed messages come before the flush completes; those that did not come by then never will.
            self._credit = len(claim)
            commands += self._flow(len(claim))
            commands.append(MessageFlush(destination=self.destination))
        yield commands
        if claim:
            self._credit, self._bytes_open = 0, False
        self._give_up_claims()

    def _subscribe_topic(self, queue: str, exchange_type: str | None, *, auto_delete: bool) -> list[Command]:
        """A topic is received from through a queue of the link's own."""
        link = self.link_options
        overrides = link.get("x-declare") or {}
        declare = QueueDeclare(
            queue=queue, durable=bool(link.get("durable", False)), exclusive=True, auto_delete=auto_delete
        )
        subject = self.subject
        if subject is None and exchange_type == "topic":
            subject = "#"
        self._subscription_queue = queue if overrides.get("exclusive", True) else None
        return [
            override(declare, overrides),
            *(
                bindings(link, queue=queue, exchange=self.name, key=subject)
                or [ExchangeBind(queue=queue, exchange=self.name, binding_key=subject)]
            ),
        ]

    def _linked(self, error: Any) -> None:
        super()._linked(error)
        if self.state is LinkState.LINKED:
            self.grant()

    def _unlink(self) -> list[Command]:
        commands: list[Command] = [MessageCancel(destination=self.destination)]
        if self._subscription_queue is not None:
            commands.append(QueueDelete(queue=self._subscription_queue))
        unfetched = [delivery.transfer_id for delivery in self.incoming if delivery.transfer_id is not None]
        self.incoming.clear()
        if unfetched:
            commands.append(MessageRelease(transfers=transfer_ids(unfetched), set_redelivered=True))
        return commands

    def suspend(self) -> None:
        super().suspend()
        self._credit, self._bytes_open, self._halting, self._flush_again = 0, False, None, False
        for delivery in self.incoming:
            delivery.transfer_id = None
        if self.explicit:
            # Without an id they cannot be told from others when they come again: let them come.
            held = [delivery for delivery in self.incoming if delivery.resume_id() is not None]
            self.incoming = deque(held)
            for delivery in held:
                self.claim(delivery)

    def fail(self, error: Exception) -> None:
        super().fail(error)
        self._give_up_claims()

    def claim(self, delivery: Delivery) -> None:
        """Ask for this message when linking again: the application or this receiver holds it."""
        if self.explicit and self.state is not LinkState.CLOSED:
            resume_id = delivery.resume_id()
            if resume_id is not None:
                self._claims[resume_id] = delivery

    def is_claiming(self, delivery: Delivery) -> bool:
        """Whether it is not yet known what became of a message held."""
        resume_id = delivery.resume_id() if self._claims else None
        return resume_id is not None and self._claims.get(resume_id) is delivery

    def _give_up_claims(self) -> None:
        claims, self._claims = self._claims, {}
        if claims:
            for delivery in claims.values():
                self.session.claim_lost(delivery)
            self.incoming = deque(delivery for delivery in self.incoming if delivery.transfer_id is not None)

    def _forget(self) -> None:
        self.session.destinations.pop(self.destination, None)
        self.session.receivers.remove(self)

    # -- receiving ---------------------------------------------------------------------------------------------

    def deliver(self, id: int, transfer: MessageTransfer, header: bytes | None, body: bytes | None) -> None:
        """A message came."""
        if self._credit:
            self._credit -= 1
        session = self.session
        delivery = Delivery(self, id, session.next_arrival(), header, body)
        if self._claims:
            resume_id = delivery.resume_id()
            held = None if resume_id is None else self._claims.pop(resume_id, None)
            if held is not None:
                # It is held already: what changes is only how the broker is told about it.
                held.transfer_id = id
                if held in session.acking:
                    session.tell([held])
                return
        if self.closing and self.state is not LinkState.LINKING:
            session.wire.send(MessageRelease(transfers=transfer_ids([id]), set_redelivered=True))
            return
        self.incoming.append(delivery)
        session.arrived()

    def take(self) -> Delivery | None:
        """The next message, if one has come; from now on it is to be acknowledged."""
        if not self.has_message():
            return None
        delivery = self.incoming.popleft()
        self.session.unacked[delivery] = None
        if self.capacity.__class__ is int and self.capacity:
            self.grant()
        return delivery

    def has_message(self) -> bool:
        """Whether `take` gives one."""
        return bool(self.incoming) and self.state is LinkState.LINKED

    def available(self) -> int:
        """How many messages have come and were not fetched."""
        return len(self.incoming)

    def unsettled(self) -> int:
        """How many acknowledged messages the broker has not confirmed."""
        return sum(1 for delivery in self.session.acking if delivery.receiver is self)

    # -- credit ------------------------------------------------------------------------------------------------

    def grant(self) -> None:
        """Give the broker the credit that capacity and waiting fetches ask for, in large steps."""
        if self._halting is not None or self.state is not LinkState.LINKED or self.closing:
            return
        credit = self._credit
        if self.capacity is UNLIMITED:
            if credit is not None:
                self._send_flow(INFINITE)
                self._credit = None
        elif credit is None:
            self._halt(MessageStop(destination=self.destination))
        else:
            capacity: int = self.capacity  # type: ignore[assignment]
            ahead = credit + len(self.incoming)
            if capacity:
                missing = capacity - ahead
                if missing > 0 and ahead <= ceil(self.threshold * capacity):
                    self._send_flow(missing)
                    self._credit = credit + missing
                elif missing < 0 and credit:
                    self._halt(MessageStop(destination=self.destination))
            elif ahead < self.fetching:
                self._send_flow(self.fetching - ahead)
                self._credit = credit + self.fetching - ahead
        if self.draining and self._halting is None:
            self._halt(MessageFlush(destination=self.destination))

    def drain(self) -> None:
        """Have the broker send what it has and then say so: `draining` is False from then on."""
        self.draining = True
        self._flush_again = type(self._halting) is MessageFlush
        self.grant()

    def withdraw(self) -> None:
        """A fetch was given up: take the credit on its behalf back. What has come already is for the next one."""
        usable = self.state is LinkState.LINKED and not self.closing and self._halting is None
        if usable and self.capacity == 0 and self._credit and self._credit + len(self.incoming) > self.fetching:
            self._halt(MessageStop(destination=self.destination))

    def set_capacity(self, capacity: int | Constant) -> None:
        """Change the capacity."""
        self.capacity = capacity
        self.grant()

    def stop(self) -> Command:
        """The command that takes all credit back; for a rollback."""
        self._credit, self._bytes_open = 0, False
        return MessageStop(destination=self.destination)

    def _flow(self, count: int) -> list[Command]:
        flows: list[Command] = []
        if not self._bytes_open:
            self._bytes_open = True
            flows.append(MessageFlow(destination=self.destination, unit=CreditUnit.BYTE, value=INFINITE))
        flows.append(MessageFlow(destination=self.destination, unit=CreditUnit.MESSAGE, value=count))
        return flows

    def _send_flow(self, count: int) -> None:
        self.session.announce()
        for command in self._flow(count):
            self.session.wire.send(command)

    def _halt(self, command: Command) -> None:
        """Flush or stop: both leave no credit when they complete."""
        self._halting = command
        command.sync = True
        self.session.wire.send(command, token=_Halt(self, command))

    def halted(self, command: Command) -> None:
        """The broker completed a flush or stop of ours."""
        if command is not self._halting:
            return
        self._halting = None
        self._credit, self._bytes_open = 0, False
        if type(command) is MessageFlush:
            self.draining, self._flush_again = self._flush_again, False
            if not self.draining and not self.capacity:
                # Whoever asked goes away without a message: no credit on its behalf. Others that wait ask again.
                return
        self.grant()


class _Halt:
    """Goes with a flush or stop."""

    __slots__ = ("_command", "_receiver")

    def __init__(self, receiver: ReceiverCore, command: Command) -> None:
        self._receiver = receiver
        self._command = command

    def completed(self) -> None:
        self._receiver.halted(self._command)

    def result(self, id: int, value: Any) -> None:
        """Neither has a result."""
