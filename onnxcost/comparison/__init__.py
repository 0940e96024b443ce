"""Several models compared: their metrics, their differences, and limits on growth. Reports are fresh or saved."""
