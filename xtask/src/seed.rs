//! Rows for the reference project, as they look in real tables: names and addresses typed by many hands.
//!
//! They belong after revision `4d08c5e71fa2`, before the migrations that put them in order.

use std::fmt::Display;

const GIVEN: [&str; 24] = [
    "Ada",
    "Grace",
    "Joost",
    "Sinéad",
    "María",
    "Łukasz",
    "Zoë",
    "Jean-Luc",
    "Ömer",
    "Ingrid",
    "Martin Luther",
    "Chidi",
    "Ana",
    "Björn",
    "Françoise",
    "Yuki",
    "Angus",
    "Siobhán",
    "José",
    "Noor",
    "Dmitri",
    "Priya",
    "Anne Marie",
    "Thijs",
];

const FAMILY: [&str; 24] = [
    "Lovelace",
    "Hopper",
    "van der Berg",
    "O'Brien",
    "del Carmen Ruiz",
    "Wójcik",
    "de la Tour",
    "Yıldız",
    "von Trapp",
    "King",
    "Okafor",
    "da Silva",
    "Ångström",
    "Müller",
    "Tanaka",
    "McDonald",
    "Ní Bhriain",
    "García",
    "al Farsi",
    "Ivanov",
    "Patel",
    "Smith-Jones",
    "ten Boom",
    "D'Angelo",
];

const ADDRESSES: [(&str, &str); 8] = [
    ("{n} Amphitheatre Pkwy", "Mountain View, CA 94043, USA"),
    ("{n} Bremner Blvd", "Toronto, ON M5V 3L9, Canada"),
    ("{n}B Baker Street", "London NW1 6XE, United Kingdom"),
    ("Unter den Linden {n}", "10117 Berlin, Germany"),
    ("Marienplatz {n}", "D-80331 München, Deutschland"),
    ("{n} rue de la Paix", "75002 Paris, France"),
    ("Prinsengracht {n}", "1016 GV Amsterdam, Netherlands"),
    ("Calle Mayor, {n}", "28013 Madrid, España"),
];

const PROGRAMS: [&str; 6] = [
    "Harbour Renewal",
    "Night Trains",
    "Open Archive",
    "Café Electrification",
    "Clean Rivers",
    "School Roofs",
];

const WORK: [&str; 8] = [
    "survey",
    "design",
    "tender",
    "construction",
    "commissioning",
    "training",
    "evaluation",
    "hand-over",
];

/// The statements that fill the tables with `rows` users, and programs, projects, resources and assignments to
/// match (about 4.2 rows for each user). The same for the same number, on every machine.
pub(crate) fn sql(rows: usize) -> String {
    let users = rows.max(1);
    let programs = users / 50 + 1;
    let projects = users / 10 + 1;
    let rooms = users / 20 + 1;
    let mut random = Random(0x5eed);
    let mut script = Script::default();

    script.insert(
        "users (id, full_name, email, postal_address, created_on)",
        users,
        |id| {
            let (given, family) = (random.pick(&GIVEN), random.pick(&FAMILY));
            let name = typed_name(&mut random, given, family);
            let address = typed_address(&mut random);
            let day = date(&mut random, 2019, 2025);
            format!(
                "{id}, {}, 'user{id}@example.org', {address}, '{day}'",
                quoted(&name)
            )
        },
    );
    script.insert("user_roles (user_id, role_id)", users, |id| {
        format!("{id}, {}", 1 + random.below(4))
    });
    script.insert("programs (id, name, sponsor_id)", programs, |id| {
        let name = format!("{} {}", random.pick(&PROGRAMS), 2019 + id);
        format!("{id}, {}, {}", quoted(&name), 1 + random.below(users))
    });
    script.insert(
        "projects (id, program_id, owner_id, code, name, starts_on, ends_on, budget, checksum)",
        projects,
        |id| {
            let code = format!("PRJ-{id:04}");
            let name = format!("{}: {}", random.pick(&PROGRAMS), random.pick(&WORK));
            let (program, owner) = (1 + random.below(programs), 1 + random.below(users));
            let ((first, last), ends_in) = *random.pick(&[
                ((2022, 2023), Some(2025)),
                ((2023, 2025), Some(2026)),
                ((2023, 2025), None),
                ((2026, 2026), Some(2027)),
            ]);
            let starts_on = date(&mut random, first, last);
            let ends_on = ends_in.map(|year| date(&mut random, year, year));
            let ends_on = ends_on.map_or("NULL".to_owned(), |day| format!("'{day}'"));
            let budget = format!("{}.{:02}", 1000 * (1 + random.below(900)), random.below(100));
            // One in forty was spoilt by a bug that nobody noticed.
            let checksum = match random.below(40) {
                0 => 0,
                _ => crc32(&[&code, &name]),
            };
            format!(
                "{id}, {program}, {owner}, '{code}', {}, '{starts_on}', {ends_on}, {budget}, '{checksum:08x}'",
                quoted(&name)
            )
        },
    );
    script.insert(
        "resources (id, kind, name, user_id, hourly_rate)",
        users + rooms,
        |id| {
            let rate = format!("{}.50", 20 + random.below(120));
            if id <= users {
                return format!("{id}, 'person', 'person {id}', {id}, {rate}");
            }
            let kind = random.pick(&["room", "equipment"]);
            format!("{id}, '{kind}', '{kind} {}', NULL, {rate}", id - users)
        },
    );
    script.insert(
        "resource_assignments (id, resource_id, project_id, starts_on, ends_on, percent)",
        users,
        |id| {
            let (resource, project) = (1 + random.below(users + rooms), 1 + random.below(projects));
            let (starts_on, ends_on) =
                (date(&mut random, 2024, 2025), date(&mut random, 2026, 2027));
            let percent = 10 * (1 + random.below(10));
            format!("{id}, {resource}, {project}, '{starts_on}', '{ends_on}', {percent}")
        },
    );
    script.0
}

/// Statements that follow one another.
#[derive(Default)]
struct Script(String);

impl Script {
    const ROWS_PER_STATEMENT: usize = 250;

    /// Inserts the rows `1..=count`.
    fn insert(&mut self, table: &str, count: usize, mut row: impl FnMut(usize) -> String) {
        for id in 1..=count {
            let separator = match (id - 1) % Self::ROWS_PER_STATEMENT {
                0 => format!("INSERT INTO {table} VALUES\n    "),
                _ => ",\n    ".to_owned(),
            };
            self.0 += &format!("{separator}({})", row(id));
            if id % Self::ROWS_PER_STATEMENT == 0 || id == count {
                self.0 += ";\n";
            }
        }
    }
}

/// A name as one of many hands would type it.
fn typed_name(random: &mut Random, given: &str, family: &str) -> String {
    match random.below(20) {
        0 | 1 => format!("{given} {family}").to_uppercase(),
        2 | 3 => format!("{given} {family}").to_lowercase(),
        4 | 5 => format!("{family}, {given}"),
        6 => format!("  {given}   {family} "),
        7 => format!("Dr. {given} {family}"),
        8 => format!("prof {given} {family}"),
        9 => format!("{given} {family}, Jr."),
        10 => format!("{given} {family} III"),
        11 => given.to_owned(),
        _ => format!("{given} {family}"),
    }
}

/// An address as a SQL literal: most can be read, some only by people, some are missing.
fn typed_address(random: &mut Random) -> String {
    let (street, town) = *random.pick(&ADDRESSES);
    let street = street.replace("{n}", &(1 + random.below(300)).to_string());
    match random.below(25) {
        0 => "NULL".to_owned(),
        1 => "'c/o the porter, second door'".to_owned(),
        2 | 3 => quoted(&format!("{street}\n{}", town.replace(", ", "\n"))),
        4 => quoted(&format!("{street},{town}").to_lowercase()),
        _ => quoted(&format!("{street}, {town}")),
    }
}

fn date(random: &mut Random, first_year: usize, last_year: usize) -> impl Display + use<> {
    let year = first_year + random.below(last_year - first_year + 1);
    format!(
        "{year}-{:02}-{:02}",
        1 + random.below(12),
        1 + random.below(28)
    )
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// CRC-32 over the fields, each followed by U+001F: what revision `80d3a46f7be9` expects and replaces.
fn crc32(fields: &[&str]) -> u32 {
    let bytes = fields.iter().flat_map(|field| field.bytes().chain([0x1f]));
    let crc = bytes.fold(u32::MAX, |crc, byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| {
            (crc >> 1) ^ if crc & 1 == 1 { 0xedb8_8320 } else { 0 }
        })
    });
    !crc
}

/// A generator that gives the same numbers on every machine (SplitMix64).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) as usize % limit
    }

    fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        &items[self.below(items.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_number_of_rows_gives_the_same_script() {
        let script = sql(600);
        assert_eq!(script, sql(600));
        assert_eq!(script.matches("INSERT INTO users").count(), 3);
        assert_eq!(script.matches("@example.org").count(), 600);
    }
}
