"""The front door: command line and HTTP client."""
