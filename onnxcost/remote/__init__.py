"""Models at URLs: read in ranges, listed, and downloaded into a cache folder."""
