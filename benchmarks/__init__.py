"""Evidence from a checkout, not in the wheel: `gates` of `make bench`, `studies` made once, and what both share."""
