"""Tables in: files to judged, typed rows."""
