"""How cost scales: exact polynomials in the open dims, with the domain in which they hold; sweeps over sizes."""
