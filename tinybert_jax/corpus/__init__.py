"""Raw text, packed into sequences of tokens on disk."""
