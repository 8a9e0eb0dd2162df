"""Customer value: purchase summaries, purchase and spend models, value, validation."""
