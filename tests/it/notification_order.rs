//! Whatever the order in which facts arrive and however often, the end is the same.

use crate::support::{Engine, Reply, TestApp, widget};

crate::on_both!(
    two_stages_with_two_refunds_in_every_order,
    one_stage_with_two_refunds_in_every_order,
    refused_attempts_and_a_paid_one_in_every_order,
    a_hold_and_its_release_in_both_orders,
    everything_at_once,
);

type Fields = Vec<(&'static str, String)>;
/// Kind and fields.
type Notice = (&'static str, Fields);

fn about(kind: &'static str, invoice: &str, transaction: i64, more: &[(&'static str, &str)]) -> Notice {
    let mut fields = vec![
        ("TransactionId", transaction.to_string()),
        ("InvoiceId", invoice.to_owned()),
        ("AccountId", "user-42".to_owned()),
        ("DateTime", "2026-03-02 05:14:07".to_owned()),
    ];
    fields.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    (kind, fields)
}

fn refund(invoice: &str, payment: i64, transaction: i64, amount: &str) -> Notice {
    let payment = payment.to_string();
    about(
        "refund",
        invoice,
        transaction,
        &[("PaymentTransactionId", &payment), ("Amount", amount), ("OperationType", "Refund")],
    )
}

fn money<'a>(amount: &'a str, status: &'a str) -> [(&'static str, &'a str); 4] {
    [("Amount", amount), ("Currency", "KZT"), ("Status", status), ("TestMode", "1")]
}

async fn tell(app: &TestApp, notice: &Notice) {
    let fields: Vec<(&str, &str)> = notice.1.iter().map(|(name, value)| (*name, value.as_str())).collect();
    app.notify(notice.0, &fields).await;
}

/// Every order of so many things.
fn orders(count: usize) -> Vec<Vec<usize>> {
    let mut all = vec![Vec::new()];
    for next in 0..count {
        all = all
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |position| {
                    let mut longer = order.clone();
                    longer.insert(position, next);
                    longer
                })
            })
            .collect();
    }
    all
}

/// Status and sums.
fn books(payment: &Reply) -> [String; 6] {
    let pointers =
        ["/status", "/authorized/value", "/captured/value", "/refunded/value", "/refundable/value", "/attention"];
    pointers.map(|pointer| payment.text(pointer).to_owned())
}

/// Tells the notices in every order, each order to a payment of its own, every second order with each notice twice.
async fn in_every_order(
    engine: Engine,
    capture: &str,
    notices: impl Fn(&str, i64) -> Vec<Notice>,
    expected: [&str; 6],
) {
    let app = TestApp::start(engine).await;
    let count = notices("", 0).len();
    for (number, order) in orders(count).into_iter().enumerate() {
        let invoice = format!("KM-{number}");
        let mut body = widget(&invoice);
        body["capture"] = capture.into();
        let payment = app.create(body).await.expect(201);
        let told = notices(&invoice, 5_000_000_000 + i64::try_from(number).unwrap() * 100);
        for index in &order {
            tell(&app, &told[*index]).await;
            if number % 2 == 1 {
                tell(&app, &told[*index]).await;
            }
        }
        if number % 2 == 1 {
            for index in order.iter().rev() {
                tell(&app, &told[*index]).await;
            }
        }
        let seen = app.payment(payment.id()).await;
        assert_eq!(books(&seen), expected, "{order:?}: {}", seen.json);
        history_is_whole(&app, payment.id(), expected[0]).await;
    }
    app.stop().await;
}

/// Each row begins where the one before ended.
async fn history_is_whole(app: &TestApp, payment_id: &str, end: &str) {
    let mut state = String::new();
    for row in app.history(payment_id).await {
        let (from, rest) = row.split_once('>').unwrap();
        assert_eq!(from, state, "{row}");
        state = rest.split_once(' ').unwrap().0.to_owned();
    }
    assert_eq!(state, end);
}

fn two_stages(invoice: &str, first: i64) -> Vec<Notice> {
    vec![
        about("pay", invoice, first, &money("12500.00", "Authorized")),
        about("confirm", invoice, first, &money("9000.50", "Completed")),
        refund(invoice, first, first + 1, "1000.00"),
        refund(invoice, first, first + 2, "500.25"),
    ]
}

async fn two_stages_with_two_refunds_in_every_order(engine: Engine) {
    let expected = ["partially_refunded", "12500.00", "9000.50", "1500.25", "7500.25", ""];
    in_every_order(engine, "manual", two_stages, expected).await;
}

async fn one_stage_with_two_refunds_in_every_order(engine: Engine) {
    let notices = |invoice: &str, first: i64| {
        vec![
            about("pay", invoice, first, &money("12500.00", "Completed")),
            refund(invoice, first, first + 1, "12000.00"),
            refund(invoice, first, first + 2, "500.00"),
        ]
    };
    in_every_order(engine, "automatic", notices, ["refunded", "12500.00", "12500.00", "12500.00", "0.00", ""]).await;
}

async fn refused_attempts_and_a_paid_one_in_every_order(engine: Engine) {
    let notices = |invoice: &str, first: i64| {
        let refused =
            [("Amount", "12500.00"), ("Currency", "KZT"), ("Reason", "InsufficientFunds"), ("ReasonCode", "5051")];
        vec![
            about("fail", invoice, first, &refused),
            about("fail", invoice, first + 1, &refused),
            about("pay", invoice, first + 2, &money("12500.00", "Completed")),
        ]
    };
    in_every_order(engine, "automatic", notices, ["paid", "12500.00", "12500.00", "0.00", "12500.00", ""]).await;
}

async fn a_hold_and_its_release_in_both_orders(engine: Engine) {
    let notices = |invoice: &str, first: i64| {
        vec![
            about("pay", invoice, first, &money("12500.00", "Authorized")),
            about("cancel", invoice, first, &[("Amount", "12500.00")]),
        ]
    };
    in_every_order(engine, "manual", notices, ["cancelled", "12500.00", "", "", "", ""]).await;
}

/// The same facts in parallel, several times, with the Check before them.
async fn everything_at_once(engine: Engine) {
    let app = TestApp::start(engine).await;
    for number in 0..4 {
        let invoice = format!("KM-{number}");
        let mut body = widget(&invoice);
        body["capture"] = "manual".into();
        let payment = app.create(body).await.expect(201);
        let first = 5_000_000_000 + number * 100;
        tell(&app, &about("check", &invoice, first, &money("12500.00", "Authorized"))).await;
        let told = two_stages(&invoice, first);
        let told: Vec<&Notice> = told.iter().chain(&told).chain(&told).collect();
        let (one, rest) = told.split_at(3);
        let (two, rest) = rest.split_at(3);
        let (three, four) = rest.split_at(3);
        let tell_all = async |notices: &[&Notice]| {
            for notice in notices {
                tell(&app, notice).await;
            }
        };
        tokio::join!(tell_all(one), tell_all(two), tell_all(three), tell_all(four));
        let seen = app.payment(payment.id()).await;
        assert_eq!(
            books(&seen),
            ["partially_refunded", "12500.00", "9000.50", "1500.25", "7500.25", ""],
            "{}",
            seen.json
        );
        history_is_whole(&app, payment.id(), "partially_refunded").await;
    }
    app.stop().await;
}
