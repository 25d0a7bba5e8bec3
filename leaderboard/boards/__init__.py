"""Boards: immutable snapshots of a ranking, and everything that is read from them."""
