"""Units, identity of work, the store, chunks, workers and where they run. Knows nothing of what is studied."""
