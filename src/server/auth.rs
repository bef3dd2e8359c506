//! Roles: who may make which call. A caller proves who it is by a token or by its certificate.

use std::fmt;
use std::fs;
use std::path::Path;

use ring::digest::{SHA256, digest};
use subtle::ConstantTimeEq;
use tonic::Status;
use tonic::codegen::http::HeaderMap;
use tonic::codegen::http::header::AUTHORIZATION;

use super::rates::Buckets;
use crate::grpc::status;

/// What a caller may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// The five calls.
    Cart,
    /// The calls that read, and reflection.
    Reader,
    /// Everything.
    Admin,
}

impl Role {
    const ALL: [Self; 3] = [Self::Cart, Self::Reader, Self::Admin];
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Cart => "cart",
            Self::Reader => "reader",
            Self::Admin => "admin",
        })
    }
}

/// Who may make a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allowed {
    Everybody,
    Roles(&'static [Role]),
}

/// The calls by the start of their paths. All others are for admins.
const CALLS: [(&str, Allowed); 7] = [
    ("/grpc.health.v1.Health/", Allowed::Everybody),
    ("/grpc.reflection.", Allowed::Roles(&[Role::Reader])),
    ("/loms.LOMS/OrderCreate", Allowed::Roles(&[Role::Cart])),
    ("/loms.LOMS/OrderInfo", Allowed::Roles(&[Role::Cart, Role::Reader])),
    ("/loms.LOMS/OrderPay", Allowed::Roles(&[Role::Cart])),
    ("/loms.LOMS/OrderCancel", Allowed::Roles(&[Role::Cart])),
    ("/loms.LOMS/StocksInfo", Allowed::Roles(&[Role::Cart, Role::Reader])),
];

fn allowed(path: &str) -> Allowed {
    let is_of = |(start, _): &&(&str, Allowed)| {
        path.strip_prefix(start).is_some_and(|rest| rest.is_empty() || start.ends_with(['/', '.']))
    };
    CALLS.iter().find(is_of).map_or(Allowed::Roles(&[]), |(_, allowed)| *allowed)
}

/// Whether everybody may make this call, as often as they like.
pub(super) fn is_open(path: &str) -> bool {
    allowed(path) == Allowed::Everybody
}

/// Whether this call places an order.
pub(super) fn is_create(path: &str) -> bool {
    path == "/loms.LOMS/OrderCreate"
}

/// How a caller proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Proof {
    /// The SHA-256 of its token.
    Token([u8; 32]),
    /// A name in its certificate.
    Certificate(String),
}

/// A caller that is known.
#[derive(Debug)]
pub(super) struct Caller {
    pub(super) name: String,
    role: Role,
    proof: Proof,
    /// They are full again after a reload.
    pub(super) buckets: Buckets,
}

/// The known callers: the file of `auth.tokens`.
#[derive(Debug)]
pub(super) struct Callers(Vec<Caller>);

impl Callers {
    /// Reads the file. The error names the key, the file, the line and what is expected.
    pub(super) fn read(file: &Path) -> Result<Self, String> {
        let refuse =
            |problem: &dyn fmt::Display| format!("auth.tokens: {}{problem}", file.display());
        let text = fs::read_to_string(file).map_err(|error| refuse(&format_args!(": {error}")))?;
        Self::parse(&text).map_err(|(line, problem)| refuse(&format_args!(":{line}: {problem}")))
    }

    fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut callers: Vec<Caller> = Vec::new();
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let caller = parse_line(line).map_err(|problem| (number, problem))?;
            if callers.iter().any(|other| other.proof == caller.proof) {
                let problem = "the same token or certificate as in an earlier line; keep one";
                return Err((number, problem.to_owned()));
            }
            callers.push(caller);
        }
        Ok(Self(callers))
    }

    /// The caller with this token. It takes the same time for every token.
    fn by_token(&self, token: &[u8]) -> Option<&Caller> {
        let token = digest(&SHA256, token);
        let mut found = None;
        for caller in &self.0 {
            if let Proof::Token(known) = &caller.proof
                && known[..].ct_eq(token.as_ref()).into()
            {
                found = Some(caller);
            }
        }
        found
    }

    /// The caller with one of these names of its certificate.
    fn by_names(&self, names: &[String]) -> Option<&Caller> {
        let is_named = |caller: &&Caller| match &caller.proof {
            Proof::Certificate(name) => names.contains(name),
            Proof::Token(_) => false,
        };
        self.0.iter().find(is_named)
    }

    /// The caller, if it may make the call; otherwise the refusal. `names` are those of its
    /// certificate, which has been verified.
    pub(super) fn admit(
        &self,
        path: &str,
        headers: &HeaderMap,
        names: &[String],
    ) -> Result<&Caller, Status> {
        let Allowed::Roles(roles) = allowed(path) else { unreachable!("everybody may make it") };
        let caller = match headers.get(AUTHORIZATION) {
            Some(header) => {
                let token = bearer(header.as_bytes()).ok_or_else(status::no_credentials)?;
                self.by_token(token).ok_or_else(status::unknown_credentials)?
            }
            None if names.is_empty() => return Err(status::no_credentials()),
            None => self.by_names(names).ok_or_else(status::unknown_credentials)?,
        };
        if caller.role == Role::Admin || roles.contains(&caller.role) {
            Ok(caller)
        } else {
            Err(status::role_not_allowed(&caller.name, &caller.role.to_string(), path))
        }
    }
}

/// The token of `Bearer TOKEN`.
fn bearer(header: &[u8]) -> Option<&[u8]> {
    const SCHEME: &[u8] = b"bearer ";
    let (scheme, token) = header.split_at_checked(SCHEME.len())?;
    scheme.eq_ignore_ascii_case(SCHEME).then_some(token.trim_ascii())
}

/// What a line looks like.
const EXPECTED: &str = "expected NAME ROLE sha256:DIGEST or NAME ROLE certificate:NAME";

fn parse_line(line: &str) -> Result<Caller, String> {
    fn word(line: &str) -> Option<(&str, &str)> {
        line.split_once(char::is_whitespace)
    }
    let (name, rest) = word(line).ok_or(EXPECTED)?;
    // The rest is one proof: the name in a certificate may have spaces.
    let (role, proof) = word(rest.trim_start()).ok_or(EXPECTED)?;
    let proof = proof.trim_start();
    let Some(role) = Role::ALL.into_iter().find(|known| known.to_string() == role) else {
        return Err(format!("unknown role {role:?}; expected cart, reader or admin"));
    };
    let proof = match proof.split_once(':') {
        Some(("sha256", hex)) => Proof::Token(parse_digest(hex).ok_or(
            "the digest of a token has 64 hex digits, such as those that sha256sum prints",
        )?),
        Some(("certificate", name)) if !name.is_empty() => Proof::Certificate(name.to_owned()),
        Some(_) | None => return Err(EXPECTED.to_owned()),
    };
    Ok(Caller { name: name.to_owned(), role, proof, buckets: Buckets::default() })
}

fn parse_digest(hex: &str) -> Option<[u8; 32]> {
    if hex.len() != 64 || !hex.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (byte, digits) in digest.iter_mut().zip(hex.as_bytes().chunks(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use tonic::Code;

    use super::*;

    /// The SHA-256 of `secret`.
    const SECRET: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

    fn admit(callers: &Callers, path: &str, header: &str, names: &[&str]) -> Result<(), Code> {
        let mut headers = HeaderMap::new();
        if !header.is_empty() {
            headers.insert(AUTHORIZATION, header.parse().unwrap());
        }
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        callers.admit(path, &headers, &names).map(drop).map_err(|refused| refused.code())
    }

    #[test]
    fn role_decides_which_calls_are_allowed() {
        let orders =
            ["OrderCreate", "OrderPay", "OrderCancel"].map(|call| format!("/loms.LOMS/{call}"));
        let reads = ["OrderInfo", "StocksInfo"].map(|call| format!("/loms.LOMS/{call}"));
        let reflection = "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo".to_owned();
        let others =
            ["/loms.LOMS/OrderCreate2".to_owned(), "/loms.LOMS/".to_owned(), "/".to_owned()];
        let all = [&orders[..], &reads[..], std::slice::from_ref(&reflection), &others].concat();
        assert!(is_open("/grpc.health.v1.Health/Check"));
        assert!(!all.iter().any(|path| is_open(path)));
        let rules = [
            ("cart", [&orders[..], &reads[..]].concat()),
            ("reader", [&reads[..], &[reflection]].concat()),
            ("admin", all.clone()),
        ];
        for (role, allowed) in rules {
            let callers = Callers::parse(&format!("name {role} sha256:{SECRET}")).unwrap();
            for path in &all {
                let expected =
                    if allowed.contains(path) { Ok(()) } else { Err(Code::PermissionDenied) };
                assert_eq!(admit(&callers, path, "Bearer secret", &[]), expected, "{role} {path}");
                assert_eq!(admit(&callers, path, "", &[]), Err(Code::Unauthenticated), "{path}");
            }
        }
    }

    #[test]
    fn token_or_certificate_names_the_caller() {
        let text = format!("# who\n\nshop cart sha256:{SECRET}\nops  admin certificate:Ops Team\n");
        let callers = Callers::parse(&text).unwrap();
        let call = |header, names: &[&str]| admit(&callers, "/loms.LOMS/OrderPay", header, names);
        let refused = Err(Code::Unauthenticated);
        for header in ["Bearer secret", "bearer secret", "BEARER  secret "] {
            assert_eq!(call(header, &[]), Ok(()), "{header}");
        }
        for header in ["Bearer Secret", "Bearer ", "Bearer", "secret", "Basic secret"] {
            assert_eq!(call(header, &[]), refused, "{header}");
        }
        assert_eq!(call("", &["x", "Ops Team"]), Ok(()));
        assert_eq!(call("", &["Ops"]), refused);
        // A wrong token is not repaired by a certificate.
        assert_eq!(call("Bearer wrong", &["Ops Team"]), refused);
    }

    #[test]
    fn wrong_line_is_refused_by_number() {
        let token = format!("a cart sha256:{SECRET}");
        for (text, line, problem) in [
            ("a cart", 1, EXPECTED),
            ("# x\na cart secret", 2, EXPECTED),
            ("a cart certificate:", 1, EXPECTED),
            ("a boss sha256:", 1, "unknown role \"boss\"; expected cart, reader or admin"),
            (
                &token[..token.len() - 1],
                1,
                "the digest of a token has 64 hex digits, such as those that sha256sum prints",
            ),
            (
                &format!("{token}\n{token}"),
                2,
                "the same token or certificate as in an earlier line; keep one",
            ),
        ] {
            let refused = Callers::parse(text).unwrap_err();
            assert_eq!(refused, (line, problem.to_owned()), "{text}");
        }
    }
}
