"""One context object, rendered as HTML, PDF and JSON."""
