"""The parts of a run, one module each: histories, value, credit, evidence."""
