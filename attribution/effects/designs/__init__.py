"""One module for each kind of `[[effects]]` entry, and what several of them share."""
