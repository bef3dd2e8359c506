//! The configuration: which source wins, which values are valid, and every error.

use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::num::NonZeroU8;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use loms::config::keys::{KEYS, Key};
use loms::config::{
    Config, ConfigError, Grpc, Limits, Log, LogFormat, Loms, MaxBytes, Orders, Sources,
    StockSource, Tls,
};
use loms::grpc::service::FailedCreate;
use loms::opening_stock;
use loms::state_machine::Span;
use tempfile::TempDir;
use tracing::Level;
use tracing_subscriber::filter::{LevelFilter, Targets};

use crate::story::snapshot;

/// A working directory, and the configuration sources of a server that starts in it.
pub(crate) struct Start {
    directory: TempDir,
    file: Option<PathBuf>,
    environment: Vec<(OsString, OsString)>,
    flags: Vec<(&'static str, String)>,
}

impl Start {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self { directory, file: None, environment: Vec::new(), flags: Vec::new() }
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Writes a file, which is used only if `config` names it.
    pub(crate) fn with(self, file: &str, text: impl AsRef<[u8]>) -> Self {
        let path = self.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
        self
    }

    fn config(mut self, file: &str) -> Self {
        self.file = Some(file.into());
        self
    }

    pub(crate) fn variable(mut self, name: &str, text: &str) -> Self {
        self.environment.push((name.into(), text.into()));
        self
    }

    pub(crate) fn flag(mut self, key: &'static str, text: &str) -> Self {
        self.flags.push((key, text.to_owned()));
        self
    }

    fn sources(&self) -> Sources<'_, Vec<(OsString, OsString)>> {
        Sources {
            directory: self.path(),
            file: self.file.as_deref(),
            environment: self.environment.clone(),
            flags: &self.flags,
        }
    }

    pub(crate) fn load(&self) -> Result<Config, ConfigError> {
        Config::load(self.sources())
    }

    /// As a command that calls a server.
    pub(crate) fn load_client(&self) -> Result<Loms, ConfigError> {
        Loms::load(self.sources())
    }

    pub(crate) fn refusal(&self) -> String {
        Self::line(&self.load().unwrap_err())
    }

    pub(crate) fn client_refusal(&self) -> String {
        Self::line(&self.load_client().unwrap_err())
    }

    fn line(refusal: &ConfigError) -> String {
        let refusal = refusal.to_string();
        assert_eq!(refusal.lines().count(), 1, "{refusal:?}");
        refusal
    }
}

fn from_file(text: &str) -> Start {
    Start::new().with("loms.yaml", text).config("loms.yaml")
}

#[test]
fn defaults_are_as_documented() {
    let documented = Config {
        grpc: Grpc {
            listen: ([0, 0, 0, 0], 50051).into(),
            threads: None,
            max_connections: 4_096,
            max_concurrent_streams: 256,
            max_connection_idle: Span::from_secs(7_200),
            max_connection_age: Span::default(),
            max_connection_age_grace: Span::from_secs(30),
            stop_delay: Span::default(),
        },
        tls: Tls { cert: None, key: None, client_ca: None },
        callers: None,
        limits: Limits { calls_per_second: 0, creates_per_second: 0, open_orders: 0 },
        stock: StockSource::Embedded,
        orders: Orders {
            max_lines: 1_000,
            payment_timeout: Span::from_secs(600),
            idempotency_window: Span::from_secs(86_400),
            keep: Span::from_secs(30 * 86_400),
            keep_failed: Span::from_secs(3_600),
            retry_failed: false,
            max_bytes: MaxBytes::Half,
            failed_create: FailedCreate::Ok,
        },
        log: Log {
            level: Targets::new().with_default(LevelFilter::ERROR).with_target("loms", Level::INFO),
            format: LogFormat::Text,
        },
        unknown_variables: Vec::new(),
    };
    assert_eq!(Config::default(), documented);
    assert_eq!(Start::new().load().unwrap(), documented);
    assert_eq!(from_file("").load().unwrap(), documented);
    assert_eq!(
        from_file("# grpc:\norders:\n  # max_lines: 1\nlog: ~\n").load().unwrap(),
        documented
    );
}

#[test]
fn shipped_file_holds_every_key_at_its_default() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let no_variables: [(OsString, OsString); 0] = [];
    let shipped = Config::load(Sources {
        directory: root,
        file: None,
        environment: no_variables,
        flags: &[],
    });
    let stock = root.join("config/../data/stock-data.json");
    assert_eq!(opening_stock::load(&stock).unwrap(), opening_stock::embedded());
    let stock = StockSource::File(stock);
    assert_eq!(shipped.unwrap(), Config { stock, ..Config::default() });

    let text = fs::read_to_string(root.join("config/config.yaml")).unwrap();
    for key in &KEYS {
        let (section, name) = key.parts();
        let default = key.default.unwrap_or("../data/stock-data.json");
        let depth = section.matches('.').count() + 1;
        let indent = "  ".repeat(depth);
        let entry = format!("\n{indent}# {}\n{indent}{name}: {default}\n", key.about);
        let start = text.find(&entry).unwrap_or_else(|| panic!("missing:{entry}"));
        let mut sections = text[..start].lines().filter(|line| line.ends_with(':'));
        let (_, last) = section.rsplit_once('.').unwrap_or(("", section));
        let line = format!("{}{last}:", "  ".repeat(depth - 1));
        assert_eq!(sections.next_back().unwrap(), line, "{name}");
    }
}

/// Another value than the default of each key.
const TEXTS: [(&str, &str); 31] = [
    ("grpc.listen", "[::1]:0"),
    ("grpc.threads", "255"),
    ("grpc.max_connections", "65535"),
    ("grpc.max_concurrent_streams", "1"),
    ("grpc.max_connection_idle", "0"),
    ("grpc.max_connection_age", "1h"),
    ("grpc.max_connection_age_grace", "1m"),
    ("grpc.stop_delay", "5s"),
    ("grpc.tls.cert", "/srv/cert.pem"),
    ("grpc.tls.key", "/srv/key.pem"),
    ("grpc.tls.client_ca", "/srv/ca.pem"),
    ("loms.address", "https://loms.example:80/"),
    ("loms.ca", "/srv/loms-ca.pem"),
    ("loms.cert", "/srv/loms-cert.pem"),
    ("loms.cert_key", "/srv/loms-key.pem"),
    ("loms.token_file", "/srv/token"),
    ("auth.tokens", "/srv/callers"),
    ("limits.calls_per_second", "100"),
    ("limits.creates_per_second", "4294967295"),
    ("limits.open_orders", "3"),
    ("stock.file", "/srv/stock.json"),
    ("orders.max_lines", "65535"),
    ("orders.payment_timeout", "0"),
    ("orders.idempotency_window", "1h 30m"),
    ("orders.keep", "0"),
    ("orders.keep_failed", "7days"),
    ("orders.retry_failed", "retry"),
    ("orders.max_bytes", "512MiB"),
    ("orders.failed_create", "failed_precondition"),
    ("log.level", "warn,loms::grpc=debug"),
    ("log.format", "json"),
];

#[test]
fn every_source_sets_every_key() {
    let level =
        Targets::new().with_default(LevelFilter::WARN).with_target("loms::grpc", Level::DEBUG);
    let expected = Config {
        grpc: Grpc {
            listen: "[::1]:0".parse().unwrap(),
            threads: NonZeroU8::new(255),
            max_connections: u16::MAX,
            max_concurrent_streams: 1,
            max_connection_idle: Span::default(),
            max_connection_age: Span::from_secs(3_600),
            max_connection_age_grace: Span::from_secs(60),
            stop_delay: Span::from_secs(5),
        },
        tls: Tls {
            cert: Some("/srv/cert.pem".into()),
            key: Some("/srv/key.pem".into()),
            client_ca: Some("/srv/ca.pem".into()),
        },
        callers: Some("/srv/callers".into()),
        limits: Limits { calls_per_second: 100, creates_per_second: u32::MAX, open_orders: 3 },
        stock: StockSource::File("/srv/stock.json".into()),
        orders: Orders {
            max_lines: u16::MAX,
            payment_timeout: Span::default(),
            idempotency_window: Span::from_secs(5_400),
            keep: Span::default(),
            keep_failed: Span::from_secs(7 * 86_400),
            retry_failed: true,
            max_bytes: MaxBytes::Bytes(512 << 20),
            failed_create: FailedCreate::FailedPrecondition,
        },
        log: Log { level, format: LogFormat::Json },
        unknown_variables: Vec::new(),
    };
    let (mut file, mut environment, mut flags) = (String::new(), Start::new(), Start::new());
    let mut before = "";
    for (key, (name, text)) in KEYS.iter().zip(TEXTS) {
        assert_eq!(key.name, name);
        let (section, leaf) = key.parts();
        let indent = "  ".repeat(section.matches('.').count());
        if section != before {
            // The sections around it are those of the key before it.
            let (_, last) = section.rsplit_once('.').unwrap_or(("", section));
            writeln!(file, "{indent}{last}:").unwrap();
            before = section;
        }
        let quote = if text.starts_with('[') { "'" } else { "" };
        writeln!(file, "{indent}  {leaf}: {quote}{text}{quote}").unwrap();
        environment = environment.variable(key.variable, text);
        flags = flags.flag(key.name, text);
    }
    let client = Loms {
        address: "https://loms.example:80".to_owned(),
        ca: Some("/srv/loms-ca.pem".into()),
        cert: Some("/srv/loms-cert.pem".into()),
        cert_key: Some("/srv/loms-key.pem".into()),
        token_file: Some("/srv/token".into()),
        misspelt_variables: Vec::new(),
    };
    for start in [from_file(&file), environment, flags] {
        assert_eq!(start.load().unwrap(), expected);
        assert_eq!(start.load_client().unwrap(), client);
    }
}

/// A file with this value of a key, which is YAML itself.
pub(crate) fn yaml(key: &Key, value: &str) -> String {
    let names = key.name.rsplit('.');
    names.fold(value.to_owned(), |inner, name| format!("{{{name}: {inner}}}"))
}

#[test]
fn command_checks_only_the_keys_that_it_uses() {
    let not_utf8 = |name: &str| {
        let mut start = Start::new();
        start.environment.push((name.into(), OsString::from_vec(vec![0xff])));
        start
    };
    for key in &KEYS {
        let (section, variable) = (key.parts().0, key.variable);
        let starts = [
            from_file(&yaml(key, "''")),
            from_file(&yaml(key, "[1, 2]")),
            Start::new().variable(variable, "\n"),
            not_utf8(variable),
        ];
        // Any text is a path.
        let starts = starts.iter().filter(|start| {
            !key.expected.starts_with("the path")
                || start.environment.iter().all(|(_, text)| text != "\n")
        });
        for start in starts {
            let (server, client) = (start.load().is_ok(), start.load_client().is_ok());
            assert_eq!((server, client), (section == "loms", section != "loms"), "{}", key.name);
        }
    }
    // An unknown key and a duplicate key are errors for every command.
    for text in ["orders: {max_line: 5}", "orders: {max_lines: 5, max_lines: 5}"] {
        assert_eq!(from_file(text).refusal(), from_file(text).client_refusal());
    }
}

#[test]
fn byte_order_mark_is_no_part_of_the_file() {
    let start = from_file("\u{feff}orders: {max_lines: 2}");
    assert_eq!(start.load().unwrap().orders.max_lines, 2);
}

#[test]
fn later_sources_win() {
    let max_lines = |start: &Start| start.load().unwrap().orders.max_lines;
    let start = Start::new();
    assert_eq!(max_lines(&start), 1_000);
    let start = start.with("config/config.yaml", "orders: {max_lines: 2}");
    assert_eq!(max_lines(&start), 2);
    let start = start.with("b.yaml", "orders: {max_lines: 3}").variable("LOMS_CONFIG", "b.yaml");
    assert_eq!(max_lines(&start), 3);
    let start = start.with("c.yaml", "orders: {max_lines: 4}").config("c.yaml");
    assert_eq!(max_lines(&start), 4);
    let start = start.variable("LOMS_ORDERS_MAX_LINES", "5");
    assert_eq!(max_lines(&start), 5);
    let start = start.flag("orders.max_lines", "6");
    assert_eq!(max_lines(&start), 6);
    let start = start.flag("orders.max_lines", "7");
    assert_eq!(max_lines(&start), 7);
}

#[test]
fn stock_path_is_relative_to_its_source() {
    let file = |start: &Start, path: &str| StockSource::File(start.path().join(path));
    let start = Start::new().with("etc/loms.yaml", "stock: {file: s.json}").config("etc/loms.yaml");
    assert_eq!(start.load().unwrap().stock, file(&start, "etc/s.json"));
    let start = start.variable("LOMS_STOCK_FILE", "s.json");
    assert_eq!(start.load().unwrap().stock, file(&start, "s.json"));
    let start = start.flag("stock.file", "t/s.json");
    assert_eq!(start.load().unwrap().stock, file(&start, "t/s.json"));
    let start = start.flag("stock.file", "/s.json");
    assert_eq!(start.load().unwrap().stock, StockSource::File("/s.json".into()));
}

#[test]
fn times_are_exact_to_the_nanosecond() {
    for (text, nanos) in [
        ("0", 0),
        ("0s", 0),
        ("1ns", 1),
        ("1.5s", 1_500_000_000),
        ("90s", 90_000_000_000),
        ("1h30m", 5_400_000_000_000),
        ("1h 30m", 5_400_000_000_000),
        ("1 hour 30 minutes", 5_400_000_000_000),
        ("18446744073709551615ns", u64::MAX),
        ("18446744073s 709551615ns", u64::MAX),
    ] {
        let start = Start::new().flag("orders.payment_timeout", text);
        let timeout = start.load().unwrap().orders.payment_timeout;
        assert_eq!(timeout, Span::from_nanos(nanos), "{text}");
    }
}

#[test]
fn invalid_value_is_refused_even_if_overridden() {
    let start = from_file("orders: {max_lines: 0}").variable("LOMS_ORDERS_MAX_LINES", "5");
    assert!(start.refusal().starts_with("loms.yaml:1: orders.max_lines"), "{}", start.refusal());
    let start = Start::new().variable("LOMS_LOG_FORMAT", "xml").flag("log.format", "text");
    assert!(start.refusal().starts_with("LOMS_LOG_FORMAT: log.format"), "{}", start.refusal());
    let start = Start::new().variable("LOMS_ADDRESS", "ftp://a").flag("loms.address", "a:1");
    let refusal = start.client_refusal();
    assert!(refusal.starts_with("LOMS_ADDRESS: loms.address"), "{refusal}");
}

#[test]
fn file_errors_name_the_line() {
    let not_sections = [
        "5",
        "- grpc",
        "grpc:\n\tlisten: 0.0.0.0:1",
        "grpc: {listen: 0.0.0.0:1",
        "log: {level: *x}",
        "log: {level: info}\n---\nlog: {level: warn}",
        "grpc: 0.0.0.0:50051",
        "orders: [max_lines, 5]",
        "orders: {[max_lines]: 5}",
    ];
    let bad_keys = [
        "order:\n  max_lines: 5",
        "orders:\n  max_line: 5",
        "orders:\n  max-lines: 5",
        "orders:\n  max_lines: 5\n  listen: 0.0.0.0:1",
        "payment_timeout: 5m",
        "orders.payment_timeout: 5m",
        "grpc:\n  tls:\n    certificate: x",
        "orders: &base {max_lines: 5}\nlog: {<<: *base}",
        "log: {\"lev\\nel\": info}",
        "orders:\n  max_lines: 5\n  max_lines: 6",
        "orders:\n  max_lines: 5\nlog:\n  level: info\norders:\n  failed_create: ok",
        "orders:\n  max_lines:",
        "orders:\n  max_lines: [5]",
        "orders:\n  max_lines: {at_most: 5}",
        "orders:\n  max_lines: !!int 5",
        "orders:\n  max_lines: 0",
        "log:\n  level: 'in\x1b[1mfo'",
    ];
    let refused = |texts: &[&str]| {
        let lines = texts.iter().map(|text| {
            let shown = text.replace('\t', "\\t").replace('\x1b', "\\x1b");
            format!("{shown}\n  → {}\n", from_file(text).refusal())
        });
        lines.collect::<String>()
    };
    snapshot("config_key_refusals", &refused(&bad_keys));
    let mut page = refused(&not_sections);
    let bytes = Start::new().with("loms.yaml", b"log:\n  level: \xff").config("loms.yaml");
    writeln!(page, "log:\n  level: (a byte that is not UTF-8)\n  → {}", bytes.refusal()).unwrap();
    let named = Start::new().config("no.yaml");
    writeln!(page, "--config no.yaml\n  → {}", named.refusal()).unwrap();
    let named = Start::new().variable("LOMS_CONFIG", "no.yaml");
    writeln!(page, "LOMS_CONFIG=no.yaml\n  → {}", named.refusal()).unwrap();
    let folder = Start::new().with("config/config.yaml/x", "");
    writeln!(page, "config/config.yaml is a directory\n  → {}", folder.refusal()).unwrap();
    snapshot("config_file_refusals", &page);
}

#[test]
fn file_that_ends_early_is_not_yaml() {
    for text in [
        "orders: {",
        "orders: {max_lines: 5,",
        "orders: {max_lines:",
        "orders:\n  max_lines: '5",
        "orders:\n  max_lines: 5\n  payment_timeout",
    ] {
        let refusal = from_file(text).refusal();
        assert!(refusal.contains(": not YAML: "), "{text:?}: {refusal}");
    }
    // This is YAML: the section is the text `listen`.
    assert_eq!(
        from_file("grpc:\n  listen").refusal(),
        "loms.yaml:1: section grpc must contain `key: value` lines with the keys: listen, threads, \
         max_connections, max_concurrent_streams, max_connection_idle, max_connection_age, \
         max_connection_age_grace, stop_delay"
    );
}
