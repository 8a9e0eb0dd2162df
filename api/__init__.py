"""The scoring service over a bundle."""
