//! `lenslet purge`: orders a purge of a running service and prints its receipt. Never touches a
//! store itself: the service does, and knows what is under way.

use super::args::PurgeArgs;
use super::health::reachable;
use super::{CONFIG, FAILED, USAGE, out, refuse};
use crate::config::{Env, Http, Pods, Token, secret_of};
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::process::ExitCode;
use std::time::Duration;

/// For a connection; the purge itself may take as long as the store takes.
const CONNECT: Duration = Duration::from_secs(5);

/// Exit 0 if all of it was done, 1 if not, 64 for a wrong order, 78 without a token.
pub(super) fn run(args: &PurgeArgs, env: &Env) -> ExitCode {
    let token = match token(args, env) {
        Ok(token) => token,
        Err(code) => return code,
    };
    let admin = match &args.admin {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => match Http::read(env) {
            Ok(http) => format!("http://{}", reachable(http.admin_listen)),
            Err(faults) => return refuse(&faults),
        },
    };
    match ask(&admin, &order(args), &token) {
        Ok((200 | 502, Ok(receipt))) => {
            out::say(&told(&receipt));
            let complete = receipt.get("complete") == Some(&Value::Bool(true));
            if complete { ExitCode::SUCCESS } else { ExitCode::from(FAILED) }
        }
        Ok((status, Ok(answer))) => {
            out::complain(&format!("{admin}/purge answered {status}: {answer}"));
            ExitCode::from(FAILED)
        }
        Ok((status, Err(text))) => {
            out::complain(&format!("{admin}/purge answered {status}: {}", text.trim()));
            // The order was understood to be wrong, as against refused or failed.
            ExitCode::from(if status == 400 { USAGE } else { FAILED })
        }
        Err(error) => {
            out::complain(&format!("{admin}/purge: {error}"));
            ExitCode::from(FAILED)
        }
    }
}

fn token(args: &PurgeArgs, env: &Env) -> Result<Token, ExitCode> {
    if let Some(file) = &args.token_file {
        let read = secret_of(file).and_then(|text| text.parse());
        return read.map_err(|error| {
            out::complain(&format!("{}: {error}", file.display()));
            ExitCode::from(CONFIG)
        });
    }
    let pods = Pods::read(env).map_err(|faults| refuse(&faults))?;
    pods.admin_token.ok_or_else(|| {
        out::complain("LENSLET_ADMIN_TOKEN is not set: set it, or name a file by --token-file");
        ExitCode::from(CONFIG)
    })
}

fn order(args: &PurgeArgs) -> Value {
    let scope = &args.scope;
    match (&scope.source, &scope.prefix, &scope.variant) {
        (Some(source), _, _) => json!({ "source": source }),
        (_, Some(prefix), _) => json!({ "prefix": prefix }),
        (_, _, Some(variant)) => json!({ "variant": variant }),
        _ => json!({ "all": true }),
    }
}

type Answer = (u16, Result<Value, String>);

/// Posts the order; the body as JSON, or as it came.
fn ask(admin: &str, order: &Value, token: &Token) -> Result<Answer, String> {
    let text = |error: reqwest::Error| {
        let mut cause: &dyn std::error::Error = &error;
        while let Some(source) = cause.source() {
            cause = source;
        }
        cause.to_string()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| error.to_string())?;
    runtime.block_on(async {
        crate::origin::install_tls();
        let client = reqwest::Client::builder()
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(CONNECT)
            .build()
            .map_err(text)?;
        let answer = client
            .post(format!("{admin}/purge"))
            .bearer_auth(token.expose())
            .header(reqwest::header::CONTENT_TYPE, "application/json")
            .body(order.to_string())
            .send()
            .await
            .map_err(text)?;
        let status = answer.status().as_u16();
        let body = answer.text().await.map_err(text)?;
        let json = serde_json::from_str::<Value>(&body);
        Ok((status, json.ok().filter(Value::is_object).ok_or(body)))
    })
}

/// A receipt in lines.
fn told(receipt: &Value) -> String {
    let text = |value: &Value, name: &str| match value.get(name) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let of = |name: &str| text(receipt, name);
    let mut lines = String::new();
    let done = if of("complete") == "true" { "purged" } else { "NOT COMPLETE" };
    // Writing to a String cannot fail.
    let _ = writeln!(lines, "{done} {} in {} ms", of("scope"), of("duration_ms"));
    let _ = writeln!(
        lines,
        "memory     {} variants, {} decoded, {} originals, {} flights",
        of("memory"),
        of("decoded"),
        of("originals"),
        of("flights")
    );
    if of("unsettled") != "0" {
        let _ = writeln!(lines, "unsettled  {} writes under way", of("unsettled"));
    }
    if let Some(store @ Value::Object(_)) = receipt.get("store") {
        let (listed, deleted) = (text(store, "listed"), text(store, "deleted"));
        let _ = writeln!(
            lines,
            "store      {deleted} of {listed} objects deleted, {} failed {}",
            text(store, "failed"),
            text(store, "error")
        );
    }
    for peer in receipt.get("peers").and_then(Value::as_array).into_iter().flatten() {
        let _ = writeln!(
            lines,
            "pod        {} {}: {} variants, {} flights {}",
            text(peer, "address"),
            text(peer, "status"),
            text(peer, "memory"),
            text(peer, "flights"),
            text(peer, "error")
        );
    }
    let tags = receipt.get("tags").and_then(Value::as_array).into_iter().flatten();
    let tags: Vec<&str> = tags.filter_map(Value::as_str).collect();
    let _ = writeln!(lines, "CDN tags   {}", tags.join(" "));
    if let Some(webhook @ Value::Object(_)) = receipt.get("webhook") {
        let _ = writeln!(
            lines,
            "webhook    {} after {} attempts {}",
            if text(webhook, "taken") == "true" { "taken" } else { "NOT TAKEN" },
            text(webhook, "attempts"),
            text(webhook, "error")
        );
    }
    if let Some(second @ Value::Object(_)) = receipt.get("second_pass") {
        let _ = writeln!(lines, "then       again in {} s", text(second, "after_seconds"));
    }
    lines.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_is_told_in_lines_and_what_is_missing_in_capitals() {
        let receipt = json!({
            "complete": false,
            "scope": {"source": "@default/cat.jpg"},
            "memory": 3, "decoded": 2, "originals": 1, "flights": 1, "unsettled": 2, "duration_ms": 12,
            "store": {"listed": 5, "deleted": 4, "failed": 1, "error": "refused"},
            "peers": [{"address": "10.0.0.7:81", "status": "failed", "memory": 0, "flights": 0,
                       "error": "no answer in time"}],
            "tags": ["src-1", "lenslet"],
            "webhook": {"taken": false, "attempts": 3, "status": 500},
            "second_pass": {"after_seconds": 16, "tells_pods": true},
        });
        assert_eq!(
            told(&receipt),
            "NOT COMPLETE {\"source\":\"@default/cat.jpg\"} in 12 ms\n\
             memory     3 variants, 2 decoded, 1 originals, 1 flights\n\
             unsettled  2 writes under way\n\
             store      4 of 5 objects deleted, 1 failed refused\n\
             pod        10.0.0.7:81 failed: 0 variants, 0 flights no answer in time\n\
             CDN tags   src-1 lenslet\n\
             webhook    NOT TAKEN after 3 attempts\n\
             then       again in 16 s"
        );
    }
}
