"""Where an app's state is kept for all of its callers. A store knows no rule of flow control."""
