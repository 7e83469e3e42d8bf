"""Evidence that was gathered once, for the documentation: nothing runs these by itself."""
