"""Read and write bytes on disk: files replaced atomically, journals, strict JSON, safetensors.

This package knows nothing of SEGA and does not import torch. Everything that other packages use is
re-exported here; its modules are private.
"""

from .atomic import BINARY, append_line, check_regular, file_errors, replace_file
from .safetensors_header import Header, TensorInfo, read_header
from .safetensors_writer import TensorRows, write_tensors
from .strict_json import (
    TAG,
    UNION,
    Migration,
    StrictError,
    Unset,
    check_version,
    dump,
    format_path,
    kinds_of,
    members_of,
    parse,
    shorten,
    structure,
    tag_of,
    unstructure,
)

__all__ = [
    "BINARY",
    "TAG",
    "UNION",
    "Header",
    "Migration",
    "StrictError",
    "TensorInfo",
    "TensorRows",
    "Unset",
    "append_line",
    "check_regular",
    "check_version",
    "dump",
    "file_errors",
    "format_path",
    "kinds_of",
    "members_of",
    "parse",
    "read_header",
    "replace_file",
    "shorten",
    "structure",
    "tag_of",
    "unstructure",
    "write_tensors",
]
