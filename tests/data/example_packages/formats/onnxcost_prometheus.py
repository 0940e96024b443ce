"""The totals of a report as metrics for Prometheus' textfile collector."""


def write(document):
    """The text of a document of the schema onnxcost/1; raises ValueError for one without the counts of a model."""
    if "totals" not in document:
        raise ValueError("it is for reports of a model")
    model = document["model"]["name"].replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    totals = {name: document["totals"][name] for name in ("macs", "flops", "parameters", "peak_activation_bytes")}
    return "".join(f'onnxcost_{name}{{model="{model}"}} {value}\n' for name, value in totals.items() if value is not None)
