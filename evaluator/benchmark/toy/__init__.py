"""The toy world: invented lands and a tiny Llama that really knows them, for tests and quick looks."""
