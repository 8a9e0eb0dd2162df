"""What designs are estimated from: units, and the histories of customers, cases and series."""
