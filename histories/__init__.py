"""Raw tables to checked tables to per-customer histories."""
