"""AMQP 0-10's table: a module for each of its classes; in it a class for each control, command, struct and enum."""
