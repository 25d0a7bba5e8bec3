"""Organisers' commands."""
