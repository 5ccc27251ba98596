//! The S3 wire server of the tests as a process, for scripts: objects on one port, journal and
//! faults on another. Never used by the product.
//!
//! `s3wire --dir DIR [--port 0] [--control-port 0] [--access-key K] [--secret-key S]` prints
//! `listening on 127.0.0.1:PORT` and `journal on 127.0.0.1:PORT`. It ends with SIGTERM, or when
//! its standard input is a pipe and its writer goes away.
//!
//! Control: `GET /journal` (JSON lines), `DELETE /journal`, `DELETE /fault`, and
//! `POST /fault?path=cat&method=GET&times=2&delay_ms=100&act=status:503` with act one of `pass`,
//! `status:N`, `cut:BYTES`, `stall:BYTES`, `put-lost`, `put-stored:N`.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command of the tests")]

mod server;

use clap::Parser;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use server::{ACCESS_KEY, Act, Fault, S3Wire, SECRET_KEY, Setup, Shared};
use std::convert::Infallible;
use std::future::ready;
use std::io::{self, Read, Write};
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

/// A folder served as S3 buckets on loopback.
#[derive(Debug, Parser)]
struct Arguments {
    /// The folder whose subfolders are the buckets.
    #[arg(long)]
    dir: PathBuf,
    /// Port of the objects; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Port of the journal; 0 takes a free one.
    #[arg(long, default_value_t = 0)]
    control_port: u16,
    /// The only access key admitted.
    #[arg(long, default_value = ACCESS_KEY)]
    access_key: String,
    /// Its secret.
    #[arg(long, default_value = SECRET_KEY)]
    secret_key: String,
    /// A bucket to make if missing; may be repeated.
    #[arg(long)]
    bucket: Vec<String>,
}

fn main() -> ExitCode {
    match run(Arguments::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("s3wire: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: Arguments) -> io::Result<()> {
    let Arguments { dir: root, port, control_port, access_key, secret_key, bucket } = arguments;
    let wire = S3Wire::start_with(Setup { root, port, access_key, secret_key })?;
    for bucket in &bucket {
        wire.make_bucket(bucket)?;
    }
    let control = std::net::TcpListener::bind(("127.0.0.1", control_port))?;
    control.set_nonblocking(true)?;
    println!("listening on {}", wire.addr());
    println!("journal on {}", control.local_addr()?);
    io::stdout().flush()?;

    end_with_parent();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let control = tokio::net::TcpListener::from_std(control)?;
        loop {
            let (socket, _) = control.accept().await?;
            let shared = wire.shared();
            tokio::spawn(async move {
                let answer = service_fn(move |request| {
                    ready(Ok::<_, Infallible>(answer(&shared, &request)))
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(socket), answer)
                    .await;
            });
        }
    })
}

/// Ends the process once nobody can write to its standard input any more. Only for pipes: a
/// shell gives `/dev/null` to what it puts in the background, which is at its end at once.
fn end_with_parent() {
    let piped = std::fs::metadata("/dev/stdin").is_ok_and(|m| m.file_type().is_fifo());
    if piped {
        std::thread::spawn(|| {
            let mut sink = [0; 512];
            while io::stdin().read(&mut sink).is_ok_and(|n| n > 0) {}
            #[allow(clippy::exit, reason = "nothing is left to be told or saved")]
            std::process::exit(0);
        });
    }
}

fn answer(shared: &Shared, request: &Request<Incoming>) -> Response<String> {
    let (status, body) = match (request.method(), request.uri().path()) {
        (&Method::GET, "/journal") => (StatusCode::OK, shared.journal.lines()),
        (&Method::DELETE, "/journal") => {
            shared.journal.clear();
            (StatusCode::OK, String::new())
        }
        (&Method::POST, "/fault") => match fault(request.uri().query().unwrap_or("")) {
            Ok(fault) => {
                shared.fault(fault);
                (StatusCode::OK, String::new())
            }
            Err(error) => (StatusCode::BAD_REQUEST, error + "\n"),
        },
        (&Method::DELETE, "/fault") => {
            shared.clear_faults();
            (StatusCode::OK, String::new())
        }
        _ => (StatusCode::NOT_FOUND, "GET or DELETE /journal, POST or DELETE /fault\n".to_owned()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// Reads a fault off a query string.
fn fault(query: &str) -> Result<Fault, String> {
    let mut fault = Fault::new("", Act::Pass);
    for pair in query.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = percent_encoding::percent_decode_str(value).decode_utf8_lossy().into_owned();
        let number =
            |text: &str| text.parse::<u64>().map_err(|_| format!("{name}: {text:?} is no number"));
        match name {
            "path" => fault.path = value,
            "method" => fault.method = Some(value),
            "times" => fault.times = Some(u32::try_from(number(&value)?).unwrap_or(u32::MAX)),
            "delay_ms" => fault.delay = Duration::from_millis(number(&value)?),
            "act" => {
                let (act, argument) = value.split_once(':').unwrap_or((&value, ""));
                let status = || {
                    u16::try_from(number(argument)?)
                        .map_err(|_| format!("{argument:?} is no status"))
                };
                fault.act = match act {
                    "pass" => Act::Pass,
                    "status" => Act::Status(status()?),
                    "cut" => Act::Cut(number(argument)?),
                    "stall" => Act::Stall(number(argument)?),
                    "put-lost" => Act::PutLost,
                    "put-stored" => Act::PutStored(status()?),
                    other => return Err(format!("act: {other:?} is unknown")),
                };
            }
            other => return Err(format!("{other:?} is unknown")),
        }
    }
    Ok(fault)
}
