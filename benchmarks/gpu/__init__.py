"""What `benchmarks/gpu_line.py` builds, checks and times."""
