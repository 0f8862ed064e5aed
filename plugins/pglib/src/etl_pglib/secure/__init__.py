"""A second connection beside libpq's, over Python's own TLS, for what has to be read in bulk.

`open_secure` makes one where that can be done exactly as libpq does it, and says None where it cannot.
"""

from etl_pglib.secure.messages import copy_data
from etl_pglib.secure.session import Secure, open_secure

__all__ = ["Secure", "copy_data", "open_secure"]
