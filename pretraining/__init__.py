"""How the embedded point extractor was trained: `python -m cmdiad.pretraining` (training/embedded/PROVENANCE.md).

`shapes` draws random parts, `scans` shows them to random cameras, `surface_targets` says what a token should know,
`points` trains on it. `damage` damages parts, `episodes` shows families of them, `contrast` trains on what stands out
there.
"""
