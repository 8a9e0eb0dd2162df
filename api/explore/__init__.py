"""The explorer: pages and fragments drawn by the server with the report's own functions."""
