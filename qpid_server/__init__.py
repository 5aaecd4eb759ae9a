"""An AMQP 0-10 message broker with a hot-standby cluster."""
