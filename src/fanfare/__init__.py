"""Epic music from a prompt, on your own machine."""
