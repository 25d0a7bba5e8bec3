"""The base model: loading it, its chat form, reading its states and keys, changing its weights."""
