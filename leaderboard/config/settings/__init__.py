"""Settings: `embedded` (the default: one machine, no services), `production` (by environment), `test`."""
