from __future__ import annotations

import numpy as np
import pytest
from onnx import numpy_helper

from onnxcost.frontend.probe_models import probe_model

GRAPH = "(float[4,8] x) => (float y) { y = Neg(x) }"


def stored(dtype: str, *shape: int, name: str = "w") -> np.ndarray:
    (tensor,) = probe_model(GRAPH, {name: (dtype, shape)}).graph.initializer
    return numpy_helper.to_array(tensor)


@pytest.mark.parametrize(("dtype", "number"), [("uint8", 128), ("int8", 0), ("float32", 0.05)])
def test_zero_points_and_scales_are_what_quantizers_choose(dtype: str, number: float) -> None:
    found = stored(dtype)
    assert (found.dtype, found.shape) == (dtype, ())
    assert found == pytest.approx(number)


def test_weights_of_integers_are_small_and_differ() -> None:
    found = stored("int8", 64, 64)
    assert found.dtype == np.int8
    assert (found.min(), found.max()) == (-8, 7)


@pytest.mark.parametrize(("shape", "terms"), [((256, 64), 256), ((64, 32, 3, 3), 288), ((8192, 16), 8192)])
def test_products_keep_the_variance(shape: tuple[int, ...], terms: int) -> None:
    """Also where fewer numbers are drawn than there are weights."""
    assert stored("float32", *shape).std() * np.sqrt(terms) == pytest.approx(1, rel=0.02)


def test_the_weights_are_the_same_each_time() -> None:
    assert (stored("float32", 8, 8) == stored("float32", 8, 8)).all()
    assert not (stored("float32", 8, 8) == stored("float32", 8, 8, name="v")).any()


def test_integers_are_constants_of_one_dim() -> None:
    (tensor,) = probe_model(GRAPH, {}, {"shape": (2, 16)}).graph.initializer
    assert numpy_helper.to_array(tensor).dtype == np.int64
    assert numpy_helper.to_array(tensor).tolist() == [2, 16]
