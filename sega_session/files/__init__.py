"""Read and write bytes on disk: atomic replacement, journals, bounded reads, JSON, safetensors.

This package knows nothing of SEGA and does not import torch. Everything that other packages use is
re-exported here; its modules are private.
"""

from .atomic import append_line, locked, make_folder, replace_file
from .errors import file_errors
from .reading import open_regular, read_regular
from .safetensors_reader import MAX_TENSORS, TensorFile, TensorInfo, open_tensors
from .safetensors_writer import TensorRows, write_tensors
from .strict_json import (
    TAG,
    UNION,
    Migration,
    StrictError,
    Unset,
    check_bounds,
    check_version,
    dump,
    format_path,
    kinds_of,
    members_of,
    parse,
    structure,
    tag_of,
    unstructure,
)

__all__ = [
    "MAX_TENSORS",
    "TAG",
    "UNION",
    "Migration",
    "StrictError",
    "TensorFile",
    "TensorInfo",
    "TensorRows",
    "Unset",
    "append_line",
    "check_bounds",
    "check_version",
    "dump",
    "file_errors",
    "format_path",
    "kinds_of",
    "locked",
    "make_folder",
    "members_of",
    "open_regular",
    "open_tensors",
    "parse",
    "read_regular",
    "replace_file",
    "structure",
    "tag_of",
    "unstructure",
    "write_tensors",
]
