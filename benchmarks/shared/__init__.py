"""What benchmarks have in common: how they time and print, the full-size line, the paper's pipeline, scans."""
