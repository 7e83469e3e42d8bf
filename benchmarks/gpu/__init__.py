"""What `gpu_line.py` is made of: the full-size line on a GPU, its answers and its times."""
