"""Speed, as ratios of alternatives that run in turns, and what it depends on."""
