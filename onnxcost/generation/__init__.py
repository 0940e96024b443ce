"""Language models: prefill, decode, caches, tokens per second."""
