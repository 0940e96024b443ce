"""This machine's own rates, measured once, and predictions from them."""
