"""scimage beside its peers: ``make bench``."""
