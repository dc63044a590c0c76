"""`python -m sega_session.cli`."""

from .main import main

main()
