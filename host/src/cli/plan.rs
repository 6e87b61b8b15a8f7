//! `whimbrel plan`

use clap::ValueEnum;
use whimbrel::project::RunOptions;
use whimbrel::revision::Direction;
use whimbrel::target::{Anchor, Target};

use super::context::{Context, block_on};
use super::failure::Failure;
use super::forecast;
use super::learn;
use super::report::{Format, Verdict};

/// Show what an upgrade or a downgrade would do
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to: a revision, `head`, `heads`, `base`, `+N` or `-N`
    #[arg(default_value = "head", allow_negative_numbers = true)]
    target: String,
    /// Which way [default: down for `base` and `-N`, else up]
    #[arg(short, long, value_enum)]
    direction: Option<Way>,
    /// Run the upgrade and its way back on a scratch database, and have each migration ask for what it turned out to need
    #[arg(long, conflicts_with = "direction")]
    learn: bool,
    /// With --learn, the database to run on, which is changed [default: one that is made beside and dropped]
    #[arg(long, value_name = "URL", requires = "learn")]
    scratch: Option<String>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    Upgrade,
    Downgrade,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<Verdict, Failure> {
    let config = context.config()?;
    let target: Target = args.target.parse()?;
    if args.learn {
        learn::run(context, &config, &target, args.scratch.as_deref())?;
        return Ok(Verdict::Done);
    }
    let direction = direction(&target, args.direction);
    let inspection = block_on(async {
        let options = RunOptions {
            transaction: config.transaction,
            ..RunOptions::default()
        };
        let connected = context.connect(&config, options).await?;
        let inspected = connected
            .engine
            .inspect(&target, direction, config.lock_timeout);
        Ok(inspected.await?)
    })?;
    match context.report.format() {
        Format::Json => context.report.json(&inspection),
        Format::Text => forecast::print(&context.report, &inspection),
    }
    Ok(Verdict::Done)
}

fn direction(target: &Target, way: Option<Way>) -> Direction {
    match (way, target) {
        (Some(Way::Upgrade), _) => Direction::Upgrade,
        (Some(Way::Downgrade), _) => Direction::Downgrade,
        (None, target) => match (&target.anchor, target.offset) {
            (Anchor::Base, None) => Direction::Downgrade,
            (Anchor::Here, Some(steps)) if steps < 0 => Direction::Downgrade,
            _ => Direction::Upgrade,
        },
    }
}
