"""Many models: counted in parallel by a worker pool, with a checkpoint from which an interrupted scan can resume."""
