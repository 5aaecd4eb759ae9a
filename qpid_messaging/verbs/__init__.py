"""What the blocking and the async shell have in common: the state that endpoints show, and what their verbs do.

A verb is a generator. It touches the core, and yields what it waits for: a predicate over the core, and for how many
seconds. It is resumed with whether that came true. The blocking shell waits on a condition, the async one awaits an
event; there is one place that says what `fetch` is.

While a verb waits it may be given up (a task is cancelled, Ctrl-C): that comes as an exception which is no `Exception`,
and the verb leaves the endpoint so that the next one finds it in order.
"""
