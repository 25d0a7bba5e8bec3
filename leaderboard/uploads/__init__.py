"""Image archives that people upload: received in pieces, checked, and kept while a submission names them."""
