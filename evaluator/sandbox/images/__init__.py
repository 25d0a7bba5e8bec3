"""Images: what one must be, where those of strangers lie, and the reference image that is built here."""
