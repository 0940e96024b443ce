"""Models beside each other: their metrics, where they differ, what may grow. Pure queries on saved or fresh reports."""
