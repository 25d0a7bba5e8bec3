"""The model under test: its folder on disk, local weights or a remote server, and the engine that asks them."""
