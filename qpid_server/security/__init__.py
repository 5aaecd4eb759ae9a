"""Who may come in: users and their secrets."""
