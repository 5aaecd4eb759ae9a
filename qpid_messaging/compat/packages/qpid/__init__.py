"""The package of the original client, as far as its high-level API needs it. See `qpid_messaging.compat`."""
