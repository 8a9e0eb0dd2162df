"""Webhooks: events kept until each receiver has taken them, signed, in order, and never lost."""
