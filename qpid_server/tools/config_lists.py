"""What qpid-config prints of a broker's exchanges, queues and other objects."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from qpid_messaging.management import Binding, BrokerAgent, Exchange, Queue
from qpid_messaging.management.display import Display, Header

__all__ = [
    "list_exchanges",
    "list_objects",
    "list_queues",
    "show_exchange_bindings",
    "show_overview",
    "show_queue_bindings",
]

#: The properties of objects of a class that are shown where the user names none.
_SHOWN = {"exchange": ("name", "type", "durable"), "queue": ("name", "durable", "autoDelete")}
_SHOWN_OTHERWISE = 6

#: Arguments that an option of their own stands for, by that option; others are shown as --argument.
_QUEUE_OPTIONS = {
    "--file-size": "qpid.file_size",
    "--file-count": "qpid.file_count",
    "--efp-partition-num": "qpid.efp_partition_num",
    "--efp-pool-file-size": "qpid.efp_pool_file_size",
    "--max-queue-size": "qpid.max_size",
    "--max-queue-count": "qpid.max_count",
    "--limit-policy": "qpid.policy_type",
    "--lvq-key": "qpid.last_value_queue_key",
}
_FLOW_OPTIONS = {
    "--flow-stop-size": "qpid.flow_stop_size",
    "--flow-resume-size": "qpid.flow_resume_size",
    "--flow-stop-count": "qpid.flow_stop_count",
    "--flow-resume-count": "qpid.flow_resume_count",
    "--group-header": "qpid.group_header_key",
}
REPLICATE = "qpid.replicate"
SHARED_GROUPS = "qpid.shared_msg_group"
SEQUENCE = "qpid.msg_sequence"
INITIAL_VALUE = "qpid.ive"
_WITH_OPTIONS = {
    *_QUEUE_OPTIONS.values(),
    *_FLOW_OPTIONS.values(),
    REPLICATE,
    SHARED_GROUPS,
    SEQUENCE,
    INITIAL_VALUE,
}


def show_overview(agent: BrokerAgent) -> None:
    """How many exchanges of which type and how many queues there are."""
    exchanges, queues = agent.getAllExchanges(), agent.getAllQueues()
    print(f"Total Exchanges: {len(exchanges)}")
    for kind, count in Counter(exchange.type for exchange in exchanges).items():
        print(f"{kind:>15}: {count}")
    durable = sum(bool(queue.durable) for queue in queues)
    print(f"\n   Total Queues: {len(queues)}\n        durable: {durable}\n    non-durable: {len(queues) - durable}")


# -- lists of attributes


def list_exchanges(agent: BrokerAgent, named: str, *, ignore_default: bool) -> bool:
    """Print exchanges with their attributes.

    Args:
        agent: the broker's.
        named: only those with that in their names.
        ignore_default: leave the default exchange out.

    Returns:
        Whether there are any.
    """
    found = [exchange for exchange in agent.getAllExchanges() if named in exchange.name]
    return _list(
        "Exchange Name",
        found,
        _exchange_attributes,
        head="Type      ",
        prefix=lambda exchange: f"{exchange.type:<10}",
        leave_out=lambda exchange: ignore_default and not exchange.name,
    )


def list_queues(agent: BrokerAgent, named: str) -> bool:
    """Print queues with their attributes; arguments and result as those of `list_exchanges`."""
    return _list("Queue Name", [queue for queue in agent.getAllQueues() if named in queue.name], _queue_attributes)


def _list(
    caption: str,
    found: Sequence[Any],
    attributes: Callable[[Any], Iterable[str]],
    *,
    head: str = "",
    prefix: Callable[[Any], str] = lambda item: "",
    leave_out: Callable[[Any], bool] = lambda item: False,
) -> bool:
    if not found:
        return False
    width = max(len(caption), *(len(item.name) for item in found))
    print(f"{head}{caption:<{width}}  Attributes")
    print("=====" * ((width + len(head)) // 5 + 5))
    for item in found:
        if not leave_out(item):
            print(f"{prefix(item)}{item.name:<{width}} ", *attributes(item))
    return True


def _given(options: Mapping[str, str], arguments: Mapping[str, Any]) -> Iterable[str]:
    return (f"{option}={arguments[name]}" for option, name in options.items() if name in arguments)


def _exchange_attributes(exchange: Exchange) -> Iterable[str]:
    arguments = exchange.arguments or {}
    if exchange.durable:
        yield "--durable"
    yield from _given({"--replicate": REPLICATE}, arguments)
    if arguments.get(SEQUENCE):
        yield "--sequence"
    if arguments.get(INITIAL_VALUE):
        yield "--ive"
    if exchange.altExchange:
        yield f"--alternate-exchange={exchange.altExchange}"


def _queue_attributes(queue: Queue) -> Iterable[str]:
    arguments = dict(queue.arguments or {})
    if queue.durable:
        yield "--durable"
    yield from _given({"--replicate": REPLICATE}, arguments)
    if queue.autoDelete:
        yield "auto-del"
    if queue.exclusive:
        yield "excl"
    if "qpid.policy_type" in arguments:
        arguments["qpid.policy_type"] = str(arguments["qpid.policy_type"]).replace("_", "-")
    yield from _given(_QUEUE_OPTIONS, arguments)
    if queue.altExchange:
        yield f"--alternate-exchange={queue.altExchange}"
    yield from _given(_FLOW_OPTIONS, arguments)
    if arguments.get(SHARED_GROUPS) == 1:
        yield "--shared-groups"
    yield " ".join(f"--argument {name}={value}" for name, value in arguments.items() if name not in _WITH_OPTIONS)


# -- bindings


def show_exchange_bindings(agent: BrokerAgent, named: str, *, ignore_default: bool) -> None:
    """Print exchanges with the queues that are bound to them; arguments as those of `list_exchanges`."""
    exchanges, bindings = agent.getAllExchanges(), _by("exchangeRef", agent.getAllBindings())
    queues = {queue.name for queue in agent.getAllQueues()}
    for exchange in exchanges:
        if named in exchange.name and not (ignore_default and not exchange.name):
            print(f"Exchange '{exchange.name}' ({exchange.type})")
            for binding in bindings[exchange.name]:
                _show_binding(binding, binding.queueRef if binding.queueRef in queues else "<unknown>")


def show_queue_bindings(agent: BrokerAgent, named: str, *, ignore_default: bool) -> None:
    """Print queues with the exchanges that they are bound to; arguments as those of `list_exchanges`."""
    exchanges = {exchange.name for exchange in agent.getAllExchanges()}
    bindings = _by("queueRef", agent.getAllBindings())
    for queue in agent.getAllQueues():
        if named in queue.name:
            print(f"Queue '{queue.name}'")
            for binding in bindings[queue.name]:
                exchange = binding.exchangeRef if binding.exchangeRef in exchanges else "<unknown>"
                if not (ignore_default and not exchange):
                    _show_binding(binding, exchange or "''")


def _by(end: str, bindings: Iterable[Binding]) -> dict[str, list[Binding]]:
    """Bindings by what is at one of their ends, in the order in which they came."""
    found: defaultdict[str, list[Binding]] = defaultdict(list)
    for binding in bindings:
        found[getattr(binding, end)].append(binding)
    return found


def _show_binding(binding: Binding, other_end: str) -> None:
    line = f"    bind [{binding.bindingKey}] => {other_end}"
    print(f"{line} {binding.arguments}" if binding.arguments else line)


# -- objects of any class


def list_objects(agent: BrokerAgent, class_name: str, wanted: Sequence[str]) -> None:
    """Print objects as a table.

    Args:
        agent: the broker's.
        class_name: their class.
        wanted: the properties to show; some where empty.
    """
    objects = agent.list(class_name)
    known = list(dict.fromkeys(name for values in objects for name in values))
    known.sort(key=lambda name: name != "name")
    shown: Sequence[str] = _SHOWN.get(class_name, known[:_SHOWN_OTHERWISE])
    if wanted:
        for name in wanted:
            if name not in known:
                print(f"Warning: No such property '{name}' for type '{class_name}'")
        shown = [name for name in wanted if name in known]
    rows = [[_without_class(values.get(name, "n/a")) for name in shown] for values in objects]
    Display(prefix="  ").formattedTable(f"Objects of type '{class_name}'", [Header(name) for name in shown], rows)


def _without_class(value: Any) -> Any:
    """A value as a cell: of a reference what stands behind package and class."""
    if isinstance(value, dict) and "_object_name" in value:
        return value["_object_name"].split(":", 2)[-1]
    return value
