"""A client for AMQP 0-10 brokers with the API of qpid.messaging."""
