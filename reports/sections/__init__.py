"""The sections of the report, one module each; every one answers a question with a finding."""
