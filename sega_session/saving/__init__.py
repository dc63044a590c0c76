"""Save sessions: their files, the journals of autosave, and the text in PNG files."""
