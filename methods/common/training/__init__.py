"""Fine-tuning: the loop, its losses, and training that depends on no request."""
