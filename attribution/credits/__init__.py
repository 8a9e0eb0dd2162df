"""Credit by channel as one table whose rows add up."""
