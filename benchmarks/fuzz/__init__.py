"""Hostile input: what reads from outside, fed with damaged files and requests."""
