"""Submissions: one use case a file. Taking one in, inspecting it, withdrawing it; their rows are in `methods`."""
