// A backfill in JavaScript of the table `items`, which does as its peers in C and Python do: it reads `amount`, `runs` and
// `remark`, writes `doubled`, `runs` and `remark`, keeps rows whose amount ends in 0, and cannot work on remarks that are bad.

export const rows = {
  describe: () => ({
    table: "items",
    key: [],
    reads: ["amount", "runs", "remark"],
    writes: ["doubled", "runs", "remark"],
    order: "ascending",
    changed: "again",
    keepOldValues: false,
    mayDrop: false,
    text: "strings",
  }),

  transform({ rows, columns: [amounts, runs, remarks], nulls }) {
    const old = Array.from({ length: rows }, (_, at) => (isSet(nulls[2], at) ? null : remarks.val[at]));
    const columns = [
      { tag: amounts.tag, val: amounts.val.map((amount) => amount * 2) },
      { tag: runs.tag, val: runs.val.map((runs) => runs + 1) },
      { tag: "strings", val: old.map((remark) => (remark === null ? "done" : `${remark}, done`)) },
    ];
    const verdicts = old.map((remark, at) => {
      if (remark === "bad") return { tag: "fail", val: "the remark is bad" };
      return { tag: amounts.val[at] % 10 === 0 ? "keep" : "write" };
    });
    return { values: { rows, columns, nulls: columns.map(() => new Uint8Array()) }, verdicts };
  },
};

const isSet = (bits, at) => ((bits[at >> 3] ?? 0) >> (at & 7)) & 1;
