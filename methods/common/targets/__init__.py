"""What is to be said in place of the answer: refusals, where they come from, and texts to train on."""
