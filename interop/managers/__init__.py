"""Resource managers of other makes in charge of our brokers, on hosts that are network namespaces."""
