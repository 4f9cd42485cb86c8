//! The shortest whole path, to see that everything stands.

use crate::support::{APPROVED, Engine, TestApp, card};

crate::on_both!(a_card_payment_is_paid_and_refunded);

async fn a_card_payment_is_paid_and_refunded(engine: Engine) {
    let app = TestApp::start(engine).await;
    let payment = app.create(card("KM-1", APPROVED)).await.expect(201);
    assert_eq!(payment.text("/status"), "paid");
    let refund = app.refund(payment.id(), "2500.00").await.expect(201);
    assert_eq!(refund.text("/status"), "succeeded");
    assert_eq!(app.payment(payment.id()).await.text("/status"), "partially_refunded");
    app.finish().await;
}
