"""What a Triton Inference Server's Python backend runs for a bundle; nothing here imports Triton."""
