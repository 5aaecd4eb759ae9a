"""AMQP 0-10's table: a module for each class of the specification, a class for each control, command, struct and enum."""
