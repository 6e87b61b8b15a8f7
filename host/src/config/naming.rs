//! How the files of new migrations are named.

use jiff::Timestamp;
use jiff::tz::TimeZone;
use thiserror::Error;

use crate::revision::RevisionId;

/// How the file or folder of a new migration is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Naming {
    template: String,
    slug_length: usize,
}

/// Why a name template cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NamingError {
    /// Without the id, two migrations could have the same name.
    #[error("`{0}` has no `{{id}}` in it")]
    NoId(String),
    /// It has something in braces that means nothing.
    #[error(
        "`{{{0}}}` is not one of {{id}}, {{slug}}, {{year}}, {{month}}, {{day}}, {{hour}}, {{minute}}, {{second}}, {{epoch}}"
    )]
    Unknown(String),
    /// It has a brace that is never closed.
    #[error("`{0}` has a `{{` without a `}}`")]
    Unclosed(String),
    /// It would leave its folder, or be hidden.
    #[error("`{0}` must not start with a dot or have a slash in it")]
    Path(String),
}

impl Default for Naming {
    fn default() -> Self {
        Self {
            template: "{id}_{slug}".to_owned(),
            slug_length: 40,
        }
    }
}

impl Naming {
    /// Names by a template, with a slug of at most so many characters.
    ///
    /// # Errors
    /// [`NamingError`] says what is wrong with the template.
    pub fn new(template: &str, slug_length: usize) -> Result<Self, NamingError> {
        if template.starts_with('.') || template.contains(['/', '\\']) {
            return Err(NamingError::Path(template.to_owned()));
        }
        let naming = Self {
            template: template.to_owned(),
            slug_length,
        };
        let mut has_id = false;
        naming.fill(|key| {
            has_id |= key == "id";
            part(key, Timestamp::UNIX_EPOCH)
                .or_else(|| matches!(key, "id" | "slug").then(String::new))
        })?;
        match has_id {
            true => Ok(naming),
            false => Err(NamingError::NoId(template.to_owned())),
        }
    }

    /// The name of a migration, without an extension.
    pub(crate) fn name(&self, id: &RevisionId, message: &str, created: Timestamp) -> String {
        let slug = slug(message, self.slug_length);
        let filled = self.fill(|key| match key {
            "id" => Some(id.to_string()),
            "slug" => Some(slug.clone()),
            key => part(key, created),
        });
        // An empty slug leaves what stood between it and its neighbours.
        filled
            .unwrap_or_else(|_| id.to_string())
            .trim_matches(['_', '-', ' '])
            .to_owned()
    }

    /// The slug alone.
    pub(crate) fn slug(&self, message: &str) -> String {
        slug(message, self.slug_length)
    }

    fn fill(&self, mut value: impl FnMut(&str) -> Option<String>) -> Result<String, NamingError> {
        let mut parts = self.template.split('{');
        let mut name = parts.next().unwrap_or_default().to_owned();
        for part in parts {
            let Some((key, text)) = part.split_once('}') else {
                return Err(NamingError::Unclosed(self.template.clone()));
            };
            name.push_str(&value(key).ok_or_else(|| NamingError::Unknown(key.to_owned()))?);
            name.push_str(text);
        }
        Ok(name)
    }
}

/// A part of a time, in UTC.
fn part(key: &str, time: Timestamp) -> Option<String> {
    let utc = time.to_zoned(TimeZone::UTC);
    Some(match key {
        "year" => format!("{:04}", utc.year()),
        "month" => format!("{:02}", utc.month()),
        "day" => format!("{:02}", utc.day()),
        "hour" => format!("{:02}", utc.hour()),
        "minute" => format!("{:02}", utc.minute()),
        "second" => format!("{:02}", utc.second()),
        "epoch" => time.as_second().to_string(),
        _ => return None,
    })
}

/// A message as a part of a file name: lower-case words with `_` between them, of at most so many characters, cut at a
/// word where that is possible.
fn slug(message: &str, length: usize) -> String {
    let mut slug = String::new();
    for word in message
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
    {
        let gap = usize::from(!slug.is_empty());
        if slug.len() + gap + word.len() > length {
            if slug.is_empty() {
                slug.push_str(&word[..length].to_ascii_lowercase());
            }
            break;
        }
        if gap > 0 {
            slug.push('_');
        }
        slug.push_str(&word.to_ascii_lowercase());
    }
    slug
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    fn name(template: &str, message: &str) -> String {
        let id = RevisionId::new("1a01").unwrap();
        let created = "2026-11-22T09:05:07Z".parse().unwrap();
        Naming::new(template, 20)
            .unwrap()
            .name(&id, message, created)
    }

    #[test]
    fn a_template_has_id_slug_and_parts_of_the_time() {
        assert_eq!(name("{id}_{slug}", "Add status"), "1a01_add_status");
        assert_eq!(
            name("{year}{month}{day}-{hour}{minute}{second}_{id}_{slug}", "x"),
            "20261122-090507_1a01_x"
        );
        assert_eq!(
            name("{slug}_{id}", "one two three four five six"),
            "one_two_three_four_1a01"
        );
    }

    #[test]
    fn nothing_is_left_of_an_empty_slug() {
        assert_eq!(name("{id}_{slug}", "!"), "1a01");
        assert_eq!(name("{slug}-{id}", ""), "1a01");
    }

    #[test]
    fn mistakes_in_templates_are_told() {
        for (template, told) in [
            ("{slug}", "`{slug}` has no `{id}` in it"),
            ("{id", "`{id` has a `{` without a `}`"),
            (
                "../{id}",
                "`../{id}` must not start with a dot or have a slash in it",
            ),
        ] {
            assert_eq!(Naming::new(template, 40).unwrap_err().to_string(), told);
        }
        let unknown = Naming::new("{id}_{rev}", 40).unwrap_err();
        assert_eq!(unknown, NamingError::Unknown("rev".to_owned()));
    }

    #[test]
    fn slugs_are_words_cut_at_a_word() {
        assert_eq!(
            slug("Add status to projects!", 40),
            "add_status_to_projects"
        );
        assert_eq!(slug("  Größe: -- 3 ", 40), "gr_e_3");
        assert_eq!(slug("", 40), "");
        assert_eq!(
            slug(
                "move every address of every person into a table of its own",
                40
            ),
            "move_every_address_of_every_person_into"
        );
        assert_eq!(slug(&"x".repeat(50), 40), "x".repeat(40));
    }
}
