//! For each planted bug, a short program that it answers wrongly.

use super::{Bug, Model, parse, run};

/// With the bug the last answer is wrong, and no earlier one. The worlds are those of
/// `contract.rs`.
const PROGRAMS: &[(Bug, &str)] = &[
    (Bug::FailedCreateKeepsLines, "create 1 1:3 2:6; stock 1"),
    (Bug::PayReturnsStock, "create 1 1:3; pay 1; stock 1"),
    (Bug::ReservedSubtractedTwice, "stock 1"),
    (Bug::CancelFailedReleases, "create 1 1:9; cancel 1"),
    (Bug::ReleaseClamps, "create 1 1:3; create 1 1:3; cancel 1; cancel 1; stock 1"),
    (Bug::DoublePayTakesTwice, "create 1 1:3; pay 1; pay 1; stock 1"),
    (Bug::CountCutTo16Bits, "world 1=70000/0; create 1 1:65537; stock 1"),
    (Bug::MissingOrderDone, "pay 1"),
    (Bug::MissingOrderDone, "create 1 1:1; cancel 2"),
    (Bug::PayAfterCancel, "create 1 1:3; cancel 1; pay 1"),
    (Bug::PayAfterExpiry, "create 1 1:3; @100 pay 1"),
    (Bug::PayKeepsReserved, "create 1 1:3; pay 1; stock 1"),
    (Bug::SecondPayRefused, "create 1 1:3; pay 1; pay 1"),
    (Bug::UpdatedAtKeptOnPay, "create 1 1:3; @1 pay 1; info 1"),
    (Bug::CancelPaidAllowed, "create 1 1:3; pay 1; cancel 1"),
    (Bug::SecondCancelRefused, "create 1 1:3; cancel 1; cancel 1"),
    (Bug::CancelRewritesReason, "create 1 1:3; @100 cancel 1; info 1"),
    (Bug::CancelReleasesBase, "create 1 1:3; cancel 1; stock 1"),
    (Bug::ExactFitRefused, "create 1 1:7; create 1 1:1"),
    (Bug::OneTooMany, "create 1 1:9"),
    (Bug::ExactFitRefusedOnLine2, "world 1=1/0 2=1/0 3=9/0 4=9/0; create 1 1:1 2:1 3:1 4:1"),
    (Bug::DuplicatesCheckedSingly, "create 1 2:3 2:3"),
    (Bug::CountSumWraps, "create 1 2:4294967295 2:2"),
    (Bug::LastLineSkipped, "create 1 2:1 1:1; stock 2"),
    (Bug::IdReusedAfterFailure, "create 1 1:9; create 1 1:1"),
    (Bug::UnknownSkuRefused, "create 1 9:1"),
    (Bug::ShortagesFirstOnly, "create 1 1:9 2:6"),
    (Bug::ShortageAfterReserving, "create 1 1:5 1:4"),
    (Bug::FailedShownAwaiting, "create 1 1:9; info 1"),
    (Bug::LinesInClientOrder, "create 1 2:1 1:1 2:1; info 1"),
    (Bug::LinesUnmerged, "create 1 2:1 1:1 2:1; info 1"),
    (Bug::ExpiryEarly, "create 1 1:3; @99 stock 1"),
    (Bug::ExpiryLate, "create 1 1:3; @100 stock 1"),
    (Bug::ExpiryKeepsStock, "create 1 1:3; @100 stock 1"),
    (Bug::ExpiryStampedNow, "create 1 1:3; @101 info 1"),
    (Bug::ExpiredPaySaysCancelled, "create 1 1:3; @100 pay 1"),
    (Bug::InfoSeesExpired, "create 1 1:3; @100 info 1"),
    (Bug::StockSeesExpired, "create 1 1:3; @100 stock 1"),
    (Bug::ZeroTimeoutExpires, "world 1=9/0 timeout=0; create 1 1:1; info 1"),
    (Bug::DeadlineWraps, "@18446744073709551600 create 1 1:1; info 1"),
    (Bug::RulesCountFromChange, "create 1 1:3; @50 rules 60 1000; @60 info 1"),
    (Bug::RulesExpireInPast, "create 1 1:3; @50 rules 20 1000; info 1"),
    (
        Bug::RulesBringKeysBack,
        "world 1=9/0 timeout=0 window=10; create 1 1:1 key=a; @20 rules 0 50; create 1 1:1 key=a",
    ),
    (Bug::ForgottenEarly, "world 1=9/0 timeout=0 window=0 keep=10; create 1 1:1; pay 1; @9 info 1"),
    (Bug::ForgottenLate, "world 1=9/0 timeout=0 window=0 keep=10; create 1 1:1; pay 1; @10 info 1"),
    (
        Bug::KeptFromCreate,
        "world 1=9/0 timeout=0 window=0 keep=10; create 1 1:1; @5 pay 1; @10 info 1",
    ),
    (
        Bug::FailedKeptAsOthers,
        "world 1=9/0 timeout=0 window=0 keep=10 keep_failed=5; create 1 1:99; @5 info 1",
    ),
    (
        Bug::PaidKeptForGood,
        "world 1=9/0 timeout=0 window=0 keep=10; create 1 1:1; pay 1; @10 info 1",
    ),
    (
        Bug::RulesBringOrdersBack,
        "world 1=9/0 timeout=0 window=0 keep=10; create 1 1:1; pay 1; @10 rules 0 0; info 1",
    ),
    (
        Bug::KeyOutlivesOrder,
        "world 1=9/0 timeout=0 keep=10; create 1 1:1 key=a; @10 create 1 1:1 key=a",
    ),
    (Bug::RetryIgnored, "world 1=9/0 retry_failed=true; create 1 1:99 key=a; create 1 1:99 key=a"),
    (Bug::RoomOneByteLess, "world 1=9/0 max_bytes=56; create 1 1:1"),
    (
        Bug::RoomNeverComesBack,
        "world 1=9/0 keep_failed=10 max_bytes=60; create 1 1:99; @10 create 1 1:1",
    ),
    (Bug::KeysTakeNoRoom, "world 1=9/0 max_bytes=60; create 1 1:1 key=a"),
    (Bug::FailedLinesAsOthers, "world 1=9/0 max_bytes=56; create 1 1:99"),
    (Bug::OpenOrdersOneMore, "world 1=9/0 open_orders=1; create 1 1:1; create 1 1:1"),
    (Bug::OpenOrdersOfAllUsers, "world 1=9/0 open_orders=1; create 1 1:1; create 2 1:1"),
    (Bug::KeyForWrongUser, "create 1 1:1 key=a; create 2 1:1 key=a"),
    (Bug::KeyForgottenOnFailure, "create 1 1:9 key=a; create 1 1:9 key=a"),
    (Bug::KeyForgottenEarly, "create 1 1:1 key=a; @999 create 1 1:1 key=a"),
    (Bug::KeyForgottenLate, "create 1 1:1 key=a; @1000 create 1 1:1 key=a"),
    (Bug::RepeatProlongsKey, "create 1 1:1 key=a; @1 create 1 1:1 key=a; @1000 create 1 1:1 key=a"),
    (Bug::OtherLinesAccepted, "create 1 1:1 key=a; create 1 1:2 key=a"),
    (Bug::RepeatReturnsStatusNow, "create 1 1:1 key=a; pay 1; create 1 1:1 key=a"),
    (Bug::RepeatReservesAgain, "create 1 1:1 key=a; create 1 1:1 key=a; stock 1"),
    (Bug::EmptyKeyStored, "create 1 1:1; create 1 1:1"),
    (
        Bug::KeyCutTo32Bytes,
        "create 1 1:1 key=0123456789abcdef0123456789abcdefX; \
         create 1 1:1 key=0123456789abcdef0123456789abcdefY",
    ),
    (Bug::KeyOf255Refused, "create 1 1:1 key*255"),
    (Bug::MaxLinesAfterMerging, "create 1 1:1 1:1 1:1 1:1 1:1"),
    (Bug::ItemsBeforeUser, "create 0"),
    (Bug::StockReturnsTotal, "stock 1"),
    (Bug::StockForgetsBase, "stock 1"),
];

#[test]
fn each_bug_is_detected_by_a_short_program() {
    for (bug, program) in PROGRAMS {
        differs_at_the_end(*bug, program);
    }
    let leak = "create 1 1:1; cancel newest; ".repeat(65) + "stock 1";
    differs_at_the_end(Bug::LeakAfter64Cancels, &leak);
    let shown = |bug| PROGRAMS.iter().any(|program| program.0 == bug);
    let rest: Vec<_> = Bug::ALL.iter().filter(|bug| !shown(**bug)).collect();
    let no_answer = [Bug::RulesExpireLate, Bug::RulesSameIsChange];
    assert_eq!(rest, [&Bug::LeakAfter64Cancels, &no_answer[0], &no_answer[1]]);
}

/// These bugs change no answer, but what a program leaves behind.
#[test]
fn a_change_of_the_rules_has_the_right_events() {
    for (bug, program) in [
        (Bug::RulesExpireLate, "create 1 1:3; @50 rules 20 1000"),
        (Bug::RulesSameIsChange, "rules 100 1000"),
    ] {
        let (world, calls) = parse(program);
        let [right, wrong] = [None, Some(bug)].map(|bug| {
            let mut model = Model::new(&world, bug);
            run(&mut model, &calls);
            model.transitions()
        });
        assert_ne!(right, wrong, "{}", bug.name());
    }
}

fn differs_at_the_end(bug: Bug, program: &str) {
    let (world, calls) = parse(program);
    let mut correct = Model::new(&world, None);
    let right = run(&mut correct, &calls);
    let wrong = run(&mut Model::new(&world, Some(bug)), &calls);
    assert_eq!(correct.audit(), Ok(()));
    let first = right.iter().zip(&wrong).position(|(right, wrong)| right != wrong);
    assert_eq!(first, Some(calls.len() - 1), "{}: {right:#?} {wrong:#?}", bug.name());
}

#[test]
fn each_bug_has_its_own_name_and_a_description() {
    for &bug in Bug::ALL {
        assert_eq!(Bug::parse(bug.name()), Some(bug));
        let kebab = |letter: char| letter.is_ascii_lowercase() || "-0123456789".contains(letter);
        assert!(bug.name().chars().all(kebab), "{}", bug.name());
        assert!(!bug.description().is_empty() && !bug.description().contains('\n'));
    }
    assert_eq!(Bug::parse("no-such-bug"), None);
}
