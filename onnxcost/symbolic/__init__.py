"""How cost grows: exact polynomials in the free dims, with the domain in which they hold."""
