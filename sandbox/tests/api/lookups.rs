//! Get, find, lists, orders, chargebacks, notification settings.

use crate::support::*;
use serde_json::json;

#[tokio::test]
async fn get_and_find() {
    let api = Api::start().await;
    let declined = id(&api.charge(NO_FUNDS, "ord-1").await);
    let answer = api.call("/payments/get", json!({"TransactionId": declined})).await;
    assert_shape(&answer, &fixture("get_declined"), "declined");
    assert_eq!(answer["Success"], false);
    let paid = id(&api.charge(PLAIN, "ord-1").await);
    let answer = api.call("/payments/get", json!({"TransactionId": paid.to_string()})).await;
    assert_shape(&answer, &fixture("get_success"), "paid");
    let latest = api.call("/payments/find", json!({"InvoiceId": "ord-1"})).await;
    assert_eq!(id(&latest), paid);
    let refund = id(&api.call("/payments/refund", json!({"TransactionId": paid, "Amount": 5000})).await);
    assert_eq!(id(&api.call("/payments/find", json!({"InvoiceId": "ord-1"})).await), paid);
    let newest = api.call("/v2/payments/find", json!({"InvoiceId": "ord-1"})).await;
    assert_shape(&newest, &fixture("find_v2_refund"), "refund");
    assert_eq!((id(&newest), newest["Model"]["Type"].as_i64()), (refund, Some(1)));
    for path in ["/payments/find", "/v2/payments/find"] {
        assert_eq!(api.call(path, json!({"InvoiceId": "ord-9"})).await, fixture("find_not_found"));
    }
    assert_eq!(api.call("/payments/get", json!({"TransactionId": 9})).await, fixture("find_not_found"));
}

#[tokio::test]
async fn lists_of_a_day_and_of_a_period() {
    let api = Api::start().await;
    for number in 0..103 {
        api.charge(if number == 50 { NO_FUNDS } else { PLAIN }, &format!("ord-{number}")).await;
    }
    let today =
        api.call("/payments/get", json!({"TransactionId": 3_600_000_001_i64})).await["Model"]["CreatedDateIso"].clone();
    let today = today.as_str().unwrap().split_once('T').unwrap().0.to_owned();
    let day = api.call("/payments/list", json!({"Date": today, "TimeZone": "UTC"})).await;
    assert!(day["Model"].as_array().unwrap().len() >= 100, "the day may have changed in between");
    assert_eq!(
        api.call("/payments/list", json!({"Date": "2020-01-01"})).await,
        json!({"Model": [], "Success": true, "Message": null})
    );
    assert_eq!(
        api.call("/payments/list", json!({"Date": "2020-01-01", "TimeZone": "XX"})).await["Message"],
        "Invalid TimeZone value"
    );

    let page = |number: i64, statuses: serde_json::Value| {
        let body = json!({"CreatedDateGte": "2020-01-01T00:00:00+05:00", "CreatedDateLte": "2099-01-01T00:00:00+05:00", "PageNumber": number, "Statuses": statuses});
        api.call("/v2/payments/list", body)
    };
    let first = page(1, json!(null)).await;
    assert_shape(&first, &fixture("list_v2"), "list");
    let ids = |page: &serde_json::Value| {
        page["Model"].as_array().unwrap().iter().map(|item| item["TransactionId"].as_i64().unwrap()).collect::<Vec<_>>()
    };
    assert_eq!(ids(&first).len(), 100);
    assert!(ids(&first).is_sorted());
    assert_eq!(ids(&page(2, json!(null)).await).len(), 3);
    assert_eq!(ids(&page(1, json!(["Declined"])).await), [3_600_000_051]);
    assert_eq!(page(0, json!(null)).await["Message"], "Invalid PageNumber value");
}

#[tokio::test]
async fn orders_are_links_to_pay_by() {
    let api = Api::start().await;
    let body = json!({"Amount": 25000, "Currency": "KZT", "Description": "Order <1>", "Email": "a@example.test", "InvoiceId": "ord-1", "RequireConfirmation": true, "Phone": "+7701"});
    let order = api.call("/orders/create", body).await;
    assert_shape(&order, &fixture("order_create"), "order");
    let without = api.call("/orders/create", json!({"Amount": 1, "Description": "x"})).await;
    assert_eq!(without, fixture("order_create_without_email"));
    let url = order["Model"]["Url"].as_str().unwrap();
    let page = api.client.get(url).send().await.unwrap().text().await.unwrap();
    assert!(
        page.contains("25000.00") && page.contains("Order &lt;1&gt;") && page.contains(r#"name="schema" value="Dual""#)
    );
    let cancelled = api.call("/orders/cancel", json!({"Id": order["Model"]["Id"]})).await;
    assert_eq!(cancelled, fixture("order_cancel"));
    assert_eq!(api.client.get(url).send().await.unwrap().status(), 400);
    assert_eq!(api.call("/orders/cancel", json!({"Id": "none"})).await, fixture("order_cancel_failed"));
}

#[tokio::test]
async fn chargebacks_are_set_by_the_control_api() {
    let api = Api::start().await;
    let paid = id(&api.charge(PLAIN, "ord-1").await);
    api.control("/sandbox/chargebacks", json!({"transaction_id": paid, "amount": 100.5})).await;
    let body = json!({"CreatedDateGte": "2020-01-01", "CreatedDateLte": "2099-01-01", "PageNumber": 1});
    let list = api.call("/chargebacks/list", body).await;
    assert_shape(&list, &fixture("chargebacks_list"), "chargebacks");
    assert_eq!(list["Model"][0]["Amount"].to_string(), "100.5");
}

#[tokio::test]
async fn notification_settings() {
    let (api, receiver) = connected().await;
    let setting = api.call("/site/notifications/pay/get", json!({})).await;
    assert_shape(&setting, &fixture("notification_settings_get"), "settings");
    assert_eq!(setting["Model"]["Address"], format!("{}/pay", receiver.url));
    let needs = api.call("/site/notifications/Pay/update", json!({"IsEnabled": true})).await;
    assert_eq!(needs["Message"], "Address is required");
    let done = api.call("/site/notifications/Pay/update", json!({"IsEnabled": false})).await;
    assert_eq!(done, fixture("confirm_success"));
    assert_eq!(api.call("/site/notifications/check/update", json!({"IsEnabled": false})).await["Success"], false);
    let address = format!("{}/moved", receiver.url);
    api.call("/site/notifications/Cancel/update", json!({"IsEnabled": true, "Address": address})).await;
    let held = api.hold("ord-1").await;
    api.call("/payments/void", json!({"TransactionId": held})).await;
    api.sandbox.flush_notifications().await;
    assert_eq!(receiver.kinds(), ["check", "moved"]);
    let moved = receiver.arrived()[1].clone();
    assert_eq!(moved.method, "GET", "the default of the settings method");
    assert!(moved.query.starts_with(&format!("TransactionId={held}&")));
    let signed = cloudpayments_sandbox::wire::sign(api.sandbox.api_secret(), &moved.query);
    assert_eq!(moved.headers["content-hmac"], signed);
}
