"""Procedural parts as a structured-light camera sees them, in the MVTec 3D-AD layout.

`camera` renders any height grid, `parts` makes normal parts, `defects` damages them, `synthesis` writes them.
"""
