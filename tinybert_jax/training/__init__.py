"""The update, its compiled forms, and the loop that runs it."""
