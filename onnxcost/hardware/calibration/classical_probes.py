"""Probes of classical models: ensembles of trees, support vector machines, linear models, and what prepares their features."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from onnxcost.frontend.probe_models import Probe

FEATURES = 32


def classical_models() -> Iterator[Probe]:
    """All of them."""
    for rows, count, depth in ((1, 100, 5), (64, 100, 5), (512, 50, 5), (512, 100, 7), (128, 50, 9), (128, 60, 11)):
        yield _tree_ensemble(rows, count, depth)
    for rows, count, depth, classes in ((64, 100, 5, 3), (256, 50, 6, 6)):
        yield _tree_ensemble(rows, count, depth, classes)
    for kind, rows, vectors, classes, is_probability in (
        *(("RBF", 64, 96, 2, True), ("RBF", 128, 768, 3, False), ("RBF", 1, 1024, 4, False), ("RBF", 16, 256, 2, False)),
        *(
            ("LINEAR", 64, 96, 2, True),
            ("LINEAR", 128, 768, 3, False),
            ("SIGMOID", 16, 1024, 4, True),
            ("LINEAR", 1, 512, 4, False),
        ),
    ):
        yield _support_vectors("svm-rbf" if kind == "RBF" else "svm", kind, rows, vectors, classes, is_probability)
    for rows, classes, transform in ((1, 2, "NONE"), (64, 20, "SOFTMAX"), (512, 3, "NONE"), (2048, 4, "NONE")):
        text = f"classlabels_ints = {_list(range(classes))}, coefficients = {_weights(classes * FEATURES)}"
        text += f', intercepts = {_weights(classes)}, post_transform = "{transform}"'
        yield _of_rows("linear-model", rows, f"LinearClassifier<{text}>", "int64 labels, float")
    for rows in (64, 2048):
        yield _of_rows("scaler", rows, f"Scaler<offset = {_weights(FEATURES)}, scale = {_weights(FEATURES)}>")
        yield _of_rows("imputer", rows, f"Imputer<imputed_value_floats = {_weights(FEATURES)}>")
        yield _of_rows("one-hot", rows // 2, f"OneHotEncoder<cats_int64s = {_list(range(20))}, zeros = 1>")
        yield _of_rows("zipmap", rows // 64, f"ZipMap<classlabels_int64s = {_list(range(FEATURES))}>", "seq(map(int64, float))")


def _of_rows(family: str, rows: int, call: str, made: str = "float") -> Probe:
    """One node on rows of features."""
    names = "labels, y" if "," in made.partition("(")[0] else "y"
    return Probe(family, f"(float[{rows},{FEATURES}] x) => ({made} y) {{ {names} = ai.onnx.ml.{call}(x) }}")


def _list(numbers: Iterable[object]) -> str:
    return f"[{', '.join(map(str, numbers))}]"


def _weights(count: int) -> str:
    """As many numbers that are neither large nor equal."""
    return _list(((7 * index) % 13 - 6) / 10 for index in range(count))


def _tree_ensemble(rows: int, count: int, depth: int, classes: int = 0) -> Probe:
    """Complete trees, in which random rows take another way each; with ``classes`` their leaves vote for each of them."""
    inner, nodes = 2**depth - 1, range(2 ** (depth + 1) - 1)
    places = [(tree, node) for tree in range(count) for node in nodes]
    votes = [(tree, node, of) for tree, node in places if node >= inner for of in range(classes or 1)]

    def of_nodes(number: Callable[[int, int], object]) -> str:
        return _list(number(tree, node) for tree, node in places)

    kind = "class" if classes else "target"
    attributes = {
        "nodes_treeids": of_nodes(lambda tree, node: tree),
        "nodes_nodeids": of_nodes(lambda tree, node: node),
        "nodes_featureids": of_nodes(lambda tree, node: (7 * tree + 3 * node) % FEATURES),
        "nodes_values": of_nodes(lambda tree, node: ((31 * tree + 17 * node) % 13 - 6) / 2.5),
        "nodes_truenodeids": of_nodes(lambda tree, node: 2 * node + 1 if node < inner else 0),
        "nodes_falsenodeids": of_nodes(lambda tree, node: 2 * node + 2 if node < inner else 0),
        "nodes_modes": of_nodes(lambda tree, node: '"BRANCH_LEQ"' if node < inner else '"LEAF"'),
        f"{kind}_treeids": _list(tree for tree, _, _ in votes),
        f"{kind}_nodeids": _list(node for _, node, _ in votes),
        f"{kind}_ids": _list(of for _, _, of in votes),
        f"{kind}_weights": _list([0.5] * len(votes)),
        **({"classlabels_int64s": _list(range(classes))} if classes else {"n_targets": "1"}),
    }
    text = ", ".join(f"{name} = {numbers}" for name, numbers in attributes.items())
    if classes:
        return _of_rows("trees", rows, f"TreeEnsembleClassifier<{text}>", "int64 labels, float")
    return _of_rows("trees", rows, f"TreeEnsembleRegressor<{text}>")


def _support_vectors(family: str, kind: str, rows: int, vectors: int, classes: int, is_probability: bool) -> Probe:
    pairs = classes * (classes - 1) // 2
    attributes = {
        "classlabels_ints": _list(range(classes)),
        "vectors_per_class": _list([vectors // classes] * classes),
        "coefficients": _weights((classes - 1) * vectors),
        "support_vectors": _weights(vectors * FEATURES),
        "kernel_params": "[0.1, 0.1, 3.0]",
        "rho": _weights(pairs),
        **({"prob_a": _weights(pairs), "prob_b": _weights(pairs)} if is_probability else {}),
    }
    text = ", ".join(f"{name} = {numbers}" for name, numbers in attributes.items())
    return _of_rows(family, rows, f'SVMClassifier<kernel_type = "{kind}", {text}>', "int64 labels, float")
