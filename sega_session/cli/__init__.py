"""The `sega-session` command: `main.main` runs it, and each group of commands has a file."""
