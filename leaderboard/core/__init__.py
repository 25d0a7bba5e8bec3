"""What every app uses: ids, problems, logs, health."""
