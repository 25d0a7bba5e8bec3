"""People: the user model and what belongs to a person."""
