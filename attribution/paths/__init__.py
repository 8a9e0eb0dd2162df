"""Journeys and counted paths to descriptive credit."""
