//! The rules of the client's retries, deadlines and pauses, over many random options and scripts:
//! every call is compared with what its options allow. tokio's paused clock advances only when
//! every task waits, so the times are exact to a millisecond, the resolution of tokio's timers.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use loms::client::{Client, ClientError, Code, Item, Options};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use tokio::time::Instant;
use tonic::Status;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::codegen::{Body as HttpBody, Bytes, StdError};
use tonic_types::{ErrorDetails, StatusExt};

use crate::scripted_server::{ScriptedServer, Step};

const MS: Duration = Duration::from_millis(1);
const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// What a client may call over.
trait Transport:
    Clone
    + GrpcService<
        Body,
        Error: Into<StdError>,
        ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
    >
{
}

impl<T> Transport for T where
    T: Clone
        + GrpcService<
            Body,
            Error: Into<StdError>,
            ResponseBody: HttpBody<Data = Bytes, Error: Into<StdError> + Send> + Send + 'static,
        >
{
}

fn status(code: Code, message: &str, retry_delay: Option<Duration>) -> Step {
    let mut details = ErrorDetails::new();
    details.set_retry_info(retry_delay);
    Step::Refuse(match retry_delay {
        Some(_) => Status::with_error_details(code, message, details),
        None => Status::new(code, message),
    })
}

/// Calls one of the five methods.
async fn call(client: &Client<impl Transport>, method: usize) -> Result<(), ClientError> {
    match method % 5 {
        0 => client.create(7, &[Item { sku: 1002, count: 2 }], None).await.map(drop),
        1 => client.order(1).await.map(drop),
        2 => client.pay(1).await,
        3 => client.cancel(1).await,
        _ => client.stock(3).await.map(|units| assert_eq!(units, 300)),
    }
}

/// All codes, and what the client makes of each.
const CODES: [(&str, Verdict); 17] = [
    // tonic reports an OK without a message as INTERNAL.
    ("INTERNAL", Verdict::Refused),
    ("CANCELLED", Verdict::TooLate),
    ("UNKNOWN", Verdict::Refused),
    ("INVALID_ARGUMENT", Verdict::Refused),
    ("DEADLINE_EXCEEDED", Verdict::TooLate),
    ("NOT_FOUND", Verdict::Refused),
    ("ALREADY_EXISTS", Verdict::Refused),
    ("PERMISSION_DENIED", Verdict::Refused),
    ("RESOURCE_EXHAUSTED", Verdict::Refused),
    ("FAILED_PRECONDITION", Verdict::Refused),
    ("ABORTED", Verdict::Refused),
    ("OUT_OF_RANGE", Verdict::Refused),
    ("UNIMPLEMENTED", Verdict::Refused),
    ("INTERNAL", Verdict::Refused),
    ("UNAVAILABLE", Verdict::Retried),
    ("DATA_LOSS", Verdict::Refused),
    ("UNAUTHENTICATED", Verdict::Refused),
];

#[derive(Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Retried,
    Refused,
    TooLate,
}

async fn check_codes<T: Transport>(server: &ScriptedServer, client: &Client<T>) {
    for (number, (name, verdict)) in (0..).zip(CODES) {
        for (method, retry_delay) in (0..5).flat_map(|method| [(method, None), (method, Some(MS))])
        {
            let before = server.calls().len();
            server.then([status(Code::from(number), "no", retry_delay)]);
            let result = call(client, method).await;
            let attempts = server.calls().len() - before;
            let case = format!("{name}, method {method}, {retry_delay:?}: {result:?}");
            match verdict {
                Verdict::Retried => assert!(result.is_ok() && attempts == 2, "{case}"),
                Verdict::Refused => {
                    let text = result.unwrap_err().to_string();
                    assert!(text.ends_with(&format!(" ({name})")) && attempts == 1, "{case}");
                    assert!(number == 0 || text.starts_with("no ("), "{case}");
                }
                Verdict::TooLate => {
                    let text = result.unwrap_err().to_string();
                    assert!(text == "no answer within 60s" && attempts == 1, "{case}");
                }
            }
        }
    }
}

#[tokio::test]
async fn only_unavailable_is_retried() {
    let options =
        Options { deadline: Duration::from_secs(60), first_pause: MS, ..Options::default() };
    let server = ScriptedServer::new([]);
    check_codes(&server, &Client::over(server.in_process(), options)).await;
    let address = format!("http://{}", server.listen().await);
    check_codes(&server, &Client::lazy(&address, options).unwrap()).await;
}

#[test]
fn default_options_are_those_of_the_documentation() {
    let documented = Options {
        deadline: Duration::from_secs(5),
        attempts: NonZeroU32::new(5).unwrap(),
        first_pause: Duration::from_millis(50),
        longest_pause: Duration::from_secs(1),
    };
    assert_eq!(Options::default(), documented);
}

/// What the server does with one attempt, and how long that takes.
#[derive(Clone, Copy, Debug)]
struct Attempt {
    takes: Duration,
    reply: Reply,
}

#[derive(Clone, Copy, Debug)]
enum Reply {
    Answered,
    Refused,
    Unavailable(Option<Duration>),
    Silent,
}

impl Attempt {
    fn step(self, number: usize) -> Step {
        let step = match self.reply {
            Reply::Answered => Step::Answer,
            Reply::Refused => status(Code::NotFound, "no", None),
            Reply::Unavailable(delay) => status(Code::Unavailable, &cause(number), delay),
            Reply::Silent => return Step::NoAnswer,
        };
        if self.takes.is_zero() { step } else { Step::After(self.takes, Box::new(step)) }
    }

    /// The delay that the client adds to its pause.
    fn retry_delay(self) -> Duration {
        match self.reply {
            Reply::Unavailable(delay) => delay.unwrap_or_default().min(YEAR),
            Reply::Answered | Reply::Refused | Reply::Silent => Duration::ZERO,
        }
    }
}

fn cause(number: usize) -> String {
    format!("attempt {number} failed")
}

/// Random options and scripts.
struct Random(ChaCha8Rng);

impl Random {
    fn below(&mut self, n: u64) -> u64 {
        self.0.next_u64() % n
    }

    /// From 1 µs to 2⁴⁰ µs (13 days), every power of two equally often. Rarely 0 or the maximum.
    fn duration(&mut self, most_bits: u64) -> Duration {
        match self.below(40) {
            0 => Duration::ZERO,
            1 => Duration::MAX,
            _ => {
                let bits = self.below(most_bits);
                Duration::from_micros((1 << bits) + self.below(1 << bits))
            }
        }
    }

    fn options(&mut self) -> Options {
        let attempts = if self.below(8) == 0 { 40 } else { 6 };
        Options {
            deadline: self.duration(40),
            attempts: NonZeroU32::MIN.saturating_add(u32::try_from(self.below(attempts)).unwrap()),
            first_pause: self.duration(24),
            longest_pause: self.duration(30),
        }
    }

    fn attempt(&mut self) -> Attempt {
        let reply = match self.below(16) {
            0 => Reply::Answered,
            1 => Reply::Refused,
            2 => Reply::Silent,
            3..=6 => Reply::Unavailable(Some(self.duration(30).min(Duration::from_secs(1 << 37)))),
            _ => Reply::Unavailable(None),
        };
        let takes = if self.below(3) == 0 { self.duration(24).min(YEAR) } else { Duration::ZERO };
        Attempt { takes, reply }
    }
}

/// A case, to be printed if its check fails.
struct ShownOnPanic(String);

impl Drop for ShownOnPanic {
    #[expect(clippy::print_stdout, reason = "the test harness shows it with the failure")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.0);
        }
    }
}

/// One call, as seen from outside. Times are since the start of the call.
#[derive(Debug)]
struct Observed {
    result: Result<(), ClientError>,
    arrivals: Vec<Duration>,
    timeouts: Vec<String>,
    elapsed: Duration,
}

async fn observe(options: Options, script: &[Attempt], method: usize) -> Observed {
    let steps = (1..).zip(script).map(|(number, attempt)| attempt.step(number));
    let server = ScriptedServer::new(steps);
    let client = Client::over(server.in_process(), options);
    let start = Instant::now();
    let result = call(&client, method).await;
    let elapsed = start.elapsed();
    let arrivals = server.arrivals().iter().map(|arrival| *arrival - start).collect();
    Observed { result, arrivals, timeouts: server.timeouts(), elapsed }
}

/// The upper limit of the random pause after this attempt; the first is 0.
fn pause_limit(options: &Options, attempt: usize) -> Duration {
    let doubled = (0..attempt).try_fold(options.first_pause, |pause, _| pause.checked_mul(2));
    doubled.unwrap_or(Duration::MAX).min(options.longest_pause).min(YEAR)
}

/// The time that a `grpc-timeout` stands for, and its resolution.
fn parse_timeout(text: &str) -> (Duration, Duration) {
    let (number, unit) = text.split_at(text.len() - 1);
    let unit = match unit {
        "n" => Duration::from_nanos(1),
        "u" => Duration::from_micros(1),
        "m" => MS,
        "S" => Duration::from_secs(1),
        "M" => Duration::from_secs(60),
        "H" => Duration::from_secs(3600),
        other => panic!("unknown unit {other}"),
    };
    (unit * number.parse::<u32>().unwrap(), unit)
}

/// Checks a call against its options. Returns the kind of its end.
fn check(options: &Options, script: &[Attempt], seen: &Observed) -> &'static str {
    let limit = options.deadline.min(YEAR);
    let attempts = seen.arrivals.len();
    let attempt = |place: usize| {
        let answered = Attempt { takes: Duration::ZERO, reply: Reply::Answered };
        script.get(place).copied().unwrap_or(answered)
    };
    let ended = |place: usize| seen.arrivals[place] + attempt(place).takes;
    assert_eq!(seen.arrivals[0], Duration::ZERO, "the first attempt is made at once");
    assert!(attempts <= options.attempts.get() as usize, "too many attempts");
    assert_eq!(seen.timeouts.len(), attempts, "every attempt has a timeout");
    for place in 0..attempts {
        let left = limit.saturating_sub(seen.arrivals[place]);
        let (timeout, unit) = parse_timeout(&seen.timeouts[place]);
        assert!(timeout <= left && left - timeout < unit, "timeout of attempt {place}");
    }
    for place in 1..attempts {
        assert!(matches!(attempt(place - 1).reply, Reply::Unavailable(_)), "retry {place}");
        let pause = seen.arrivals[place] - ended(place - 1);
        let delay = attempt(place - 1).retry_delay();
        // Both timers, of the reply and of the pause, may be up to a millisecond late.
        let longest = delay + pause_limit(options, place - 1) + 2 * MS;
        assert!(delay <= pause && pause <= longest, "pause {place}: {pause:?}");
        assert!(seen.arrivals[place] <= limit + MS, "attempt {place} after the deadline");
    }

    let (last, end) = (attempt(attempts - 1), ended(attempts - 1));
    let timed_out = matches!(seen.result, Err(ClientError::DeadlineExceeded { .. }));
    if matches!(last.reply, Reply::Silent) || end > limit + MS || (timed_out && end + MS >= limit) {
        let last_cause = (attempts > 1).then(|| cause(attempts - 1));
        let expected = ClientError::DeadlineExceeded { deadline: limit, last_cause };
        assert_eq!(seen.result, Err(expected));
        assert!(limit <= seen.elapsed && seen.elapsed <= limit + MS, "ended at the deadline");
        return if attempts == 1 { "first attempt too late" } else { "retry too late" };
    }
    assert!(end <= seen.elapsed && seen.elapsed <= end + MS, "ended at once");
    match last.reply {
        Reply::Answered => {
            assert_eq!(seen.result, Ok(()));
            if attempts == 1 { "answered" } else { "answered after a retry" }
        }
        Reply::Refused => {
            assert!(matches!(seen.result, Err(ClientError::Refused(_))));
            "refused"
        }
        Reply::Silent => unreachable!("silence ends at the deadline"),
        Reply::Unavailable(_) => {
            let made = u32::try_from(attempts).unwrap();
            let expected = ClientError::Unreachable { attempts: made, cause: cause(attempts) };
            assert_eq!(seen.result, Err(expected));
            if made == options.attempts.get() {
                return "last attempt failed";
            }
            let longest = last.retry_delay() + pause_limit(options, attempts - 1) + MS;
            assert!(limit.saturating_sub(end) <= longest, "there was time for a retry");
            "no time for a retry"
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_call_keeps_to_its_options() {
    let mut ends: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 0..3_000 {
        let mut random = Random(ChaCha8Rng::seed_from_u64(seed));
        let options = random.options();
        let script: Vec<Attempt> = (0..random.below(45)).map(|_| random.attempt()).collect();
        let seen = observe(options, &script, usize::try_from(seed).unwrap()).await;
        let shown = ShownOnPanic(format!("seed {seed}: {options:?}\n{seen:?}\n{script:?}"));
        *ends.entry(check(&options, &script, &seen)).or_default() += 1;
        drop(shown);
    }
    // Every kind of end occurs often.
    assert!(ends.len() == 7 && ends.values().all(|&count| count >= 100), "{ends:?}");
}

/// With 400 samples of each pause, a correct client fails this test less than once in 10¹⁸ runs.
#[tokio::test(start_paused = true)]
async fn pauses_are_spread_from_zero_to_a_limit_that_doubles() {
    let options = Options {
        deadline: YEAR,
        attempts: NonZeroU32::MIN.saturating_add(5),
        first_pause: Duration::from_secs(100),
        longest_pause: Duration::from_secs(500),
    };
    for retry_delay in [None, Some(Duration::from_secs(3))] {
        let reply = Reply::Unavailable(retry_delay);
        let script = vec![Attempt { takes: Duration::ZERO, reply }; 6];
        let mut samples = vec![Vec::new(); 5];
        for method in 0..400 {
            let seen = observe(options, &script, method).await;
            for (place, times) in seen.arrivals.windows(2).enumerate() {
                let pause = times[1] - times[0] - retry_delay.unwrap_or_default();
                samples[place].push(pause.as_secs_f64());
            }
        }
        for (limit, samples) in [100.0, 200.0, 400.0, 500.0, 500.0].into_iter().zip(samples) {
            assert_eq!(samples.len(), 400);
            let (low, high) = (limit * 0.15, limit * 0.85);
            let mean = samples.iter().sum::<f64>() / 400.0;
            assert!(samples.iter().any(|pause| *pause < low), "{limit}: never short");
            assert!(samples.iter().any(|pause| *pause > high), "{limit}: never long");
            assert!(samples.iter().all(|pause| *pause <= limit + 0.001), "{limit}: too long");
            assert!((limit * 0.35..limit * 0.65).contains(&mean), "{limit}: mean {mean}");
        }
    }
}
