"""A Triton model repository of calibrated bundles: `cmdiad export --triton`."""
