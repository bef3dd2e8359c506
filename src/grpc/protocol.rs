//! The rules of gRPC over HTTP/2 for a request: its method, its content type, its timeout.

use std::time::Duration;

use tonic::body::Body;
use tonic::codegen::http::{
    HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, header,
};
use tonic::{Code, Status};

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// The refusal of a request that is not gRPC; `None` for gRPC. The HTTP status is not 200, so that
/// other HTTP clients do not take the refusal for a success.
#[must_use]
pub fn refuse<B>(request: &Request<B>) -> Option<Response<Body>> {
    let content_type = request.headers().get(header::CONTENT_TYPE);
    if request.method() != Method::POST {
        let status = Status::internal(format!("the method must be POST, not {}", request.method()));
        let mut refusal = http_error(StatusCode::METHOD_NOT_ALLOWED, status);
        refusal.headers_mut().insert(header::ALLOW, HeaderValue::from_static("POST"));
        return Some(refusal);
    }
    if content_type.is_some_and(|value| is_grpc(value.as_bytes())) {
        return None;
    }
    let message = "the content type must be application/grpc or application/grpc+proto";
    let status = Status::new(Code::InvalidArgument, message);
    Some(http_error(StatusCode::UNSUPPORTED_MEDIA_TYPE, status))
}

fn http_error(code: StatusCode, status: Status) -> Response<Body> {
    let mut response = status.into_http();
    *response.status_mut() = code;
    response
}

/// Whether this content type is gRPC with Protobuf, with or without parameters.
fn is_grpc(content_type: &[u8]) -> bool {
    const GRPC: &[u8] = b"application/grpc";
    let Some((start, rest)) = content_type.split_at_checked(GRPC.len()) else { return false };
    let is_proto = |format: &[u8]| format.is_empty() || format.eq_ignore_ascii_case(b"+proto");
    let format = rest.split(|&byte| byte == b';').next().unwrap_or_default();
    start.eq_ignore_ascii_case(GRPC) && is_proto(format.trim_ascii_end())
}

/// How long the client waits for the answer, from `grpc-timeout`: at most eight digits and a unit.
/// `None` if there is no such header: the client sets no limit.
///
/// # Errors
/// The header is invalid.
pub(super) fn timeout(headers: &HeaderMap) -> Result<Option<Duration>, Status> {
    let Some(value) = headers.get(GRPC_TIMEOUT) else { return Ok(None) };
    let malformed = || Status::internal("malformed grpc-timeout");
    let (unit, digits) = value.as_bytes().split_last().ok_or_else(malformed)?;
    if !(1..=8).contains(&digits.len()) || !digits.iter().all(u8::is_ascii_digit) {
        return Err(malformed());
    }
    let decimal = |value: u64, digit: &u8| value * 10 + u64::from(digit - b'0');
    let value = digits.iter().fold(0, decimal);
    Ok(Some(match unit {
        b'H' => Duration::from_secs(value * 3_600),
        b'M' => Duration::from_secs(value * 60),
        b'S' => Duration::from_secs(value),
        b'm' => Duration::from_millis(value),
        b'u' => Duration::from_micros(value),
        b'n' => Duration::from_nanos(value),
        _ => return Err(malformed()),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_type_is_grpc_with_protobuf() {
        for good in [
            "application/grpc",
            "application/grpc+proto",
            "Application/GRPC",
            "application/grpc;charset=utf-8",
            "application/grpc+proto ; a=b",
        ] {
            assert!(is_grpc(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            "text/plain",
            "application/grp",
            "application/grpc-web",
            "application/grpc+json",
            "application/grpcproto",
            "application/json",
        ] {
            assert!(!is_grpc(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn timeout_has_up_to_eight_digits_and_a_unit() {
        let parse = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert("grpc-timeout", HeaderValue::from_static(text));
            timeout(&headers).map_err(|refused| refused.code())
        };
        let nanos = |nanos| Ok(Some(Duration::from_nanos(nanos)));
        assert_eq!(parse("0n"), nanos(0));
        assert_eq!(parse("1n"), nanos(1));
        assert_eq!(parse("20u"), nanos(20_000));
        assert_eq!(parse("300m"), nanos(300_000_000));
        assert_eq!(parse("4S"), nanos(4_000_000_000));
        assert_eq!(parse("5M"), nanos(300_000_000_000));
        assert_eq!(parse("99999999H"), Ok(Some(Duration::from_secs(99_999_999 * 3_600))));
        for bad in ["", "n", "1", "1s", "-1S", "+1S", " 1S", "1.5S", "123456789n", "1 S", "0x1n"] {
            assert_eq!(parse(bad), Err(Code::Internal), "{bad:?}");
        }
        assert_eq!(timeout(&HeaderMap::new()).unwrap(), None);
    }
}
