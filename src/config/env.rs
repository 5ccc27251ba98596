//! The pass in front of envy: it turns raw variables into text that envy can read and reports
//! what envy would pass over in silence (blank values, unknown names, unreadable bytes, secret
//! files, the variables Kubernetes adds by itself). Never reads a setting's value except to hand
//! it on, and never prints one that may be a secret.

use super::dotenv::{self, DEFAULTS, default_of};
use super::fault::Faults;
use super::known::{self, NAMES_ALL};
use super::secret::read_secret;
use super::values::unreadable;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::Path;

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// `config/default.env`.
    Default,
    /// `--env-file`.
    EnvFile,
    /// The process environment.
    Environment,
    /// A file that the `…_FILE` variable of a secret names.
    SecretFile,
    /// Another variable of the platform, named here, decides while this one is not set.
    Because(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::EnvFile => f.write_str("from --env-file"),
            Self::Environment => f.write_str("from the environment"),
            Self::SecretFile => f.write_str("from its _FILE"),
            Self::Because(name) => write!(f, "because {name} is set"),
        }
    }
}

#[derive(Clone)]
pub(super) struct Var {
    pub(super) value: String,
    pub(super) source: Source,
}

/// The environment after the first pass: trimmed, known, not blank, the defaults filled in.
#[derive(Clone)]
pub struct Env {
    vars: BTreeMap<String, Var>,
    faults: Faults,
    warnings: Vec<String>,
}

impl fmt::Debug for Env {
    /// Names only: values may be secrets.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Env")
            .field("names", &self.vars.keys())
            .field("faults", &self.faults)
            .field("warnings", &self.warnings)
            .finish()
    }
}

impl Env {
    /// Gathers the variables of a process (`std::env::vars_os()`) and of an optional env file.
    /// Reads that file and the files of secrets; what goes wrong is kept for
    /// [`Settings::read`](super::Settings::read).
    pub fn gather<I>(process: I, env_file: Option<&Path>) -> Self
    where
        I: IntoIterator<Item = (OsString, OsString)>,
    {
        let mut env = Self { vars: BTreeMap::new(), faults: Faults::default(), warnings: vec![] };
        if let Some(path) = env_file {
            env.add_file(path);
        }
        for (name, value) in process {
            env.add_process_variable(&name, &value);
        }
        env.resolve_secret_files();
        env.judge_unknown_names();
        env.let_the_platform_decide();
        for (name, value) in DEFAULTS.iter().filter(|(_, value)| !value.is_empty()) {
            env.vars
                .entry(name.clone())
                .or_insert_with(|| Var { value: value.clone(), source: Source::Default });
        }
        env
    }

    /// What was passed over but should be known, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    pub(super) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(super) fn get(&self, name: &str) -> Option<&Var> {
        self.vars.get(name)
    }

    /// Whether somebody other than `config/default.env` has set the variable.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some_and(|var| var.source != Source::Default)
    }

    /// Variables whose name starts with `prefix`, by name.
    pub(super) fn with_prefix(&self, prefix: &str) -> impl Iterator<Item = (&str, &Var)> {
        let range = self.vars.range(prefix.to_owned()..);
        let prefix = prefix.to_owned();
        range
            .take_while(move |(name, _)| name.starts_with(&prefix))
            .map(|(name, var)| (name.as_str(), var))
    }

    fn add_file(&mut self, path: &Path) {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) => {
                let shown = path.display();
                return self.faults.add("--env-file", format!("cannot read {shown}: {error}"));
            }
        };
        let parsed = dotenv::parse(&text);
        for (line, rule) in parsed.faults {
            self.faults.add("--env-file", format!("line {line} of {} {rule}", path.display()));
        }
        for (name, value) in parsed.vars {
            if known::concerns_us(&name) {
                self.set(&name, &value, Source::EnvFile);
            }
        }
    }

    fn add_process_variable(&mut self, name: &OsString, value: &OsString) {
        let Some(name) = name.to_str() else {
            let shown = name.to_string_lossy();
            if known::concerns_us(&shown) {
                self.faults.add(shown, "the name is not UTF-8");
            }
            return;
        };
        if !known::concerns_us(name) {
            return;
        }
        match value.to_str() {
            Some(value) if known::is_service_link(name, value) => {}
            Some(value) => self.set(name, value, Source::Environment),
            None => self.faults.add(name, "the value is not UTF-8"),
        }
    }

    /// A blank value is no value: it leaves in place what a lower layer says.
    fn set(&mut self, name: &str, value: &str, source: Source) {
        let value = value.trim();
        if value.is_empty() {
            return;
        }
        // The higher layer's secret replaces the lower layer's file and the other way round.
        let twin = match name.strip_suffix("_FILE") {
            Some(base) if known::is_secret(base) => Some(base.to_owned()),
            _ if known::is_secret(name) => Some(format!("{name}_FILE")),
            _ => None,
        };
        if let Some(twin) = twin
            && self.get(&twin).is_some_and(|var| var.source != source)
        {
            self.vars.remove(&twin);
        }
        self.vars.insert(name.to_owned(), Var { value: value.to_owned(), source });
    }

    fn resolve_secret_files(&mut self) {
        let files: Vec<String> = self
            .vars
            .keys()
            .filter(|name| name.strip_suffix("_FILE").is_some_and(known::is_secret))
            .cloned()
            .collect();
        for file in files {
            let base = file.strip_suffix("_FILE").unwrap_or(&file).to_owned();
            let Some(path) = self.vars.remove(&file).map(|var| var.value) else { continue };
            if self.vars.contains_key(&base) {
                self.faults.add(file, format!("is set together with {base}; set one of them"));
                continue;
            }
            match read_secret(Path::new(&path)) {
                Ok(value) => {
                    self.vars.insert(base, Var { value, source: Source::SecretFile });
                }
                Err(rule) => self.faults.add(file, format!("cannot read {path:?}: {rule}")),
            }
        }
    }

    fn judge_unknown_names(&mut self) {
        let lenient = match self.get("LENSLET_UNKNOWN_ENV") {
            Some(var) => var.value.eq_ignore_ascii_case("warn"),
            None => false,
        };
        let unknown: Vec<String> = self
            .vars
            .keys()
            .filter(|name| name.starts_with(known::PREFIX) && !known::exists(name))
            .cloned()
            .collect();
        for name in unknown {
            self.vars.remove(&name);
            let hint = match known::nearest(&name) {
                Some(nearest) => format!("there is no such setting; did you mean {nearest}?"),
                None => format!("there is no such setting; {NAMES_ALL}"),
            };
            if lenient {
                self.warnings.push(format!("{name}: {hint}"));
            } else {
                self.faults.add(name, hint);
            }
        }
    }

    /// Two settings follow the platform while nobody sets them.
    fn let_the_platform_decide(&mut self) {
        if let Some(port) = self.get("PORT").filter(|_| !self.is_set("LENSLET_LISTEN")) {
            let host = default_of("LENSLET_LISTEN").and_then(|listen| listen.rsplit_once(':'));
            if let (Ok(port), Some((host, _))) = (port.value.parse::<u16>(), host) {
                let value = format!("{host}:{port}");
                let var = Var { value, source: Source::Because("PORT") };
                self.vars.insert("LENSLET_LISTEN".to_owned(), var);
            } else {
                let rule = unreadable(&port.value, "a port: 8080");
                self.faults.add("PORT", rule);
            }
        }
        // These platforms take the CPU away once the answer is out: what runs behind it is lost.
        for platform in ["K_SERVICE", "AWS_LAMBDA_FUNCTION_NAME"] {
            if self.get(platform).is_some() && !self.is_set("LENSLET_WRITE_BACK") {
                let var = Var { value: "sync".to_owned(), source: Source::Because(platform) };
                self.vars.insert("LENSLET_WRITE_BACK".to_owned(), var);
            }
        }
        // A redirect leads to what is stored, so storing comes first.
        let redirects = self
            .get("LENSLET_ON_MISS")
            .is_some_and(|var| var.value.eq_ignore_ascii_case("redirect"));
        if redirects && !self.is_set("LENSLET_WRITE_BACK") {
            let source = Source::Because("LENSLET_ON_MISS");
            let var = Var { value: "sync".to_owned(), source };
            self.vars.insert("LENSLET_WRITE_BACK".to_owned(), var);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write as _;
    use std::os::unix::ffi::OsStringExt as _;

    fn gather(pairs: &[(&str, &str)]) -> Env {
        Env::gather(pairs.iter().map(|(n, v)| (n.into(), v.into())), None)
    }

    fn value<'a>(env: &'a Env, name: &str) -> Option<&'a str> {
        env.get(name).map(|var| var.value.as_str())
    }

    #[test]
    fn blank_is_not_set_and_values_are_trimmed() {
        let env = gather(&[("LENSLET_MAX_FRAMES", "  "), ("LENSLET_MAX_QUEUE", " 7\n")]);
        assert_eq!(value(&env, "LENSLET_MAX_FRAMES"), Some("256"));
        assert_eq!(value(&env, "LENSLET_MAX_QUEUE"), Some("7"));
        assert!(env.faults.is_empty());
    }

    #[test]
    fn an_unknown_name_is_a_fault_with_the_nearest_one() {
        let env = gather(&[("LENSLET_MAX_SOURCE_BYTE", "1"), ("HOME", "/root")]);
        let text = env.faults.to_string();
        assert!(text.starts_with("LENSLET_MAX_SOURCE_BYTE: "), "{text}");
        assert!(text.contains("did you mean LENSLET_MAX_SOURCE_BYTES?"), "{text}");
        assert_eq!(env.faults.iter().count(), 1);
    }

    #[test]
    fn an_unknown_name_is_a_warning_when_that_is_asked_for() {
        let env = gather(&[("LENSLET_FUTURE", "secret!"), ("LENSLET_UNKNOWN_ENV", "WARN")]);
        assert!(env.faults.is_empty());
        assert_eq!(env.warnings.len(), 1);
        assert!(env.warnings.iter().all(|line| line.starts_with("LENSLET_FUTURE: ")));
        assert!(!env.warnings.concat().contains("secret!"));
    }

    #[test]
    fn the_variables_kubernetes_adds_for_a_service_are_passed_over() {
        let env = gather(&[
            ("LENSLET_SERVICE_HOST", "10.0.0.1"),
            ("LENSLET_SERVICE_PORT", "80"),
            ("LENSLET_SERVICE_PORT_HTTP", "80"),
            ("LENSLET_PORT", "tcp://10.0.0.1:80"),
            ("LENSLET_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("LENSLET_PORT_80_TCP_PROTO", "tcp"),
            ("LENSLET_PORT_80_TCP_PORT", "80"),
            ("LENSLET_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("LENSLET_ADMIN_SERVICE_HOST", "10.0.0.2"),
            ("LENSLET_ADMIN_PORT", "tcp://10.0.0.2:81"),
        ]);
        assert!(env.faults.is_empty(), "{}", env.faults);
        assert_eq!(value(&env, "LENSLET_LISTEN"), Some("0.0.0.0:8080"));
    }

    #[test]
    fn a_port_a_person_wrote_is_not_passed_over() {
        let text = gather(&[("LENSLET_PORT", "9000")]).faults.to_string();
        assert!(text.starts_with("LENSLET_PORT: "), "{text}");
        assert!(text.contains("LENSLET_LISTEN"), "{text}");
    }

    #[test]
    fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "LENSLET_MAX_FRAMES=3\nLENSLET_MAX_QUEUE=4\nOTHER=x\nAWS_REGION=eu-west-1")
            .unwrap();
        let process = [("LENSLET_MAX_QUEUE".into(), "5".into())];
        let env = Env::gather(process, Some(file.path()));
        assert_eq!(value(&env, "LENSLET_MAX_FRAMES"), Some("3"));
        assert_eq!(value(&env, "LENSLET_MAX_QUEUE"), Some("5"));
        assert_eq!(value(&env, "AWS_REGION"), Some("eu-west-1"));
        assert_eq!(value(&env, "OTHER"), None);
        assert!(env.faults.is_empty(), "{}", env.faults);
    }

    #[test]
    fn an_env_file_that_is_missing_or_broken_is_a_fault_without_its_content() {
        let missing = Env::gather([], Some(Path::new("/nowhere/at.all")));
        assert!(missing.faults.to_string().starts_with("--env-file: cannot read /nowhere"));
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "A=1\nhunter2").unwrap();
        let text = Env::gather([], Some(file.path())).faults.to_string();
        assert!(text.contains("line 2"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
    }

    #[test]
    fn a_secret_may_stand_in_a_file() {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        writeln!(file, "00112233445566778899aabbccddeeff").unwrap();
        let path = file.path().to_str().unwrap();
        let env = gather(&[("LENSLET_KEYS_FILE", path)]);
        assert_eq!(value(&env, "LENSLET_KEYS"), Some("00112233445566778899aabbccddeeff"));
        assert_eq!(value(&env, "LENSLET_KEYS_FILE"), None);
        let both = gather(&[("LENSLET_KEYS_FILE", path), ("LENSLET_KEYS", "ffff")]);
        assert!(both.faults.to_string().starts_with("LENSLET_KEYS_FILE: "));
        let missing = gather(&[("LENSLET_KEYS_FILE", "/nowhere")]);
        assert!(missing.faults.to_string().starts_with("LENSLET_KEYS_FILE: cannot read"));
        let other = gather(&[("LENSLET_MAX_QUEUE_FILE", path)]);
        assert!(other.faults.to_string().starts_with("LENSLET_MAX_QUEUE_FILE: "));
    }

    #[test]
    fn bytes_that_are_not_utf8_are_a_fault_only_where_they_concern_us() {
        let broken = || OsString::from_vec(vec![0xFF, b'x']);
        let env = Env::gather(
            [("LENSLET_KEYS".into(), broken()), ("HOME".into(), broken()), (broken(), "x".into())],
            None,
        );
        assert_eq!(env.faults.to_string(), "LENSLET_KEYS: the value is not UTF-8");
    }

    #[test]
    fn the_platforms_port_is_taken_while_listen_is_not_set() {
        assert_eq!(value(&gather(&[("PORT", "9000")]), "LENSLET_LISTEN"), Some("0.0.0.0:9000"));
        let both = gather(&[("PORT", "9000"), ("LENSLET_LISTEN", "[::]:80")]);
        assert_eq!(value(&both, "LENSLET_LISTEN"), Some("[::]:80"));
        assert!(gather(&[("PORT", "http")]).faults.to_string().starts_with("PORT: "));
    }

    #[test]
    fn write_back_is_sync_where_the_platform_freezes() {
        for platform in ["K_SERVICE", "AWS_LAMBDA_FUNCTION_NAME"] {
            assert_eq!(value(&gather(&[(platform, "x")]), "LENSLET_WRITE_BACK"), Some("sync"));
            let chosen = gather(&[(platform, "x"), ("LENSLET_WRITE_BACK", "async")]);
            assert_eq!(value(&chosen, "LENSLET_WRITE_BACK"), Some("async"));
        }
        assert_eq!(value(&gather(&[]), "LENSLET_WRITE_BACK"), Some("async"));
        let redirecting = gather(&[("LENSLET_ON_MISS", "Redirect")]);
        assert_eq!(value(&redirecting, "LENSLET_WRITE_BACK"), Some("sync"));
    }

    #[test]
    fn debug_shows_no_value() {
        let shown = format!("{:?}", gather(&[("LENSLET_KEYS", "c0ffee")]));
        assert!(!shown.contains("c0ffee"));
    }
}
