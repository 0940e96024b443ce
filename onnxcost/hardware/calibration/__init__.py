"""The measured rates of a machine, and predictions from them."""
