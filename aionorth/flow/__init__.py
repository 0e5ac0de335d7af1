"""Flow control: no more calls than the platform allows, however it counts."""
