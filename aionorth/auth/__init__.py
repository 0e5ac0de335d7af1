"""The app's access token: obtained once, renewed in time, shared through a store."""
