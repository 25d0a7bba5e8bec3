"""Writing values under keys: which edits there are, what is left alone, and how the weights change."""
