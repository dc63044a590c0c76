"""Run the `sega-session` command: ``python -m sega_session``."""

from .cli.main import main

if __name__ == "__main__":
    main()
