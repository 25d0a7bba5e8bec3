"""What is asked of runs that have ended: rank them, compare two, explain one. Nothing here runs a method or a model."""
