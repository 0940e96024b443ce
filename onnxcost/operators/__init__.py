"""Properties of operators by their specification: roles of inputs, traffic, traits."""
