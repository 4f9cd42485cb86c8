//! Parameters that several operations share, for the OpenAPI document. What reads them is in `extract.rs` and `query.rs`.

use utoipa::IntoParams;

/// A payment in the path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
#[expect(dead_code, reason = "documents what extract.rs reads")]
pub(super) struct PaymentPath {
    /// Id of the payment.
    #[param(example = "pay_01kaq0j5m8x2v9c4t7b1n6r3ed")]
    id: String,
}

/// The mark of a request that makes something or moves money.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[expect(dead_code, reason = "documents what extract.rs reads")]
pub(super) struct IdempotencyKey {
    /// Your mark of this request: a new one for each new request, the same for a repeat. 1 to 255 printable ASCII
    /// characters; a UUID does. A repeat must have the same body byte for byte; it is answered like the first, with
    /// `Idempotent-Replayed: true`.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    key: String,
}

/// A stretch of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
#[expect(dead_code, reason = "documents what query.rs reads")]
pub(super) struct Paging {
    /// Most entries, 20 by default.
    #[param(minimum = 1, maximum = 100, nullable = false)]
    limit: Option<i64>,
    /// `next_cursor` of the stretch before, with the same filter.
    #[param(nullable = false)]
    cursor: Option<String>,
}
