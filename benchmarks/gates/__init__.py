"""What `make bench` runs (`run_all.py`): each measure has a bar that it must reach."""
