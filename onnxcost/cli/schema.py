"""``onnxcost schema``: the JSON Schema of the documents."""

from __future__ import annotations

import click

from onnxcost.cli.output import print_on
from onnxcost.schema import DOCUMENTS, FILES, json_schema

HELP = f"""Print the JSON Schema of all JSON documents that onnxcost writes, or of one DOCUMENT.

Documents: {", ".join(DOCUMENTS)}.

TOML files: {", ".join(FILES)}.

\b
Examples:
  onnxcost schema
  onnxcost schema report > report.schema.json
"""


@click.command(help=HELP)
@click.argument("document", required=False, default="", metavar="[DOCUMENT]")
def schema(document: str) -> None:
    """Parse, call, render."""
    import json

    text = json.dumps(json_schema(document), indent=1)
    print_on(lambda stream: stream.write(f"{text}\n"))
