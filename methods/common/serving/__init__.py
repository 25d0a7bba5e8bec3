"""Answering questions as a server: the protocol, whose question it is, and who answers."""
