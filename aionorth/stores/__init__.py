"""Where an app's flow control and token are kept so that processes and hosts can share them."""
