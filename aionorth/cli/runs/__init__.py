"""What the commands that delete have in common: the question before a run, the run itself, the journals after it."""
