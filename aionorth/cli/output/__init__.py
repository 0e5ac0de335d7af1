"""What a command writes: messages and results, the display of a run, its summary, its exit code."""
