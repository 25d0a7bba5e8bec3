"""Registered methods and their submissions."""
