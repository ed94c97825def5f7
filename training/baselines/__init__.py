"""Networks without a memory that the models are compared with."""
