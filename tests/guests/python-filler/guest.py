"""A backfill in Python of the table `items`, which does as its peers in C and JavaScript do: it reads `amount`, `runs` and
`remark`, writes `doubled`, `runs` and `remark`, keeps rows whose amount ends in 0, and cannot work on remarks that are bad.
"""

import wit_world.exports
from wit_world.exports.rows import Changed, Description, Order, Outcome, Verdict, Verdict_Fail, Verdict_Keep, Verdict_Write
from wit_world.imports.types import Batch, ColumnData_Strings, TextForm


class Rows(wit_world.exports.Rows):
    def describe(self) -> Description:
        return Description(
            table="items",
            key=[],
            reads=["amount", "runs", "remark"],
            writes=["doubled", "runs", "remark"],
            condition=None,
            order=Order.ASCENDING,
            changed=Changed.AGAIN,
            keep_old_values=False,
            may_drop=False,
            batch_milliseconds=None,
            workers=None,
            text=TextForm.STRINGS,
        )

    def transform(self, given: Batch) -> Outcome:
        amounts, runs, remarks = given.columns
        # Integers of PostgreSQL and of SQLite are not as wide as each other.
        integers = type(amounts)
        is_null = [is_set(given.nulls[2], at) for at in range(given.rows)]
        old = [None if is_null[at] else remarks.value[at] for at in range(given.rows)]
        columns = [
            integers([amount * 2 for amount in amounts.value]),
            integers([number + 1 for number in runs.value]),
            ColumnData_Strings(["done" if remark is None else f"{remark}, done" for remark in old]),
        ]
        verdicts = [verdict(amount, remark) for amount, remark in zip(amounts.value, old)]
        return Outcome(values=Batch(given.rows, columns, [b"", b"", b""]), verdicts=verdicts)


def is_set(bits: bytes, at: int) -> bool:
    return at // 8 < len(bits) and bits[at // 8] >> at % 8 & 1 == 1


def verdict(amount: int, remark: str | None) -> Verdict:
    if remark == "bad":
        return Verdict_Fail("the remark is bad")
    return Verdict_Keep() if amount % 10 == 0 else Verdict_Write()
