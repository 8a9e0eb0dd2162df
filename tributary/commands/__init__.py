"""Commands, one small module per group."""
