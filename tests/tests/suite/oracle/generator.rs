//! Random statements over the oracle's tables, most of which a server takes. All columns are texts.

/// The functions that the statements call.
pub(super) const FUNCTIONS: [&str; 8] = [
    "lower",
    "coalesce",
    "max",
    "row_number",
    "unnest",
    "concat",
    "string_agg",
    "generate_series",
];

/// What can be read: how it is written, its name, its columns.
const TABLES: [(&str, &str, &[&str]); 12] = [
    ("users", "users", &["id", "email", "name", "ssn"]),
    ("public.users", "users", &["id", "email", "name", "ssn"]),
    ("orders", "orders", &["id", "user_id", "total", "note"]),
    (
        "\"Odd Name\"",
        "\"Odd Name\"",
        &["id", "\"A b\"", "\"select\""],
    ),
    ("app.users", "users", &["id", "login"]),
    ("parts", "parts", &["id", "kind", "body"]),
    ("parts_a", "parts_a", &["id", "kind", "body"]),
    ("animals", "animals", &["id", "name"]),
    ("birds", "birds", &["id", "name", "wings"]),
    ("people", "people", &["id", "email"]),
    ("bills", "bills", &["id", "total", "name"]),
    ("totals", "totals", &["id", "total"]),
];

/// The tables that are written to.
const WRITTEN: [usize; 7] = [0, 2, 3, 4, 5, 7, 9];

/// Something in FROM, or a common table expression.
#[derive(Debug, Clone)]
struct Source {
    name: String,
    columns: Vec<String>,
    /// Whether the name stands for a whole row.
    is_table: bool,
}

pub(super) struct Generator {
    state: u64,
    names: u32,
    ctes: Vec<Source>,
}

impl Generator {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            state: seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
            names: 0,
            ctes: Vec::new(),
        }
    }

    /// A number below `end`, by xorshift.
    fn below(&mut self, end: usize) -> usize {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        (self.state >> 11) as usize % end.max(1)
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn pick<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        &all[self.below(all.len())]
    }

    fn fresh(&mut self) -> String {
        self.names += 1;
        // Now and then a name that a table has.
        match self.below(8) {
            0 => "users".to_owned(),
            1 => "orders".to_owned(),
            _ => format!("t{}", self.names),
        }
    }

    pub(super) fn statement(&mut self) -> String {
        self.ctes.clear();
        let with = self.with();
        let explain = if self.one_in(30) {
            "EXPLAIN ANALYZE "
        } else {
            ""
        };
        let body = match self.below(10) {
            0..6 => self.select(&[], 3, 0),
            6 | 7 => self.insert(),
            8 => self.update(),
            _ => self.delete(),
        };
        format!("{explain}{with}{body}")
    }

    fn with(&mut self) -> String {
        let mut parts = Vec::new();
        while self.one_in(3) && parts.len() < 3 {
            let name = self.fresh();
            if self.ctes.iter().any(|cte| cte.name == name) {
                break;
            }
            let width = 1 + self.below(2);
            let query = match self.one_in(6) {
                true => self.delete_returning(width),
                false => self.select(&[], 2, width),
            };
            let columns: Vec<String> = (0..width)
                .map(|n| format!("{}{n}", ["c", "id", "email"][n % 3]))
                .collect();
            parts.push(format!("{name} ({}) AS ({query})", columns.join(", ")));
            self.ctes.push(Source {
                name,
                columns,
                is_table: false,
            });
        }
        match parts.is_empty() {
            true => String::new(),
            false => format!("WITH {} ", parts.join(", ")),
        }
    }

    /// A query of `width` columns, or of any number.
    fn select(&mut self, outer: &[Source], depth: usize, width: usize) -> String {
        if depth > 0 && self.one_in(10) {
            let width = width.max(1);
            let (left, right) = (
                self.select(outer, depth - 1, width),
                self.select(outer, depth - 1, width),
            );
            let operator = *self.pick(&["UNION", "UNION ALL", "EXCEPT", "INTERSECT"]);
            return format!("({left}) {operator} ({right})");
        }
        let (from, scope) = self.from(outer, depth);
        let all: Vec<Source> = scope.iter().chain(outer).cloned().collect();
        let mut outputs = Vec::new();
        let star = width == 0 && self.one_in(6);
        if star {
            outputs.push(match self.one_in(2) {
                true => "*".to_owned(),
                false => format!("{}.*", self.pick(&scope).name),
            });
        }
        for n in 0..if width > 0 { width } else { 1 + self.below(3) } {
            let value = match self.below(14) {
                0 => format!(
                    "max({}) OVER (PARTITION BY {})",
                    self.expression(&all, 1),
                    self.column(&all)
                ),
                1 => format!("({}).id::text", self.row(&all)),
                2 => format!("{}::text", self.row(&all)),
                _ => self.expression(&all, depth),
            };
            let alias = if self.one_in(3) {
                format!(" AS {}", ["x", "id", "email"][n % 3])
            } else {
                String::new()
            };
            outputs.push(value + &alias);
        }
        let mut sql = format!("SELECT {} FROM {from}", outputs.join(", "));
        if self.one_in(2) {
            sql.push_str(&format!(" WHERE {}", self.condition(&all, depth)));
        }
        if self.one_in(8) && !star {
            sql.push_str(&format!(" ORDER BY {}", self.expression(&all, 0)));
        }
        if self.one_in(8) {
            sql.push_str(" LIMIT 3");
        }
        if self.one_in(12) {
            sql.push_str(self.pick::<&str>(&[" FOR UPDATE", " FOR SHARE", " FOR KEY SHARE"]));
        }
        sql
    }

    fn from(&mut self, outer: &[Source], depth: usize) -> (String, Vec<Source>) {
        let (mut text, mut scope) = self.item(outer, &[], depth);
        for _ in 0..self.below(3) {
            let (next, more) = self.item(outer, &scope, depth);
            if more
                .iter()
                .any(|one| scope.iter().any(|there| there.name == one.name))
            {
                continue;
            }
            let both: Vec<Source> = scope.iter().chain(&more).cloned().collect();
            let shares_id = |sources: &[Source]| {
                sources
                    .iter()
                    .filter(|source| source.columns.iter().any(|column| column == "id"))
                    .count()
                    == 1
            };
            text = match self.below(5) {
                0 => format!("{text}, {next}"),
                1 => format!("{text} CROSS JOIN {next}"),
                2 if shares_id(&scope) && shares_id(&more) => {
                    format!("{text} JOIN {next} USING (id)")
                }
                _ => {
                    let on = self.condition(&both, depth.saturating_sub(1));
                    format!("{text} LEFT JOIN {next} ON {on}")
                }
            };
            scope = both;
        }
        (text, scope)
    }

    fn item(&mut self, outer: &[Source], left: &[Source], depth: usize) -> (String, Vec<Source>) {
        if depth > 0 {
            match self.below(8) {
                0 => return self.derived("", outer, depth),
                1 => {
                    let seen: Vec<Source> = left.iter().chain(outer).cloned().collect();
                    return self.derived("LATERAL ", &seen, depth);
                }
                2 => {
                    let seen: Vec<Source> = left.iter().chain(outer).cloned().collect();
                    let name = self.fresh();
                    let value = self.expression(&seen, 1);
                    let text = format!("unnest(ARRAY[{value}]) AS {name} (u)");
                    return (
                        text,
                        vec![Source {
                            name,
                            columns: vec!["u".to_owned()],
                            is_table: false,
                        }],
                    );
                }
                _ => {}
            }
        }
        if !self.ctes.is_empty() && self.one_in(3) {
            let at = self.below(self.ctes.len());
            let cte = self.ctes[at].clone();
            return (cte.name.clone(), vec![cte]);
        }
        let (written, name, columns) = *self.pick(&TABLES);
        let hidden = self.ctes.iter().any(|cte| cte.name == written);
        let written = if hidden {
            format!("public.{written}")
        } else {
            written.to_owned()
        };
        let columns: Vec<String> = columns.iter().map(|&column| column.to_owned()).collect();
        match self.below(6) {
            0 | 1 => (
                written,
                vec![Source {
                    name: name.to_owned(),
                    columns,
                    is_table: true,
                }],
            ),
            2 => {
                let alias = self.fresh();
                let mut renamed = columns;
                renamed[0] = "first".to_owned();
                let text = format!("{written} AS {alias} (first)");
                (
                    text,
                    vec![Source {
                        name: alias,
                        columns: renamed,
                        is_table: true,
                    }],
                )
            }
            _ => {
                let alias = self.fresh();
                (
                    format!("{written} AS {alias}"),
                    vec![Source {
                        name: alias,
                        columns,
                        is_table: true,
                    }],
                )
            }
        }
    }

    fn derived(&mut self, before: &str, seen: &[Source], depth: usize) -> (String, Vec<Source>) {
        let name = self.fresh();
        let width = 1 + self.below(2);
        let query = self.select(seen, depth - 1, width);
        let columns: Vec<String> = (0..width).map(|n| format!("d{n}")).collect();
        let text = format!("{before}({query}) AS {name} ({})", columns.join(", "));
        (
            text,
            vec![Source {
                name,
                columns,
                is_table: false,
            }],
        )
    }

    /// A column, the innermost of its name.
    fn column(&mut self, scope: &[Source]) -> String {
        if scope.is_empty() {
            return "'x'".to_owned();
        }
        let source = self.pick(scope).clone();
        let column = self.pick(&source.columns).clone();
        match self.one_in(4) {
            true => column,
            false => format!("{}.{column}", source.name),
        }
    }

    fn row(&mut self, scope: &[Source]) -> String {
        let tables: Vec<Source> = scope
            .iter()
            .filter(|source| source.is_table)
            .cloned()
            .collect();
        match tables.is_empty() {
            true => "ROW(1)".to_owned(),
            false => self.pick(&tables).name.clone(),
        }
    }

    fn expression(&mut self, scope: &[Source], depth: usize) -> String {
        if depth == 0 {
            return self.column(scope);
        }
        match self.below(10) {
            0 => format!("lower({})", self.expression(scope, depth - 1)),
            1 => format!("coalesce({}, 'y')", self.expression(scope, depth - 1)),
            2 => format!(
                "CASE WHEN {} THEN {} ELSE 'z' END",
                self.condition(scope, depth - 1),
                self.expression(scope, depth - 1)
            ),
            3 => format!(
                "({} || {})",
                self.expression(scope, depth - 1),
                self.column(scope)
            ),
            4 => format!(
                "(SELECT s.v FROM ({}) AS s (v) LIMIT 1)",
                self.select(scope, depth - 1, 1)
            ),
            5 => format!("(ARRAY({}))[1]", self.select(scope, depth - 1, 1)),
            6 => "'k'".to_owned(),
            _ => self.column(scope),
        }
    }

    fn condition(&mut self, scope: &[Source], depth: usize) -> String {
        if depth == 0 {
            return format!("{} <> 'q'", self.column(scope));
        }
        match self.below(7) {
            0 => format!("EXISTS ({})", self.select(scope, depth - 1, 1)),
            1 => format!(
                "{} IN ({})",
                self.column(scope),
                self.select(scope, depth - 1, 1)
            ),
            2 => format!("{} IS NOT NULL", self.expression(scope, depth - 1)),
            3 => format!(
                "({} AND {})",
                self.condition(scope, depth - 1),
                self.condition(scope, depth - 1)
            ),
            4 => format!(
                "{} BETWEEN 'a' AND {}",
                self.column(scope),
                self.column(scope)
            ),
            5 => format!(
                "{} LIKE {}",
                self.column(scope),
                self.expression(scope, depth - 1)
            ),
            _ => format!(
                "{} = {}",
                self.expression(scope, depth - 1),
                self.column(scope)
            ),
        }
    }

    fn target(&mut self) -> (String, Source) {
        let at = *self.pick(&WRITTEN);
        let (written, _, columns) = TABLES[at];
        let columns = columns.iter().map(|&column| column.to_owned()).collect();
        (
            written.to_owned(),
            Source {
                name: "w".to_owned(),
                columns,
                is_table: true,
            },
        )
    }

    fn returning(&mut self, target: &Source) -> String {
        match self.below(4) {
            0 => " RETURNING *".to_owned(),
            1 => format!(
                " RETURNING {}",
                self.expression(std::slice::from_ref(target), 1)
            ),
            _ => String::new(),
        }
    }

    fn insert(&mut self) -> String {
        let (written, target) = self.target();
        let width = 1 + self.below(target.columns.len());
        let columns = target.columns[..width].join(", ");
        let listed = if self.one_in(4) {
            String::new()
        } else {
            format!(" ({columns})")
        };
        let source = match self.one_in(2) {
            true => {
                let values: Vec<String> = (0..width).map(|_| self.expression(&[], 2)).collect();
                format!("VALUES ({})", values.join(", "))
            }
            false => self.select(&[], 2, width),
        };
        let conflict = match (self.below(3), written.as_str()) {
            (0, "users" | "orders") => {
                let column = self.pick(&target.columns).clone();
                let value = self.expression(std::slice::from_ref(&target), 1);
                format!(
                    " ON CONFLICT (id) DO UPDATE SET {column} = excluded.{column} || w.{column} WHERE {value} <> ''"
                )
            }
            (1, _) => " ON CONFLICT DO NOTHING".to_owned(),
            _ => String::new(),
        };
        let returning = self.returning(&target);
        format!("INSERT INTO {written} AS w{listed} {source}{conflict}{returning}")
    }

    fn update(&mut self) -> String {
        let (written, target) = self.target();
        let (from, scope) = match self.one_in(2) {
            true => {
                let (text, scope) = self.from(&[], 1);
                (format!(" FROM {text}"), scope)
            }
            false => (String::new(), Vec::new()),
        };
        let mut all = vec![target.clone()];
        all.extend(scope);
        let column = self.pick(&target.columns).clone();
        let value = self.expression(&all, 2);
        let set = match self.one_in(4) {
            true => format!("({column}) = (SELECT {})", self.expression(&all, 1)),
            false => format!("{column} = {value}"),
        };
        let condition = if self.one_in(2) {
            format!(" WHERE {}", self.condition(&all, 2))
        } else {
            String::new()
        };
        let returning = self.returning(&target);
        format!("UPDATE {written} AS w SET {set}{from}{condition}{returning}")
    }

    fn delete(&mut self) -> String {
        let (written, target) = self.target();
        let (using, scope) = match self.one_in(2) {
            true => {
                let (text, scope) = self.from(&[], 1);
                (format!(" USING {text}"), scope)
            }
            false => (String::new(), Vec::new()),
        };
        let mut all = vec![target.clone()];
        all.extend(scope);
        let condition = if self.one_in(2) {
            format!(" WHERE {}", self.condition(&all, 2))
        } else {
            String::new()
        };
        let returning = self.returning(&target);
        format!("DELETE FROM {written} AS w{using}{condition}{returning}")
    }

    fn delete_returning(&mut self, width: usize) -> String {
        let (written, target) = self.target();
        let values: Vec<String> = (0..width)
            .map(|_| self.expression(std::slice::from_ref(&target), 1))
            .collect();
        format!("DELETE FROM {written} AS w RETURNING {}", values.join(", "))
    }
}
