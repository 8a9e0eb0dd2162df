"""What speaks against an incremental credit: gates, placebos, holdout, lapse windows."""
