"""How each service figure is computed."""
