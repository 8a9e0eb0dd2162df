"""Incremental credit: retention, spend and lifetime value above what would have happened anyway."""
