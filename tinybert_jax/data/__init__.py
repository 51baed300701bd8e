"""Tables, token rows and batches."""
