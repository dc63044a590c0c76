"""sega."""
