//! The command line as types. Never does anything.

use clap::{Args, Parser, Subcommand};
use std::path::PathBuf;

/// What stands below the help of every command.
const AFTER: &str = "\
Settings come from the environment, LENSLET_…; `lenslet check-config` lists them with their values.
Exit codes: 0 done, 1 failed, 64 wrong command line, 78 wrong environment.";

/// The whole command line.
#[derive(Debug, Parser)]
#[command(
    name = "lenslet",
    about = "Image URLs in, the right bytes out, kept in your bucket for the next request",
    after_help = AFTER,
    disable_help_subcommand = true,
)]
pub(super) struct Cli {
    /// Read settings from this file too; the environment wins over it
    #[arg(long, global = true, value_name = "PATH")]
    pub(super) env_file: Option<PathBuf>,

    /// Print the version of lenslet and of every codec
    #[arg(long, short = 'V')]
    pub(super) version: bool,

    #[command(subcommand)]
    pub(super) command: Option<Command>,
}

/// What to do; nothing said means serve.
#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Serve images (the default)
    Serve,
    /// Transform one file, without a server
    Render(RenderArgs),
    /// Measure decode, resize and encode of one file apart, in CPU time of this machine
    Measure(MeasureArgs),
    /// Show how a URL is understood: parameters, canonical form, key, object path
    Explain(ExplainArgs),
    /// Sign a path or URL
    Sign(SignArgs),
    /// Make a signing key
    Keygen,
    /// Print the effective configuration and everything that is wrong with it
    CheckConfig(CheckConfigArgs),
    /// Ask a running server whether it is alive; for container health checks
    Health,
    /// Draw the sample pictures of `make run` into a folder
    #[command(hide = true)]
    Samples(SamplesArgs),
}

/// `lenslet render IN 'w=300&f=webp' -o OUT`.
#[derive(Debug, Clone, Args)]
pub struct RenderArgs {
    /// The original
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The parameters, as behind the ? of a URL
    #[arg(value_name = "PARAMETERS")]
    pub parameters: String,
    /// Where the result goes
    #[arg(long, short, value_name = "OUT")]
    pub output: PathBuf,
}

/// `lenslet measure IN 'w=800'`.
#[derive(Debug, Clone, Args)]
pub struct MeasureArgs {
    /// The original
    #[arg(value_name = "IN")]
    pub input: PathBuf,
    /// The parameters, as behind the ? of a URL
    #[arg(value_name = "PARAMETERS")]
    pub parameters: String,
    /// How often each part is done; the median is told
    #[arg(long, value_name = "N", default_value_t = 9)]
    pub rounds: u32,
}

/// `lenslet explain URL`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A path with its query, such as '/cat.jpg?w=300', or a whole URL
    #[arg(value_name = "URL")]
    pub url: String,
}

/// `lenslet sign TARGET`.
#[derive(Debug, Clone, Args)]
pub(super) struct SignArgs {
    /// A path with its query, such as '/cat.jpg?w=300', or a whole URL
    #[arg(value_name = "TARGET")]
    pub(super) target: String,
    /// Sign with this key instead of the first of LENSLET_KEYS
    #[arg(long, value_name = "HEX")]
    pub(super) key: Option<String>,
}

/// `lenslet samples DIR`.
#[derive(Debug, Clone, Args)]
pub(super) struct SamplesArgs {
    /// The folder, made where it is missing
    #[arg(value_name = "DIR")]
    pub(super) folder: PathBuf,
}

/// `lenslet check-config`.
#[derive(Debug, Clone, Args)]
pub(super) struct CheckConfigArgs {
    /// Also talk to the stores (not supported in this version)
    #[arg(long, hide = true)]
    pub(super) probe: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn nothing_said_means_serve_and_the_env_file_may_stand_anywhere() {
        let cli = Cli::try_parse_from(["lenslet"]).unwrap();
        assert!(cli.command.is_none() && !cli.version);
        for args in [
            ["lenslet", "--env-file", "a.env", "check-config"],
            ["lenslet", "check-config", "--env-file", "a.env"],
        ] {
            let cli = Cli::try_parse_from(args).unwrap();
            assert_eq!(cli.env_file.as_deref(), Some("a.env".as_ref()));
            assert!(matches!(cli.command, Some(Command::CheckConfig(_))));
        }
    }

    #[test]
    fn render_takes_a_file_a_wish_and_a_place() {
        let args = ["lenslet", "render", "in.jpg", "w=300&f=webp", "-o", "out.webp"];
        let Some(Command::Render(render)) = Cli::try_parse_from(args).unwrap().command else {
            panic!("not render");
        };
        assert_eq!(render.parameters, "w=300&f=webp");
        assert_eq!(render.output, PathBuf::from("out.webp"));
        assert!(Cli::try_parse_from(["lenslet", "render", "in.jpg"]).is_err());
    }
}
