//! Text that fits one screen: long texts are cut and say so, long plans go whole to a file.

use std::fmt::Write as _;
use std::fs;

use crate::plan::Plan;
use crate::progress::Hung;
use crate::report::fingerprint::Fingerprint;

/// Rows and columns of a screen, less a few rows for the lines around a plan.
const ROWS: usize = 40;
const COLUMNS: usize = 100;

/// Maximum number of characters of an answer, a state or a message.
const LONGEST: usize = 300;

/// Number of characters shown before the first difference of two long texts.
const BEFORE: usize = 60;

/// Number of steps shown of a plan that does not fit.
const LAST_STEPS: usize = 12;

/// A text as one line, cut after [`LONGEST`] characters.
#[must_use]
pub(crate) fn short(text: &str) -> String {
    cut(&one_line(text), 0)
}

/// Two texts as one line each. If they are long, they are cut around their first difference.
#[must_use]
pub(crate) fn short_pair(one: &str, other: &str) -> (String, String) {
    let (one, other) = (one_line(one), one_line(other));
    let same = one.chars().zip(other.chars()).take_while(|(one, other)| one == other).count();
    let longest = one.chars().count().max(other.chars().count());
    let from = if longest > LONGEST { same.saturating_sub(BEFORE) } else { 0 };
    (cut(&one, from), cut(&other, from))
}

fn one_line(text: &str) -> String {
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}

fn cut(text: &str, from: usize) -> String {
    let length = text.chars().count();
    if from == 0 && length <= LONGEST {
        return text.to_owned();
    }
    let before = if from > 0 { "… " } else { "" };
    let part: String = text.chars().skip(from).take(LONGEST).collect();
    let after = if from + LONGEST < length { " …" } else { "" };
    format!("{before}{part}{after} ({length} characters)")
}

/// A plan with the line that replays it: the plan itself if it fits one screen. Otherwise it is
/// written whole to a file in the directory for temporary files, and only its end is shown. `flags`
/// are further arguments of `sim replay`.
#[must_use]
pub(crate) fn plan(text: &str, flags: &str) -> String {
    let rows: usize = text.lines().map(|line| line.chars().count().div_ceil(COLUMNS).max(1)).sum();
    let whole = || format!("{text}\nreplay: paste the plan into: sim replay -{flags}\n");
    if rows <= ROWS {
        return whole();
    }
    let mut print = Fingerprint::default();
    text.bytes().for_each(|byte| print.word(u64::from(byte)));
    let file = std::env::temp_dir().join(format!("sim-{print}.plan"));
    if fs::write(&file, text).is_err() {
        // A whole plan is more useful than a short one.
        return whole();
    }
    let lines: Vec<&str> = text.lines().collect();
    let (file, count) = (file.display(), lines.len());
    let mut shown = format!("the plan has {count} lines; it is in {file}\nits last lines:\n");
    for line in &lines[count.saturating_sub(LAST_STEPS)..] {
        let _ = writeln!(shown, "  {}", cut(line, 0));
    }
    let _ = writeln!(shown, "\nreplay: cargo run --release --bin sim -- replay {file}{flags}");
    shown
}

/// The watchdog's report of a run of this plan, up to the step that does not end.
pub(crate) fn hung(origin: &str, plan: &Plan, number: u32, flags: &str) -> Hung {
    let mut plan = plan.clone();
    plan.steps.retain(|step| step.number <= number);
    let what = match plan.steps.last() {
        Some(step) if step.number == number => {
            format!("{origin}, step {number}, {}", step.op.kind().name())
        }
        Some(step) => format!("{origin}, at the end, after step {}", step.number),
        None => format!("{origin}, before its first step"),
    };
    Hung { what, plan: self::plan(&plan.to_string(), flags), again: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(short("two\n  lines"), "two; lines");
        let long = short(&"é".repeat(300_000));
        assert!(long.chars().count() < 400 && long.ends_with("… (300000 characters)"), "{long}");
    }

    #[test]
    fn two_long_texts_show_their_first_difference() {
        let text = |word: &str| format!("{} {word} {}", "a".repeat(5_000), "b".repeat(5_000));
        let (one, other) = short_pair(&text("left"), &text("right"));
        assert!(one.contains(" left ") && other.contains(" right "), "{one}\n{other}");
        assert!(one.chars().count() < 400);
        assert_eq!(short_pair("left", "right"), ("left".to_owned(), "right".to_owned()));
    }

    #[test]
    fn a_plan_is_shown_whole_or_is_in_a_file() {
        let head = "plan v1\nworld timeout=1s window=1s max_lines=1 start=0s\nstock 1=1\n";
        let text = |steps: u32| {
            (1..=steps).fold(head.to_owned(), |text, n| text + &format!("{n} @0s c0 tick\n"))
        };
        let short = plan(&text(20), " --bug x");
        assert_eq!(
            short,
            format!("{}\nreplay: paste the plan into: sim replay - --bug x\n", text(20))
        );
        for long in [text(1_000), head.replace("1=1\n", &format!("1=1 # {}\n", "x".repeat(9_000)))]
        {
            let shown = plan(&long, "");
            assert!(shown.lines().count() <= 50);
            assert!(shown.lines().all(|line| line.chars().count() < 400));
            let file = shown.lines().last().unwrap().rsplit(' ').next().unwrap();
            assert_eq!(fs::read_to_string(file).unwrap(), long);
            fs::remove_file(file).unwrap();
        }
    }
}
