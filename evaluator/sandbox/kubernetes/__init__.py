"""The backend whose containers are pods of a cluster."""
