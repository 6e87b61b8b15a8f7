"""Two columns of `people`, made of two others; `loop.py` is its peer."""

from itertools import accumulate

import wit_world.exports
from wit_world.exports.rows import Description, Order, Outcome
from wit_world.imports.types import Batch, Cells, ColumnData_Texts, TextForm


class Rows(wit_world.exports.Rows):
    def describe(self) -> Description:
        return Description(
            table="people",
            key=[],
            reads=["given", "family"],
            writes=["slug", "initials"],
            condition=None,
            order=Order.ASCENDING,
            changed=None,
            keep_old_values=False,
            may_drop=False,
            batch_milliseconds=None,
            workers=None,
            text=TextForm.CELLS,
        )

    def transform(self, given: Batch) -> Outcome:
        names = [texts(column.value) for column in given.columns]
        slugs = [f"{given}.{family}".lower() for given, family in zip(*names)]
        initials = [(given[:1] + family[:1]).upper() for given, family in zip(*names)]
        columns = [ColumnData_Texts(cells(column)) for column in (slugs, initials)]
        return Outcome(values=Batch(given.rows, columns, [b"", b""]), verdicts=[])


def texts(cells: Cells) -> list[str]:
    data, offsets = cells.data, cells.offsets
    text = data.decode()
    if len(text) == len(data):
        return [text[start:end] for start, end in zip(offsets, offsets[1:])]
    return [data[start:end].decode() for start, end in zip(offsets, offsets[1:])]


def cells(texts: list[str]) -> Cells:
    text = "".join(texts)
    if text.isascii():
        return Cells(list(accumulate(map(len, texts), initial=0)), text.encode())
    encoded = [text.encode() for text in texts]
    return Cells(list(accumulate(map(len, encoded), initial=0)), b"".join(encoded))
