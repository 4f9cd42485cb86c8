//! The money laws as data. Each query gives the rows at fault of one slice as the column `subject`, holds for both
//! databases, and reads tables by their indexes only. `$1` (without) and `$2` (with) bound the slice of ids; `$3` is the
//! moment before which a lost answer is overdue.
//!
//! What a row of the history tells is looked for with `replace`: exactly as it is written there, on both databases. LIKE would take
//! `_` and `%` of an id for anything and, on SQLite, `a` for `A`. An id holds no quote, so it is not read as more than an id. Sums
//! have two digits after the point, in every currency there is (a test says so).

use super::{Law, Root};

/// The law about the place of an event in the feed. That belongs to one database server: `feed_end` tells how far it has
/// counted, and a start puts right what a move to another one made of it. So it says nothing of a copy at rest.
pub const EVENT_IS_IN_THE_FEED: &str = "event_is_in_the_feed";

/// Every law.
pub const LAWS: &[Law] = &[
    Law {
        name: "sums_follow_transactions",
        law: "What a payment holds as authorized, captured, refunded and pending is what its transactions and refunds say.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT c.id AS subject FROM (SELECT p.id, p.authorized, p.captured, p.refunded, p.refund_pending, p.amount, \
              (SELECT t.transaction_id FROM transactions t WHERE t.payment_id = p.id AND t.kind = 'payment' \
              AND t.currency = p.currency AND t.amount = p.amount AND t.status IN ('authorized', 'voided', 'completed') \
              ORDER BY CASE t.status WHEN 'completed' THEN 0 WHEN 'authorized' THEN 1 ELSE 2 END, t.transaction_id LIMIT 1) \
              AS counted FROM payments p WHERE p.id > $1 AND p.id <= $2) c \
              LEFT JOIN transactions t ON t.transaction_id = c.counted \
              WHERE c.authorized <> CASE WHEN c.counted IS NULL THEN 0 ELSE c.amount END \
              OR c.captured <> CASE WHEN t.status = 'completed' THEN t.captured ELSE 0 END \
              OR c.refunded <> CASE WHEN t.status = 'completed' THEN (SELECT COALESCE(SUM(r.amount), 0) FROM transactions r \
              WHERE r.payment_id = c.id AND r.kind = 'refund' AND r.status = 'completed' \
              AND r.parent_transaction_id = c.counted) ELSE 0 END \
              OR c.refund_pending <> (SELECT COALESCE(SUM(f.amount), 0) FROM refunds f WHERE f.payment_id = c.id \
              AND f.status = 'pending' AND f.parent_transaction_id = c.counted)",
    },
    Law {
        name: "status_follows_sums",
        law: "A payment's status says what its sums say: nothing taken, held, taken, partly given back, given back.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT p.id AS subject FROM payments p WHERE p.id > $1 AND p.id <= $2 AND NOT CASE p.status \
              WHEN 'paid' THEN p.captured > 0 AND p.refunded = 0 \
              WHEN 'partially_refunded' THEN p.refunded > 0 AND p.refunded < p.captured \
              WHEN 'refunded' THEN p.captured > 0 AND p.refunded >= p.captured \
              WHEN 'authorized' THEN p.authorized > 0 AND p.captured = 0 \
              WHEN 'cancelled' THEN p.captured = 0 \
              ELSE p.authorized = 0 AND p.captured = 0 AND p.refunded = 0 END",
    },
    Law {
        name: "history_reaches_the_payment",
        law: "A payment's sequence is the number of its history rows and the number of the last one, which leads to its status.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT p.id AS subject FROM payments p WHERE p.id > $1 AND p.id <= $2 AND (p.sequence <> (SELECT COUNT(*) \
              FROM transitions t WHERE t.payment_id = p.id) OR NOT EXISTS (SELECT 1 FROM transitions t \
              WHERE t.payment_id = p.id AND t.sequence = p.sequence AND t.to_status = p.status) \
              OR EXISTS (SELECT 1 FROM transitions t WHERE t.payment_id = p.id AND t.sequence > p.sequence))",
    },
    Law {
        name: "history_is_unbroken",
        law: "Each history row begins where the one before ended, the first with the creation, and is a declared move.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT t.payment_id || ' #' || CAST(t.sequence AS TEXT) AS subject FROM transitions t \
              WHERE t.payment_id > $1 AND t.payment_id <= $2 AND (t.from_status <> CASE t.sequence WHEN 1 THEN 'none' \
              ELSE COALESCE((SELECT b.to_status FROM transitions b WHERE b.payment_id = t.payment_id \
              AND b.sequence = t.sequence - 1), '') END OR NOT EXISTS (SELECT 1 FROM transition_edges e \
              WHERE e.from_status = t.from_status AND e.to_status = t.to_status))",
    },
    Law {
        name: "refund_has_its_transaction",
        law: "A succeeded refund has exactly one completed refund transaction of its sum, and no other refund has one.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT r.id AS subject FROM refunds r WHERE r.payment_id > $1 AND r.payment_id <= $2 \
              AND CASE r.status WHEN 'succeeded' THEN 1 ELSE 0 END <> (SELECT COUNT(*) FROM transactions t \
              WHERE t.refund_id = r.id AND t.kind = 'refund' AND t.status = 'completed' AND t.payment_id = r.payment_id \
              AND (r.status <> 'succeeded' OR t.transaction_id = r.transaction_id) AND t.amount = r.amount AND t.currency = r.currency)",
    },
    Law {
        name: "pending_refund_has_its_call",
        law: "A refund is pending exactly while one call for it is open.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT r.id AS subject FROM refunds r WHERE r.payment_id > $1 AND r.payment_id <= $2 \
              AND CASE r.status WHEN 'pending' THEN 1 ELSE 0 END <> (SELECT COUNT(*) FROM operations o \
              WHERE o.refund_id = r.id AND o.kind = 'refund' AND o.state IN ('started', 'undetermined'))",
    },
    Law {
        name: "no_refund_over_captured",
        law: "No more is given back than was taken, unless exactly the excess is recorded and a person was called.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT p.id AS subject FROM payments p WHERE p.id > $1 AND p.id <= $2 \
              AND (p.refund_excess <> CASE WHEN p.refunded + p.refund_pending > p.captured \
              THEN p.refunded + p.refund_pending - p.captured ELSE 0 END \
              OR (p.refunded > p.captured AND COALESCE(p.attention_raised, '') NOT LIKE '%refunded_more_than_left:%'))",
    },
    Law {
        name: "one_open_call",
        law: "A payment has at most one open charge, capture or void, and a refund at most one open call.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT o.payment_id AS subject FROM operations o WHERE o.payment_id > $1 AND o.payment_id <= $2 \
              AND o.state IN ('started', 'undetermined') GROUP BY o.payment_id, o.refund_id HAVING COUNT(*) > 1",
    },
    Law {
        name: "open_call_is_due",
        law: "Every open call has a moment at which somebody asks about it, and no closed one has.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT o.id AS subject FROM operations o WHERE o.payment_id > $1 AND o.payment_id <= $2 \
              AND CASE WHEN o.state IN ('started', 'undetermined') THEN 1 ELSE 0 END \
              <> CASE WHEN o.due_at IS NULL THEN 0 ELSE 1 END",
    },
    Law {
        name: "undetermined_has_its_call",
        law: "A payment is shown as undetermined exactly while a call of it, refunds aside, has lost its answer.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT p.id AS subject FROM payments p WHERE p.id > $1 AND p.id <= $2 \
              AND CASE WHEN p.decide_by IS NULL THEN 0 ELSE 1 END <> (SELECT COUNT(*) FROM operations o \
              WHERE o.payment_id = p.id AND o.kind <> 'refund' AND o.state = 'undetermined')",
    },
    Law {
        name: "ended_payment_is_not_charged",
        law: "A payment that is paid or over has no open charge.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT o.id AS subject FROM operations o JOIN payments p ON p.id = o.payment_id \
              WHERE o.payment_id > $1 AND o.payment_id <= $2 AND o.kind IN ('charge', 'authorize') \
              AND o.state IN ('started', 'undetermined') AND p.status IN ('paid', 'partially_refunded', 'refunded', \
              'declined', 'cancelled', 'expired')",
    },
    Law {
        name: "lost_answer_calls_a_person",
        law: "No answer stays lost for days without having called a person.",
        root: Root::Payments,
        takes_moment: true,
        sql: "SELECT o.id AS subject FROM operations o JOIN payments p ON p.id = o.payment_id \
              WHERE o.payment_id > $1 AND o.payment_id <= $2 AND o.state = 'undetermined' AND o.started_at < $3 \
              AND replace(COALESCE(p.attention_raised, ''), 'answer_lost:' || o.id, '') = COALESCE(p.attention_raised, '')",
    },
    Law {
        name: "transaction_has_one_payment",
        law: "Every transaction of the provider belongs to one payment that is there, and a refund to the payment that it gives back from.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT t.id AS subject FROM transactions t WHERE t.payment_id > $1 AND t.payment_id <= $2 \
              AND (NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = t.payment_id) \
              OR EXISTS (SELECT 1 FROM transactions o WHERE o.transaction_id = t.transaction_id AND o.id <> t.id) \
              OR EXISTS (SELECT 1 FROM transactions o WHERE o.transaction_id = t.parent_transaction_id \
              AND o.payment_id <> t.payment_id))",
    },
    Law {
        name: "currencies_agree",
        law: "Refunds are in the currency of their payment, and money in another currency has called a person.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT r.id AS subject FROM refunds r JOIN payments p ON p.id = r.payment_id \
              WHERE r.payment_id > $1 AND r.payment_id <= $2 AND r.currency <> p.currency \
              UNION ALL SELECT t.id AS subject FROM transactions t JOIN payments p ON p.id = t.payment_id \
              WHERE t.payment_id > $1 AND t.payment_id <= $2 AND t.currency <> p.currency \
              AND t.status IN ('authorized', 'completed') AND COALESCE(p.attention_raised, '') NOT LIKE '%amount_mismatch:%'",
    },
    Law {
        name: "approval_has_two_keys",
        law: "What was approved was approved by another line of keys than the one that asked, in time, and an approved refund is there, of that payment and sum.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT a.id AS subject FROM approvals a WHERE a.payment_id > $1 AND a.payment_id <= $2 \
              AND a.state = 'approved' AND (a.decided_by IS NULL OR a.decided_by = a.requested_by \
              OR a.decider = a.requester OR a.decided_at >= a.expires_at OR (a.kind = 'refund' \
              AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.id = a.refund_id AND r.payment_id = a.payment_id \
              AND r.amount = a.amount AND r.currency = a.currency)))",
    },
    Law {
        name: "money_has_its_history",
        law: "Each transaction that holds, took or gave back money is named by a row of its payment's history, or by an event of one.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT t.id AS subject FROM transactions t WHERE t.payment_id > $1 AND t.payment_id <= $2 \
              AND t.status IN ('authorized', 'completed') AND NOT EXISTS (SELECT 1 FROM transitions h \
              WHERE h.payment_id = t.payment_id AND h.transaction_id = t.transaction_id) AND NOT EXISTS (SELECT 1 FROM events e \
              WHERE e.payment_id = t.payment_id AND e.transaction_id = t.transaction_id)",
    },
    Law {
        name: "refund_has_its_request",
        law: "Each refund was asked for by a row of its payment's history that names it with its sum.",
        root: Root::Payments,
        takes_moment: false,
        // What became of the call names the refund, too; only the request tells the sum.
        sql: "SELECT r.id AS subject FROM refunds r WHERE r.payment_id > $1 AND r.payment_id <= $2 \
              AND (replace(r.id, '\"', '') <> r.id OR NOT EXISTS (SELECT 1 FROM transitions h WHERE h.payment_id = r.payment_id \
              AND h.cause_type IN ('api', 'operator') AND h.detail LIKE '%\"operation\":\"refund\"%' \
              AND replace(h.detail, '\"refund_id\":\"' || r.id || '\"', '') <> h.detail AND replace(h.detail, '\"amount\":\"' \
              || CAST(r.amount / 100 AS TEXT) || '.' || substr(CAST(100 + r.amount % 100 AS TEXT), 2) || '\"', '') <> h.detail))",
    },
    Law {
        name: "call_has_its_request",
        law: "For each capture and each void there is a row of its payment's history that asks for it, with its transaction and sum, and for each refund one call.",
        root: Root::Payments,
        takes_moment: false,
        // What became of a call, and its correction, name its kind, too. As many requests as calls, and no call without any.
        sql: "SELECT o.id AS subject FROM operations o WHERE o.payment_id > $1 AND o.payment_id <= $2 \
              AND o.kind IN ('capture', 'void') AND (o.transaction_id IS NULL OR (SELECT COUNT(*) FROM operations c WHERE c.payment_id = o.payment_id \
              AND c.kind = o.kind AND c.transaction_id = o.transaction_id AND COALESCE(c.amount, 0) = COALESCE(o.amount, 0) \
              AND c.id <= o.id) > (SELECT COUNT(*) FROM transitions h WHERE h.payment_id = o.payment_id \
              AND h.transaction_id = o.transaction_id AND h.cause_type IN ('api', 'operator') \
              AND h.detail LIKE '%\"operation\":\"' || o.kind || '\"%' AND h.detail NOT LIKE '%\"outcome\":%' \
              AND h.detail NOT LIKE '%\"lost\":%' AND h.detail NOT LIKE '%\"correction\":%' AND (o.amount IS NULL \
              OR replace(h.detail, '\"amount\":\"' || CAST(o.amount / 100 AS TEXT) || '.' || substr(CAST(100 + o.amount % 100 AS TEXT), 2) || '\"', '') <> h.detail))) \
              UNION ALL SELECT o.id AS subject FROM operations o WHERE o.payment_id > $1 AND o.payment_id <= $2 \
              AND o.kind = 'refund' AND EXISTS (SELECT 1 FROM operations c WHERE c.payment_id = o.payment_id \
              AND c.refund_id = o.refund_id AND c.id < o.id)",
    },
    Law {
        name: "approval_has_its_request",
        law: "Each approval was requested by a row of its payment's history, by the key that it names, for its sum or correction.",
        root: Root::Payments,
        takes_moment: false,
        sql: "SELECT a.id AS subject FROM approvals a WHERE a.payment_id > $1 AND a.payment_id <= $2 \
              AND (replace(a.id, '\"', '') <> a.id OR NOT EXISTS (SELECT 1 FROM transitions h WHERE h.payment_id = a.payment_id \
              AND h.actor = a.requested_by AND h.detail LIKE '%\"approval\":\"requested\"%' \
              AND replace(h.detail, '\"approval_id\":\"' || a.id || '\"', '') <> h.detail AND (a.kind <> 'refund' \
              OR replace(h.detail, '\"amount\":\"' || CAST(a.amount / 100 AS TEXT) || '.' || substr(CAST(100 + a.amount % 100 AS TEXT), 2) \
              || '\"', '') <> h.detail) AND (a.kind = 'refund' OR (replace(h.detail, '\"operation_id\":\"' || a.operation_id || '\"', '') \
              <> h.detail AND replace(h.detail, '\"correction\":\"' || a.outcome || '\"', '') <> h.detail))))",
    },
    Law {
        name: "event_has_its_history",
        law: "Every event tells of a history row that is there, of a notification, or of what somebody did.",
        root: Root::Events,
        takes_moment: false,
        sql: "SELECT e.id AS subject FROM events e WHERE e.id > $1 AND e.id <= $2 AND (CASE WHEN e.payment_id IS NULL \
              THEN e.notification_id IS NULL AND e.subject_id IS NULL ELSE NOT EXISTS (SELECT 1 FROM transitions t WHERE t.payment_id = e.payment_id \
              AND t.sequence = e.sequence) END OR (e.notification_id IS NOT NULL \
              AND NOT EXISTS (SELECT 1 FROM notifications n WHERE n.id = e.notification_id)))",
    },
    Law {
        name: EVENT_IS_IN_THE_FEED,
        law: "No event stands beyond what the database server has counted, where the feed would not show it for years.",
        root: Root::Events,
        takes_moment: false,
        sql: "SELECT e.id AS subject FROM events e WHERE e.id > $1 AND e.id <= $2 AND e.epoch >= (SELECT written FROM feed_end)",
    },
    Law {
        name: "notification_is_booked",
        law: "Every notification that was applied has its transaction in the books of the payment it names.",
        root: Root::Notifications,
        takes_moment: false,
        sql: "SELECT n.id AS subject FROM notifications n WHERE n.id > $1 AND n.id <= $2 \
              AND n.verdict IN ('applied', 'no_change') AND NOT EXISTS (SELECT 1 FROM transactions t \
              WHERE t.transaction_id = n.transaction_id AND t.payment_id = n.payment_id)",
    },
    Law {
        name: "key_points_to_its_effect",
        law: "Every Idempotency-Key points to a payment, refund or approval that is there, and one without an answer to its call.",
        root: Root::IdempotencyKeys,
        takes_moment: false,
        sql: "SELECT k.api_key_id || ' ' || k.resource_id AS subject FROM idempotency_keys k \
              WHERE (k.api_key_id, k.idempotency_key) > ($1, $2) AND (k.api_key_id, k.idempotency_key) <= ($3, $4) \
              AND ((k.resource_id LIKE 'pay^_%' ESCAPE '^' AND NOT EXISTS (SELECT 1 FROM payments p WHERE p.id = k.resource_id)) \
              OR (k.resource_id LIKE 'ref^_%' ESCAPE '^' AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.id = k.resource_id)) \
              OR (k.resource_id LIKE 'apr^_%' ESCAPE '^' AND NOT EXISTS (SELECT 1 FROM approvals a WHERE a.id = k.resource_id)) \
              OR (k.status IS NULL AND k.operation_id IS NOT NULL AND NOT EXISTS (SELECT 1 FROM operations o WHERE o.id = k.operation_id)))",
    },
    Law {
        name: "operators_closing_is_told",
        law: "What an operator closed, or proposed to close, is told by a row of its payment's history or, without a payment, by an event, of that key and moment (since migration 000013).",
        root: Root::Discrepancies,
        takes_moment: false,
        sql: "SELECT d.id AS subject FROM discrepancies d WHERE d.id > $1 AND d.id <= $2 AND ((d.resolution = 'operator' \
              AND NOT EXISTS (SELECT 1 FROM transitions h WHERE h.payment_id = d.payment_id AND h.actor = d.closed_by AND h.at = d.closed_at \
              AND replace(h.detail, '\"closed_discrepancy\":\"' || d.id || '\"', '') <> h.detail) AND NOT EXISTS (SELECT 1 FROM events e \
              WHERE e.subject_id = d.id AND e.kind = 'discrepancy.closed' AND e.actor = d.closed_by AND e.at = d.closed_at)) \
              OR (d.proposed_by IS NOT NULL AND NOT EXISTS (SELECT 1 FROM transitions h WHERE h.payment_id = d.payment_id AND h.actor = d.proposed_by AND h.at = d.proposed_at \
              AND replace(h.detail, '\"proposed_closing_discrepancy\":\"' || d.id || '\"', '') <> h.detail) AND NOT EXISTS (SELECT 1 FROM events e \
              WHERE e.subject_id = d.id AND e.kind = 'discrepancy.closing_proposed' AND e.actor = d.proposed_by AND e.at = d.proposed_at)))",
    },
    Law {
        name: "api_key_is_told",
        law: "Each API key that is not older than the first event of one was made, rotated or revoked by an event that names it (since migration 000013).",
        root: Root::ApiKeys,
        takes_moment: false,
        sql: "SELECT k.id AS subject FROM api_keys k WHERE k.id > $1 AND k.id <= $2 AND k.created_at >= (SELECT MIN(f.at) FROM events f \
              WHERE f.subject_id IS NOT NULL AND f.kind IN ('api_key.created', 'api_key.rotated', 'api_key.revoked')) \
              AND NOT EXISTS (SELECT 1 FROM events e WHERE e.subject_id = k.id \
              AND e.kind IN ('api_key.created', 'api_key.rotated', 'api_key.revoked'))",
    },
];
