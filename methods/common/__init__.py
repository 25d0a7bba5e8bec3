"""What the reference entries share: contract files, model, chat form, losses, edits, the server."""
