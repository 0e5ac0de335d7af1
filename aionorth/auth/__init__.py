"""The app's access token: obtained once, renewed in time, cached in a store."""
