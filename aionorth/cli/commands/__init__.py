"""What each command does: its options, its work, its exit code."""
