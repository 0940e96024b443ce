"""What operators ask of the elements of their inputs, so that a model can be fed with values that fit."""
