import sys

from etl_core import run_document
from etl_core.errors import EtlError

try:
    result = run_document(sys.argv[1], once=True, events=lambda event: print(event.to_json()))
except EtlError as error:
    sys.exit(f"{error}\n{error.hint}")
print(result.to_json())
