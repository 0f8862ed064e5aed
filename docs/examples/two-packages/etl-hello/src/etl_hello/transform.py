import pyarrow.compute as pc

from etl_core import Transform


class Shout(Transform):
    def __init__(self, config):
        self.column = config.column

    def inputs(self, stream):
        return {self.column: [self.column], None: []}

    def apply(self, ctx, stream, rows):
        index = rows.schema.get_field_index(self.column)
        return rows.set_column(index, self.column, pc.utf8_upper(rows.column(index)))
