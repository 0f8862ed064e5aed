import sys
from pathlib import Path

import pyarrow as pa

from etl_core.state.config import SqliteConfig
from etl_core.state.sqlite import SqliteStore

store = SqliteStore(SqliteConfig(path=Path(sys.argv[1])))
for letter in store.dead_letters(sys.argv[2]):
    row = pa.ipc.open_stream(letter.row).read_all().to_pylist()[0]
    print(letter.stream, letter.stage, letter.code, letter.column, row)
store.close()
