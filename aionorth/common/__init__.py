"""What every wing uses: foreign text made safe to show, files that can be trusted, spans of time, growing waits."""
