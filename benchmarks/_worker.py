"""One worker of a benchmark, in a process of its own: `python -m benchmarks._worker <directory of the log> <MongoDB's URL>`, until it is stopped."""

import asyncio
import sys
from pathlib import Path

import uvloop

from benchmarks._documents import open_log
from projections import families
from projections.documents.mongo import open_mongo_documents
from projections.runtime import Runtime


async def main(directory: Path, url: str) -> None:
    runtime = Runtime(await open_log(directory), await open_mongo_documents(url), families.ALL)
    await runtime.start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1]), sys.argv[2]))
