"""Our broker and client beside peers that nobody here wrote. `make interop` runs it."""
