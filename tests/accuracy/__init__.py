"""How well scimage finds what is known to be there: real data and phantoms, in one table."""
