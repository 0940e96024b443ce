"""Many models: counted side by side in processes that are reused, each a line in a file that a scan can go on from."""
