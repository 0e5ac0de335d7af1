"""An app's session with the platform: `NorthSession`, and what the sessions of one app share."""
