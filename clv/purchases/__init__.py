"""Purchase models, one module each."""
