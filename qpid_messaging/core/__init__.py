"""The client without I/O, threads or a clock: what connections, sessions and links want, made true on the wire.

Everything here holds *desired state* ("this session shall be attached, this receiver linked with this capacity, this
message sent") and `reconcile`s it with what the wire knows. The first link and the one after a fail-over are the same
code. A shell (blocking or async) moves bytes, tells the time, and waits for predicates over these objects.
"""
