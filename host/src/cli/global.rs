//! The flags that every command takes.

use camino::Utf8PathBuf;
use clap::{ArgAction, Args, ValueEnum};
use whimbrel::config::Flags;

/// The flags that every command takes.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Global options")]
pub(crate) struct Global {
    /// Work as if started in this folder
    #[arg(
        short = 'C',
        value_name = "DIR",
        global = true,
        default_value = ".",
        hide_default_value = true
    )]
    pub(crate) directory: Utf8PathBuf,
    /// The settings [default: the nearest whimbrel.toml, from here upwards]
    #[arg(long, value_name = "FILE", global = true)]
    pub(crate) config: Option<Utf8PathBuf>,
    /// The database: a URL, or a name from the settings
    #[arg(long, value_name = "URL|NAME", global = true)]
    pub(crate) database: Option<String>,
    /// A parameter of the run; repeatable
    #[arg(short = 'x', value_name = "KEY=VALUE", global = true)]
    pub(crate) parameters: Vec<String>,
    /// Print JSON
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// Print results and errors only
    #[arg(short, long, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Print more
    #[arg(short, long, global = true, action = ArgAction::Count)]
    pub(crate) verbose: u8,
    /// When to use colours
    #[arg(
        long,
        value_name = "auto|always|never",
        global = true,
        default_value = "auto",
        hide_possible_values = true,
        value_enum
    )]
    pub(crate) color: Color,
    /// Print plain lines instead of a progress display
    #[arg(long, global = true)]
    pub(crate) no_progress: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Color {
    /// On a terminal, unless NO_COLOR is set.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl Global {
    /// What the library is told of them.
    pub(crate) fn flags(&self) -> Flags {
        Flags {
            database: self.database.clone(),
            parameters: self.parameters.clone(),
            directory: self.directory.clone(),
        }
    }
}
