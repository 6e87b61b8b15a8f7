// Two columns of `people`, made of two others; `loop.cjs` is its peer.

export const rows = {
  describe: () => ({
    table: "people",
    key: [],
    reads: ["given", "family"],
    writes: ["slug", "initials"],
    order: "ascending",
    keepOldValues: false,
    mayDrop: false,
    text: "strings",
  }),

  transform({ rows, columns: [given, family] }) {
    const givens = given.val;
    const families = family.val;
    const slugs = givens.map((given, at) => `${given}.${families[at]}`.toLowerCase());
    const initials = givens.map((given, at) => (given.slice(0, 1) + families[at].slice(0, 1)).toUpperCase());
    const columns = [slugs, initials].map((texts) => ({ tag: "strings", val: texts }));
    return { values: { rows, columns, nulls: [new Uint8Array(), new Uint8Array()] }, verdicts: [] };
  },
};

