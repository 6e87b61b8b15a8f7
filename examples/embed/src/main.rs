//! Notes on the command line. The database is one file, which the program brings up to date when it starts.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a command talks to whoever started it"
)]

mod database;
mod notes;

use std::env;

use anyhow::{Result, bail};

use notes::{Note, Notes};

#[tokio::main]
async fn main() -> Result<()> {
    let path = env::var("NOTES_DATABASE").unwrap_or_else(|_| "notes.db".to_owned());
    database::bring_up_to_date(&path).await?;
    let notes = Notes::open(&path)?;

    let arguments: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["add", text] => println!("note {}", notes.add(text)?),
        ["remove", id] => notes.remove(id.parse()?)?,
        ["list"] => print(&notes.all()?),
        ["search", words] => print(&notes.search(words)?),
        _ => bail!("usage: notes add TEXT | remove ID | list | search WORDS"),
    }
    Ok(())
}

fn print(notes: &[Note]) {
    for note in notes {
        println!("{:>3}  {}", note.id, note.text);
    }
}
