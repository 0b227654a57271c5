"""The server: HTTP in front, a store in the middle, a worker that owns the engine behind."""
