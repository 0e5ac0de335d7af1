"""What every wing uses: text of others made fit to be shown, files that can be trusted, growing waits."""
