"""The inputs of a run: chosen in the parent from the graph or the user's files, made in the child."""
