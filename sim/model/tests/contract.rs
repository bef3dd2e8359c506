//! The rules of the contract, one program each. By default SKU 1 starts with 10 units, 2 of them
//! base, and SKU 2 with 5; the payment timeout is 100 ns, the idempotency window 1000 ns; a create
//! has at most 4 lines.

use super::story;

#[test]
fn create_reserves_every_line() {
    story(
        "
        @7 create 3 2:1 1:4 => order 1 awaiting
        stock 1             => 4
        stock 2             => 4
        info 1              => awaiting None, user 3, 1:4 2:1, created @7, set @7
        create 3 1:4 2:4    => order 2 awaiting
        stock 1             => 0
        stock 2             => 0
        ",
    );
}

#[test]
fn create_reserves_no_line_if_one_is_short() {
    story(
        "
        create 3 1:8 2:6     => order 1 failed, short 2: 6 of 5
        stock 1              => 8
        create 3 2:9 9:1 1:9 => order 2 failed, short 1: 9 of 8, short 2: 9 of 5, short 9: 1 of 0
        @5 info 2 => failed OutOfStock, user 3, 1:9 2:9 9:1, created @0, set @0, \
                     short 1: 9 of 8, short 2: 9 of 5, short 9: 1 of 0
        create 3 1:8 2:5     => order 3 awaiting
        ",
    );
}

#[test]
fn every_line_may_fit_exactly() {
    story(
        "
        world 1=1/0 2=2/1 3=3/0 4=70000/0
        create 1 1:1 2:1 3:3 4:70000 => order 1 awaiting
        create 1 1:1 2:1 3:1 4:1     => order 2 failed, short 1: 1 of 0, short 2: 1 of 0, \
                                        short 3: 1 of 0, short 4: 1 of 0
        cancel 1                     => ok
        create 1 1:1 2:1 3:3 4:70001 => order 3 failed, short 4: 70001 of 70000
        ",
    );
}

#[test]
fn create_merges_lines_of_one_sku() {
    story(
        "
        create 3 1:3 2:1 1:5           => order 1 awaiting
        info 1                         => awaiting None, user 3, 1:8 2:1, created @0, set @0
        create 3 2:2 2:3               => order 2 failed, short 2: 5 of 4
        create 3 2:4294967295 2:1      => refused: CountOverflow(2)
        create 3 2:4294967294 2:1      => order 3 failed, short 2: 4294967295 of 4
        create 3 2:4294967295 1:4294967295 2:1 1:1 => refused: CountOverflow(1)
        stock 2                        => 4
        ",
    );
}

#[test]
fn create_reports_the_strongest_refusal() {
    let key256 = "key*256";
    story(&format!(
        "
        create 0 {key256}                    => refused: InvalidUser
        create -1 0:0                        => refused: InvalidUser
        create 1 {key256}                    => refused: NoItems
        create 1 0:0 1:1 1:1 1:1 1:1 {key256} => refused: TooManyItems
        create 1 1:1 1:1 1:1 1:1 1:1         => refused: TooManyItems
        create 1 1:1 0:0 {key256}            => refused: InvalidItemSku(1)
        create 1 1:0 0:1                     => refused: InvalidItemCount(0)
        create 1 1:1 0:1 1:0                 => refused: InvalidItemSku(1)
        create 1 1:4294967295 1:4294967295 1:0 => refused: InvalidItemCount(2)
        create 1 9:4294967295 9:1 {key256}   => refused: CountOverflow(9)
        create 1 9:1 {key256}                => refused: KeyTooLong
        create 1 1:1 1:1 1:1 1:1 key*255     => order 1 awaiting
        create 1 0:1 key*255                 => refused: InvalidItemSku(0)
        create 1 9:1 key*255                 => refused: IdempotencyKeyReused(1)
        create 1 9:1                         => order 2 failed, short 9: 1 of 0
        "
    ));
}

#[test]
fn a_key_repeats_the_first_answer() {
    story(
        "
        create 1 1:2 2:1 key=a      => order 1 awaiting
        create 1 2:1 1:1 1:1 key=a  => order 1 awaiting
        stock 1                     => 6
        create 1 2:9 key=b          => order 2 failed, short 2: 9 of 4
        @1 pay 1                    => ok
        create 1 1:2 2:1 key=a      => order 1 awaiting
        create 1 2:9 key=b          => order 2 failed, short 2: 9 of 4
        create 1 1:2 key=a          => refused: IdempotencyKeyReused(1)
        create 2 1:2 key=a          => order 3 awaiting
        @2 cancel 3                 => ok
        create 2 1:2 key=a          => order 3 awaiting
        create 2 1:2                => order 4 awaiting
        create 2 1:2                => order 5 awaiting
        ",
    );
    story(
        "
        world 1=10/0 timeout=0 window=50
        create 1 1:1 key=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeX \
            => order 1 awaiting
        create 1 1:1 key=0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdeY \
            => order 2 awaiting
        ",
    );
}

#[test]
fn a_key_is_removed_at_the_end_of_its_window() {
    story(
        "
        world 1=10/0 timeout=0 window=50
        @5 create 1 1:1 key=a  => order 1 awaiting
        @30 create 1 1:1 key=a => order 1 awaiting
        @54 create 1 1:1 key=a => order 1 awaiting
        create 1 1:2 key=a     => refused: IdempotencyKeyReused(1)
        @55 create 1 1:2 key=a => order 2 awaiting
        create 1 1:1 key=a     => refused: IdempotencyKeyReused(2)
        @104 create 1 1:2 key=a => order 2 awaiting
        @105 create 1 1:2 key=a => order 3 awaiting
        ",
    );
    story(
        "
        world 1=10/0 timeout=0 window=0
        create 1 1:1 key=a => order 1 awaiting
        create 1 1:1 key=a => order 2 awaiting
        ",
    );
    story(
        "
        world 1=10/0 timeout=0 window=18446744073709551615
        @9 create 1 1:1 key=a                    => order 1 awaiting
        @18446744073709551615 create 1 1:1 key=a => order 1 awaiting
        ",
    );
}

#[test]
fn pay_removes_the_units_from_the_stock() {
    story(
        "
        create 1 1:3  => order 1 awaiting
        stock 1       => 5
        @9 pay 1      => ok
        info 1        => paid None, user 1, 1:3, created @0, set @9
        stock 1       => 5
        @10 pay 1     => ok
        info 1        => paid None, user 1, 1:3, created @0, set @9
        cancel 1      => refused: OrderNotAwaitingPayment(Paid)
        stock 1       => 5
        @1000 stock 1 => 5
        ",
    );
}

#[test]
fn cancel_releases_the_units() {
    story(
        "
        create 1 1:3 => order 1 awaiting
        create 1 1:2 => order 2 awaiting
        @9 cancel 1  => ok
        info 1       => cancelled CancelledByClient, user 1, 1:3, created @0, set @9
        stock 1      => 6
        @10 cancel 1 => ok
        info 1       => cancelled CancelledByClient, user 1, 1:3, created @0, set @9
        pay 1        => refused: OrderNotAwaitingPayment(Cancelled)
        stock 1      => 6
        ",
    );
}

#[test]
fn a_failed_order_stays_failed() {
    story(
        "
        create 1 1:9 => order 1 failed, short 1: 9 of 8
        pay 1        => refused: OrderNotAwaitingPayment(Failed)
        cancel 1     => refused: OrderNotAwaitingPayment(Failed)
        @500 info 1  => failed OutOfStock, user 1, 1:9, created @0, set @0, short 1: 9 of 8
        ",
    );
}

#[test]
fn ids_and_skus_are_checked_then_looked_up() {
    story(
        "
        info 0   => refused: InvalidOrderId
        pay 0    => refused: InvalidOrderId
        cancel 0 => refused: InvalidOrderId
        info -9223372036854775808  => refused: InvalidOrderId
        info 1   => refused: OrderNotFound
        pay 1    => refused: OrderNotFound
        cancel 9223372036854775807 => refused: OrderNotFound
        stock 0  => refused: InvalidSku
        stock 9  => refused: SkuNotFound
        tick     => ok
        ",
    );
}

#[test]
fn an_unpaid_order_expires_at_its_deadline() {
    story(
        "
        @10 create 1 1:3 => order 1 awaiting
        @20 create 1 1:4 => order 2 awaiting
        @109 info 1      => awaiting None, user 1, 1:3, created @10, set @10
        stock 1          => 1
        @110 info 1      => cancelled PaymentTimeout, user 1, 1:3, created @10, set @110
        stock 1          => 4
        pay 1            => refused: OrderExpired
        cancel 1         => ok
        info 1           => cancelled PaymentTimeout, user 1, 1:3, created @10, set @110
        @119 pay 2       => ok
        @999 stock 1     => 4
        ",
    );
}

#[test]
fn expiry_happens_before_the_call_with_the_time_of_the_deadline() {
    story(
        "
        create 1 1:8            => order 1 awaiting
        @100 create 1 1:8       => order 2 awaiting
        @150 create 1 1:8       => order 3 failed, short 1: 8 of 0
        @777 stock 1            => 8
        info 2                  => cancelled PaymentTimeout, user 1, 1:8, created @100, set @200
        @780 create 1 1:8 key=k => order 4 awaiting
        @880 create 1 1:8 key=k => order 4 awaiting
        stock 1                 => 8
        ",
    );
}

#[test]
fn an_order_without_a_deadline_never_expires() {
    story(
        "
        world 1=10/0 timeout=0
        create 1 1:3                 => order 1 awaiting
        @18446744073709551615 info 1 => awaiting None, user 1, 1:3, created @0, set @0
        ",
    );
    story(
        "
        world 1=10/0 timeout=18446744073709551615
        @0 create 1 1:1               => order 1 awaiting
        @1 create 1 1:3               => order 2 awaiting
        @18446744073709551614 stock 1 => 6
        @18446744073709551615 stock 1 => 7
        info 2                        => awaiting None, user 1, 1:3, created @1, set @1
        pay 2                         => ok
        ",
    );
}

#[test]
fn stock_near_the_end_of_u64() {
    story(
        "
        world 1=18446744073709551615/0 2=18446744073709551615/18446744073709551615
        stock 1                    => 18446744073709551615
        stock 2                    => 0
        create 1 1:4294967295      => order 1 awaiting
        stock 1                    => 18446744069414584320
        create 1 2:1               => order 2 failed, short 2: 1 of 0
        cancel 1                   => ok
        stock 1                    => 18446744073709551615
        ",
    );
}

#[test]
fn an_order_is_forgotten_some_time_after_it_ended() {
    story(
        "
        world 1=10/0 timeout=100 window=1000 keep=50 keep_failed=20
        create 3 1:1 key=a      => order 1 awaiting
        create 3 1:99 key=b     => order 2 failed, short 1: 99 of 9
        @5 pay 1                => ok
        @19 create 3 1:99 key=b => order 2 failed, short 1: 99 of 9
        @20 info 2              => refused: OrderNotFound
        create 3 1:99 key=b     => order 3 failed, short 1: 99 of 9
        @49 create 3 1:1 key=a  => order 1 awaiting
        @54 pay 1               => ok
        @55 info 1              => refused: OrderNotFound
        pay 1                   => refused: OrderNotFound
        cancel 1                => refused: OrderNotFound
        stock 1                 => 9
        create 3 1:1 key=a      => order 4 awaiting
        @205 info 4             => refused: OrderNotFound
        stock 1                 => 9
        ",
    );
}

#[test]
fn a_forgotten_order_stays_forgotten() {
    story(
        "
        world 1=10/0 timeout=0 window=1000 keep=50
        create 3 1:1         => order 1 awaiting
        create 3 1:1         => order 2 awaiting
        pay 1                => ok
        @40 pay 2            => ok
        @50 rules 0 1000     => ok
        info 1               => refused: OrderNotFound
        @999 info 2          => paid None, user 3, 1:1, created @0, set @40
        ",
    );
}

#[test]
fn a_failed_create_can_be_retried() {
    story(
        "
        world 1=1/0 timeout=100 window=1000 retry_failed=true
        create 3 1:2 key=a   => order 1 failed, short 1: 2 of 1
        create 3 1:2 key=a   => order 2 failed, short 1: 2 of 1
        create 3 1:1 key=a   => order 3 awaiting
        create 3 1:1 key=a   => order 3 awaiting
        info 1               => failed OutOfStock, user 3, 1:2, created @0, set @0, short 1: 2 of 1
        ",
    );
}

#[test]
fn orders_and_keys_take_room() {
    story(
        "
        world 1=9/0 2=9/0 timeout=0 window=30 keep=50 keep_failed=50 max_bytes=166
        create 3 1:1 key=abc => order 1 awaiting
        create 3 1:1 2:1     => refused: NoRoom
        create 3 1:99        => refused: NoRoom
        create 3 1:1 key=abc => order 1 awaiting
        @30 create 3 1:99    => order 2 failed, short 1: 99 of 8
        pay 1                => ok
        @79 create 3 1:1     => refused: NoRoom
        @80 create 3 1:1 2:1 => order 3 awaiting
        ",
    );
}

#[test]
fn a_user_has_only_so_many_open_orders() {
    story(
        "
        world 1=9/0 timeout=100 window=1000 open_orders=2
        create 3 1:1 key=a   => order 1 awaiting
        create 3 1:1         => order 2 awaiting
        create 3 1:1         => refused: TooManyOpenOrders
        create 3 1:99        => refused: TooManyOpenOrders
        create 3 1:1 key=a   => order 1 awaiting
        create 4 1:1         => order 3 awaiting
        pay 1                => ok
        @100 create 3 1:1    => order 4 awaiting
        ",
    );
}
