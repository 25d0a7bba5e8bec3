"""The reference entries: every method is an ordinary submission in the ordinary container contract."""
