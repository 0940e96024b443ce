"""From a report to a terminal, JSON, CSV or Markdown: one file a format, and the only place with prefixes of units."""
