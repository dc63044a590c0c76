"""Messages in the words of commands.

The package's messages end with what to do next, in Python. Who reads a command's message cannot
call functions: a sentence that names some is replaced, or else left out.
"""

from __future__ import annotations

import re

WORDS = {
    r"Change that concept with update\(.*\), or pass another name=\.": (
        "Change that concept, or choose another name."
    ),
    r"Add a concept with add\(prompt\)\.": "Add a concept first.",
    r"To push the image away from a concept, use inverted=True or invert\(name\)\.": (
        "To push the image away from a concept, set its field inverted to true."
    ),
    r"Pass a picture in black and white, an array, a path, a box, or a polygon\.": (
        "Choose a picture in black and white."
    ),
    r'Pass edits="none", or edits="state" after update\(name, mask=None\) and protect\(None\)\.': (
        "Keep what the masks were made for, or remove the masks first."
    ),
    r", or anchored\(every=\.\.\.\)": "",
    r"anchored\(every=, tolerance=\)": "the pair of every and tolerance",
    r"print\(session\.history\) shows them\.": "sega-session info shows them.",
    r"A photograph begins a session with EditSession\.from_photo\.": (
        "A photograph is given to sega-session edit as --photo."
    ),
    r"Begin another session with EditSession\.from_photo\(session\.photographs, \.\.\.\)\.": (
        "Begin again with the photograph, as --photo."
    ),
    r"EditSession\.load reads session files\.": "A session's file is given without --photo.",
    r"allow more: Limits\(\w+=\.\.\.\), (--[\w-]+) of the command\.": r"allow more with \1.",
    r", or pass config=, the folder .* are taken from there\.": ".",
    r", and then it with pipeline\.load_\w+\(\)\.": ".",
    r", or mute the concept with disable\(\)\.": ".",
    r"Lower height and width, use fewer seeds or cache_bytes, or load .* help too\.": (
        "Choose a smaller size, fewer seeds, or --dtype float16."
    ),
    r"Call it again\.": "Run it again.",
    r", the pipeline is ": ", this one is ",
    r"allowed: a DiffusionModel, or one of": "allowed: one of",
    r"has no step\(\) or no order, which": "lacks what",
    r"Pass config=, a folder with the checkpoint's .* configs, or go online once:": (
        "Go online once:"
    ),
}
"""What readers of a command are told instead of what a pattern finds in a message."""

_WORDS = tuple((re.compile(pattern), words) for pattern, words in WORDS.items())

QUOTED = re.compile(r"""(?<!\w)('[^']*'|"[^"]*")""")
"""A value in a message. It may be a user's text, which is not read as sentences."""

PYTHON = re.compile(r"\w\(|\b[a-z_]+=(?![0-9])|\b[A-Z]\w*\.[a-z_]|\bEditSession\b")
"""What a sentence in Python has: a call, an argument, an attribute."""

_SENTENCE = re.compile(r".*?[.?!](?:\s+|$)|.+$", re.DOTALL)


def in_words(message: str) -> str:
    """Return a message of the package in the words of commands; the first sentence always stays."""
    for pattern, words in _WORDS:
        message = pattern.sub(words, message)
    hidden = QUOTED.sub(lambda quoted: "_" * len(quoted[0]), message)
    sentences = enumerate(_SENTENCE.finditer(hidden))
    kept = (one for number, one in sentences if not number or PYTHON.search(one[0]) is None)
    return "".join(message[one.start() : one.end()] for one in kept).rstrip()
