"""Other machines over SSH: the boards that models are measured on."""
