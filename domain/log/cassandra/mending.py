"""Mends the index from the log up to a position, and sets the watermark there: for a generation that has ended, and for a mark that is wrong."""

from typing import Final

from domain.log.cassandra.index import StreamIndex, chunks
from domain.log.cassandra.scanning import Scan
from domain.log.cassandra.table import Place

_PAGE: Final = 500


async def copy_up_to(scan: Scan, index: StreamIndex, place: Place, complete: int, watermark: int, head: int) -> int:
    """Writes the index rows that are missing in (complete, head], then moves the watermark, which was ``watermark``, to ``head``; how many were written.

    Safe beside writers: index rows are copies, written by anyone; where another process has moved the watermark meanwhile, it stays there.
    """
    position, written = complete, 0
    while position < head:
        found = await scan.rows(place, position, min(position + _PAGE, scan.segment_end(place, position + 1), head))
        missing = await index.missing([row for _, row in found if row is not None])
        for chunk in chunks(missing):
            await index.write(chunk)
        written += len(missing)
        position = min(position + _PAGE, scan.segment_end(place, position + 1), head)
    await scan.set_watermark(place, watermark, head)
    return written
