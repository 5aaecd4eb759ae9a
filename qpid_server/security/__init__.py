"""Who may come in: users and their secrets, SASL, TLS."""
