"""What the index uses of Whoosh, as `Any`: only half of Whoosh is annotated.

The classes that are subclassed or returned are imported where that is done.
"""

from __future__ import annotations

from typing import Any

from whoosh import columns, formats
from whoosh.filedb.filestore import FileStorage as _FileStorage
from whoosh.filedb.filestore import RamStorage as _RamStorage
from whoosh.index import TOC as _TOC
from whoosh.index import FileIndex as _FileIndex
from whoosh.reading import SegmentReader as _SegmentReader
from whoosh.writing import SegmentWriter as _SegmentWriter

FixedBytesColumn: Any = columns.FixedBytesColumn
NumericColumn: Any = columns.NumericColumn
Existence: Any = formats.Existence
Frequency: Any = formats.Frequency
RamStorage: Any = _RamStorage
FileStorage: Any = _FileStorage
FileIndex: Any = _FileIndex
SegmentReader: Any = _SegmentReader
SegmentWriter: Any = _SegmentWriter
TOC: Any = _TOC
