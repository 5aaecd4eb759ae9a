"""AMQP 0-10 without I/O: types, the command table, codec, framing, the session machine, SASL."""
