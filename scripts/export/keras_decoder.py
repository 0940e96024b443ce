"""A small decoder in Keras with its cache as inputs and outputs, exported with tf2onnx for the archive of decoders.py.

    python -m scripts.export.keras_decoder OUTPUT/tf_decoder

Set-up as for from_tensorflow.py.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

from scripts.export.model_store import check

WORDS, WIDTH, HEADS, SIZE, LAYERS, INNER, POSITIONS = 320, 96, 6, 16, 3, 160, 512


class Block(keras.layers.Layer):
    """Attention over the cache, and two dense layers."""

    def __init__(self) -> None:
        super().__init__()
        self.before, self.between = keras.layers.LayerNormalization(), keras.layers.LayerNormalization()
        self.query, self.key, self.value, self.out = (keras.layers.Dense(WIDTH) for _ in range(4))
        self.up, self.down = keras.layers.Dense(INNER, activation="silu"), keras.layers.Dense(WIDTH)

    def call(self, x: Any, key: Any, value: Any, size: Any) -> tuple[Any, Any, Any]:
        """``size`` is batch × new tokens: tf2onnx confuses the shapes of the outputs of a dense layer."""
        batch, new = size[0], size[1]

        def by_head(made: Any) -> Any:
            return tf.transpose(tf.reshape(made, (batch, new, HEADS, SIZE)), (0, 2, 1, 3))

        h = self.before(x)
        query = by_head(self.query(h))
        key, value = tf.concat([key, by_head(self.key(h))], 2), tf.concat([value, by_head(self.value(h))], 2)
        total = tf.shape(key)[2]
        is_later = tf.range(total)[None, :] > tf.range(total - new, total)[:, None]
        scores = tf.where(is_later, -1e9, tf.matmul(query, key, transpose_b=True) / SIZE**0.5)
        mixed = tf.transpose(tf.matmul(tf.nn.softmax(scores), value), (0, 2, 1, 3))
        x = x + self.out(tf.reshape(mixed, (batch, new, WIDTH)))
        return x + self.down(self.up(self.between(x))), key, value


class Decoder(keras.Model):
    """Maps tokens and the keys and values of each layer to logits and the extended keys and values."""

    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = keras.layers.Embedding(WORDS, WIDTH), keras.layers.Embedding(POSITIONS, WIDTH)
        self.blocks = [Block() for _ in range(LAYERS)]
        self.norm, self.head = keras.layers.LayerNormalization(), keras.layers.Dense(WORDS, use_bias=False)

    def call(self, tokens: Any, past: list[Any]) -> tuple[Any, list[Any]]:
        start, size = tf.shape(past[0])[2], tf.shape(tokens)
        x = self.words(tokens) + self.places(tf.range(start, start + size[1]))[None]
        made = []
        for index, block in enumerate(self.blocks):
            x, key, value = block(x, past[2 * index], past[2 * index + 1], size)
            made += [key, value]
        return self.head(self.norm(x)), made


def main(folder: Path) -> None:
    """Export it, and compare with onnxruntime."""
    keras.utils.set_random_seed(0)
    model, rng = Decoder(), np.random.default_rng(0)
    names = [f"past_{layer}_{part}" for layer in range(LAYERS) for part in ("key", "value")]
    past = {name: rng.standard_normal((2, HEADS, 5, SIZE), np.float32) for name in names}
    tokens = rng.integers(WORDS, size=(2, 3)).astype(np.int32)
    model(tokens, list(past.values()))
    caches = [tf.TensorSpec((None, HEADS, None, SIZE), tf.float32, name=name) for name in names]
    signature = [tf.TensorSpec((None, None), tf.int32, name="input_ids"), *caches]

    @tf.function(input_signature=signature)  # type: ignore[untyped-decorator]
    def step(tokens: Any, *past: Any) -> dict[str, Any]:
        logits, made = model(tokens, list(past))
        return {"logits": logits, **{name.replace("past", "present"): each for name, each in zip(names, made, strict=True)}}

    path = folder / "model.onnx"
    folder.mkdir(parents=True, exist_ok=True)
    tf2onnx.convert.from_function(step, input_signature=signature, opset=17, output_path=str(path))
    expected = step(tokens, *past.values())
    order = ["logits", *(name.replace("past", "present") for name in names)]
    check(path, {"input_ids": tokens, **past}, [expected[name].numpy() for name in order], tolerance=1e-3)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
