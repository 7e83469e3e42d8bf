"""How the embedded extractors were trained: `python -m cmdiad.pretraining` (training/embedded/PROVENANCE.md).

`shapes` draws random parts, `scans` shows them to random cameras, `surface_targets` and `image_targets` say what a
token should know, `points` and `images` train on it. `damage` damages parts, `episodes` shows families of them,
`contrast` and `image_contrast` train on what stands out there.
"""
