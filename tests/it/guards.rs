//! The second line: what holds when the check before it has let something through.

use kmic_payments::domain::id::PaymentId;
use kmic_payments::domain::payment::Payment;
use kmic_payments::domain::state::Status;
use kmic_payments::store::{Lane, payments};

use crate::support::{APPROVED, Engine, Sql, TestApp, card, form, transaction_id, widget};

crate::on_both!(
    a_payment_changes_only_from_what_was_read,
    a_refund_that_the_facts_do_not_cover_is_refused_by_the_database,
    what_cannot_be_stored_is_not_acknowledged,
);

async fn a_payment_changes_only_from_what_was_read(engine: Engine) {
    let app = TestApp::start(engine).await;
    let created = app.create(widget("KM-1")).await.expect(201);
    let id = PaymentId::parse(created.id()).unwrap();
    let update = move |tx: &mut kmic_payments::store::Tx<'_>| {
        let read = payments::get(tx, &id)?;
        let next = |status| Payment { status, sequence: read.sequence + 1, ..read.clone() };
        let no_such_move = payments::update(tx, &next(Status::Processing), read.sequence)?;
        let read_long_ago = payments::update(tx, &next(Status::Cancelled), read.sequence - 1)?;
        let first = payments::update(tx, &next(Status::Cancelled), read.sequence)?;
        let second_of_the_same = payments::update(tx, &next(Status::Cancelled), read.sequence)?;
        Ok([no_such_move, read_long_ago, first, second_of_the_same])
    };
    let written = app.running.store.write(Lane::of(created.id()), update).await.unwrap();
    assert_eq!(written, [false, false, true, false]);
    // Written without the row of its history.
    app.stop_with_broken_books().await;
}

/// The payment's own row says that everything is left; a pending refund that it does not know of says otherwise.
async fn a_refund_that_the_facts_do_not_cover_is_refused_by_the_database(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    app.sandbox.flush_notifications().await;
    let pending = format!(
        "INSERT INTO refunds (id, payment_id, parent_transaction_id, currency, amount, status, created_by, created_at, \
         updated_at) SELECT 'ref_unseen', id, {}, currency, 1, 'pending', created_by, created_at, updated_at FROM payments",
        transaction_id(&payment)
    );
    assert_eq!(Sql::open(&app.database.url).run(&pending), Ok(1));
    app.refund(payment.id(), "12500.00").await.expect_problem(500, "internal_error");
    assert_eq!(app.refunds(), 0, "nothing is sent");
    app.stop_with_broken_books().await;
}

async fn what_cannot_be_stored_is_not_acknowledged(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(widget("KM-1")).await.expect(201);
    let told = form(&[
        ("TransactionId", "5000000001"),
        ("Amount", "12500.00"),
        ("Currency", "KZT"),
        ("OperationType", "Payment"),
        ("InvoiceId", "KM-1"),
        ("AccountId", "user-42"),
        ("Status", "Completed"),
    ]);
    let mut sql = Sql::open(&app.database.url);
    sql.run("ALTER TABLE notifications RENAME TO elsewhere").unwrap();
    let refused = app.notify_signed("pay", &told, app.sandbox.api_secret()).await;
    refused.expect_problem(503, "unavailable");
    sql.run("ALTER TABLE elsewhere RENAME TO notifications").unwrap();
    assert_eq!(app.payment(payment.id()).await.text("/status"), "awaiting_payer", "all of it or nothing");
    // The provider repeats what was not answered with 0.
    let taken = app.notify_signed("pay", &told, app.sandbox.api_secret()).await.expect(200);
    assert_eq!(taken.page(), r#"{"code":0}"#);
    assert_eq!(app.payment(payment.id()).await.text("/status"), "paid");
    assert_eq!(app.verdicts().await, ["pay applied"]);
    app.stop().await;
}
