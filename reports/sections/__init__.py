"""The sections of the report, one module each; every one opens with its finding in words."""
