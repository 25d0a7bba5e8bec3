"""Runs: the state machine, leases, the worker and the reaper."""
