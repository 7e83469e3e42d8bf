"""Grouping on a GPU: kernels in CUDA C, and what queues them on a device."""
