//! Everything that the simulator compares, by the judge that compares it. A failure says which
//! comparison found it, and the self-check shows for each of them that it finds a difference.

macro_rules! compared {
    ($($(#[$judge_doc:meta])* $judge:ident { $($(#[$doc:meta])* $name:ident,)* })*) => {
        /// A part of the simulator that compares.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Judge { $($(#[$judge_doc])* $judge,)* }

        impl Judge {
            /// Every judge.
            pub(crate) const ALL: &'static [Self] = &[$(Self::$judge,)*];

            /// What it compares.
            #[must_use]
            pub(crate) const fn compares(self) -> &'static [Compared] {
                match self { $(Self::$judge => &[$(Compared::$name,)*],)* }
            }
        }

        /// What a comparison is about. Each comparison in the code has its own.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Compared { $($($(#[$doc])* $name,)*)* }
    };
}

compared! {
    /// The checker of the swarm layer, after every command.
    Checker {
        /// The kind of answer: an order, units, a refusal and so on.
        AnswerKind,
        /// The order of a create.
        CreatedOrder,
        /// The status of a create.
        CreatedStatus,
        /// The shortages of a create.
        CreatedShortages,
        /// The status of an order.
        OrderStatus,
        /// The reason of an order.
        OrderReason,
        /// The user of an order.
        OrderUser,
        /// When an order was created.
        OrderCreatedAt,
        /// When an order was updated.
        OrderUpdatedAt,
        /// The lines of an order.
        OrderLines,
        /// The shortages of an order.
        OrderShortages,
        /// The available units of a SKU.
        Units,
        /// The reason of a refusal, and its details.
        Refusal,
        /// An order that changed before another one in the same call.
        OrderBeforeOthers,
        /// The last order that changed in a call.
        LastChangedOrder,
        /// The order of a create that repeats another.
        RepeatedOrder,
        /// The order that a call is about.
        OrderOfCall,
        /// The status of an order, by its transitions.
        StatusByTransitions,
        /// Whether an order has expired, by its transitions.
        ExpiryByTransitions,
        /// The number of an event.
        EventNumber,
        /// The status before a transition.
        TransitionFrom,
        /// Whether the lifecycle allows a transition.
        TransitionAllowed,
        /// The id of a new order.
        NewOrderId,
        /// A SKU of the stock.
        StockSku,
        /// The total of a SKU.
        StockTotal,
        /// The reserved units of a SKU.
        StockReserved,
        /// No more units are reserved than there are.
        ReservedInTotal,
        /// The opening reservation stays reserved.
        OpeningReservation,
        /// The number of SKUs.
        StockLength,
        /// The next deadline.
        NextDeadline,
        /// The number of log entries.
        Entries,
        /// The number of events, by the model.
        EventsOfModel,
        /// The number of events, by the events themselves.
        EventsSeen,
        /// The number of orders.
        OrderCount,
        /// The digest does not change without an event.
        DigestWithoutEvent,
        /// The digest changes with an event.
        EventWithoutDigest,
        /// The invariants of the state machine.
        Invariants,
        /// The audit of the model.
        ModelAudit,
        /// An entry that is earlier than the last one is refused.
        EarlierEntry,
        /// The digest of a state that was restored from the parts of this one.
        RestoredDigest,
        /// Every order, after some steps.
        OrdersAtStep,
        /// Every order, at some numbers of orders.
        OrdersAtSize,
        /// Every order, at the end.
        OrdersAtEnd,
        /// The next deadline after a tick of the drain.
        DeadlineAfterTick,
        /// The reserved units at the end.
        ReservedAtEnd,
        /// The digest of a second run.
        SecondRun,
        /// The subject does not panic.
        NoPanic,
    }
    /// The laws.
    Laws {
        /// The stock after a create and its cancel.
        StockAfterCancel,
        /// The stock after orders of different SKUs.
        StockAfterDisjoint,
        /// The answers to merged lines.
        MergedAnswers,
        /// The stock after merged lines.
        MergedStock,
        /// The answers to split lines.
        SplitAnswers,
        /// The stock after split lines.
        SplitStock,
        /// The answers after renaming the SKUs.
        RenamedAnswers,
        /// The stock after renaming the SKUs.
        RenamedStock,
    }
    /// The exhaustive layer, besides the comparisons of its checker.
    Exhaustive {
        /// Every order in a new state.
        OrdersInState,
    }
    /// The service layer.
    Service {
        /// Every field of a reply.
        Reply,
        /// The command index of a reply.
        CommandIndex,
        /// A server without a backlog answers.
        Answered,
        /// A server without a backlog does not refuse a call because of one.
        NotCatchingUp,
        /// A server without a backlog changes its rules.
        RulesChanged,
        /// A server without a backlog has a present state.
        BacklogEnded,
        /// A server with a backlog has no present state.
        BacklogStays,
        /// A server with a backlog answers no call.
        NoAnswerInBacklog,
        /// When the ticker wakes next.
        NextTick,
        /// The next deadline of the server.
        ServerDeadline,
        /// The number of log entries of the server.
        ServerEntries,
        /// The invariants of the server's state.
        ServerInvariants,
        /// The stock at the end.
        ServerStock,
        /// The reserved units at the end.
        ServerReserved,
        /// The server has no backlog at the end.
        BacklogAtEnd,
        /// Every order at the end.
        OrderAtEnd,
        /// A first deadline wakes the ticker.
        DeadlineWakesTicker,
        /// A backlog wakes the ticker.
        BacklogWakesTicker,
        /// A call waits for the end of a backlog before it is refused.
        WaitedBefore,
        /// A call that waits too long is refused.
        RefusedInTime,
        /// The swarm layer gives the same answers.
        SameAnswers,
        /// Every call is resolved or given up.
        EveryCallEnds,
        /// No client has a step left.
        NoStepLeft,
        /// A repeated create gives the first order.
        OneOrder,
        /// A duplicate is sent.
        DuplicateSent,
        /// Each fault has its effect on its request.
        FaultEffect,
        /// The clock of the server jumps.
        ClockJumped,
        /// A restarted server has lost its state.
        Restarted,
    }
    /// The concurrent layer.
    Concurrent {
        /// A reply, in the order of the command indexes.
        ReplyInOrder,
        /// Only a reply to an invalid request has no index.
        HasIndex,
        /// The index of a reply.
        IndexInOrder,
        /// The order of the indexes agrees with real time.
        RealTime,
        /// The reply to an invalid request.
        InvalidReply,
        /// The server has drained fully.
        Drained,
        /// The first watch of a connection sees the server serve and stop.
        FirstWatch,
        /// Every later watch sees that the server stops.
        LaterWatches,
        /// The server has no backlog after the stop.
        BacklogAtStop,
        /// The invariants of the state after the stop.
        StoppedInvariants,
        /// The number of log entries after the stop.
        StoppedEntries,
        /// The time of the state after the stop.
        StoppedTime,
        /// The stock after the stop.
        StoppedStock,
        /// Every order after the stop.
        StoppedOrders,
    }
}
