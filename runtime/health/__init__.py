"""Slow change of sensor, table and parts: what is measured of every inspection, and when it raises an alarm."""
