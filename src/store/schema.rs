//! The tables, as `migrations/` makes them on both databases (a test compares). Column docs are in the migrations.
#![expect(missing_docs, reason = "the columns are documented where they are made, in migrations/")]

diesel::table! {
    api_keys (id) {
        id -> Text,
        name -> Text,
        secret_hash -> Binary,
        scopes -> Text,
        created_at -> Timestamp,
        expires_at -> Nullable<Timestamp>,
        revoked_at -> Nullable<Timestamp>,
        lineage -> Nullable<Text>,
        rotated_at -> Nullable<Timestamp>,
        successor_id -> Nullable<Text>,
        last_used_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    transition_edges (from_status, to_status) {
        from_status -> Text,
        to_status -> Text,
    }
}

diesel::table! {
    payments (id) {
        id -> Text,
        sequence -> BigInt,
        status -> Text,
        decide_by -> Nullable<Timestamp>,
        currency -> Text,
        amount -> BigInt,
        authorized -> BigInt,
        captured -> BigInt,
        refunded -> BigInt,
        refund_pending -> BigInt,
        refund_excess -> BigInt,
        invoice_id -> Text,
        account_hash -> Nullable<Text>,
        description -> Text,
        capture_mode -> Text,
        language -> Text,
        method -> Text,
        return_url -> Nullable<Text>,
        metadata -> Text,
        payer -> Binary,
        three_ds -> Nullable<Binary>,
        attention -> Nullable<Text>,
        test_mode -> Nullable<Bool>,
        created_by -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        expires_at -> Timestamp,
        attention_raised -> Nullable<Text>,
        payer_key_id -> Nullable<Text>,
        expiry_due_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    refunds (id) {
        id -> Text,
        payment_id -> Text,
        parent_transaction_id -> BigInt,
        currency -> Text,
        amount -> BigInt,
        status -> Text,
        decide_by -> Nullable<Timestamp>,
        reason -> Nullable<Text>,
        failure -> Nullable<Text>,
        transaction_id -> Nullable<BigInt>,
        created_by -> Text,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        sealed_reason -> Nullable<Binary>,
        sealed_failure -> Nullable<Binary>,
    }
}

diesel::table! {
    transactions (id) {
        id -> Text,
        payment_id -> Text,
        transaction_id -> BigInt,
        kind -> Text,
        status -> Text,
        currency -> Text,
        amount -> BigInt,
        captured -> BigInt,
        parent_transaction_id -> Nullable<BigInt>,
        refund_id -> Nullable<Text>,
        reason_code -> Nullable<Integer>,
        card_brand -> Nullable<Text>,
        card_first_six -> Nullable<Text>,
        card_last_four -> Nullable<Text>,
        card_issuer -> Nullable<Text>,
        created_at -> Timestamp,
        updated_at -> Timestamp,
        moved_at -> Nullable<Timestamp>,
        fee -> Nullable<BigInt>,
        payout -> Nullable<BigInt>,
        payout_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    operations (id) {
        id -> Text,
        payment_id -> Text,
        refund_id -> Nullable<Text>,
        kind -> Text,
        transaction_id -> Nullable<BigInt>,
        amount -> Nullable<BigInt>,
        state -> Text,
        started_at -> Timestamp,
        due_at -> Nullable<Timestamp>,
        lookups -> Integer,
        note -> Nullable<Text>,
        refused_at -> Nullable<Timestamp>,
        sealed_words -> Nullable<Binary>,
        asked_until -> Nullable<Timestamp>,
    }
}

diesel::table! {
    transitions (payment_id, sequence) {
        payment_id -> Text,
        sequence -> BigInt,
        from_status -> Text,
        to_status -> Text,
        cause_type -> Text,
        cause_id -> Nullable<Text>,
        actor -> Text,
        transaction_id -> Nullable<BigInt>,
        detail -> Text,
        at -> Timestamp,
    }
}

diesel::table! {
    events (id) {
        id -> Text,
        epoch -> BigInt,
        position -> BigInt,
        kind -> Text,
        payment_id -> Nullable<Text>,
        refund_id -> Nullable<Text>,
        sequence -> Nullable<BigInt>,
        at -> Timestamp,
        notification_id -> Nullable<Text>,
        transaction_id -> Nullable<BigInt>,
        subject_id -> Nullable<Text>,
        actor -> Nullable<Text>,
    }
}

diesel::table! {
    feed_moves (bias) {
        bias -> BigInt,
        at -> Timestamp,
    }
}

diesel::table! {
    idempotency_keys (api_key_id, idempotency_key) {
        api_key_id -> Text,
        idempotency_key -> Text,
        fingerprint -> Binary,
        resource_id -> Text,
        operation_id -> Nullable<Text>,
        locked_until -> Timestamp,
        status -> Nullable<Integer>,
        location -> Nullable<Text>,
        body -> Nullable<Binary>,
        created_at -> Timestamp,
        payment_id -> Nullable<Text>,
        endpoint -> Nullable<Text>,
    }
}

diesel::table! {
    notifications (id) {
        id -> Text,
        kind -> Text,
        digest -> Binary,
        is_json -> Bool,
        body -> Binary,
        payment_id -> Nullable<Text>,
        transaction_id -> Nullable<BigInt>,
        parent_transaction_id -> Nullable<BigInt>,
        verdict -> Text,
        reply -> Integer,
        received_at -> Timestamp,
        payer_key_id -> Nullable<Text>,
    }
}

diesel::table! {
    quarantine (id) {
        id -> Text,
        kind -> Text,
        body -> Binary,
        received_at -> Timestamp,
    }
}

diesel::table! {
    reconciliations (id) {
        id -> Text,
        purpose -> Text,
        day -> Nullable<Text>,
        window_from -> Timestamp,
        window_to -> Timestamp,
        requested_by -> Text,
        state -> Text,
        phase -> Text,
        next_page -> BigInt,
        position -> Nullable<Text>,
        compared -> BigInt,
        unreadable -> BigInt,
        lost -> BigInt,
        asked -> BigInt,
        chargebacks -> BigInt,
        failures -> Integer,
        reason -> Nullable<Text>,
        due_at -> Nullable<Timestamp>,
        started_at -> Timestamp,
        finished_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    register_marks (reconciliation_id, transaction_id) {
        reconciliation_id -> Text,
        transaction_id -> BigInt,
    }
}

diesel::table! {
    discrepancies (id) {
        id -> Text,
        kind -> Text,
        transaction_id -> BigInt,
        payment_id -> Nullable<Text>,
        named_payment_id -> Nullable<Text>,
        invoice_id -> Nullable<Text>,
        lost -> Bool,
        ours_status -> Nullable<Text>,
        ours_currency -> Nullable<Text>,
        ours_amount -> Nullable<BigInt>,
        theirs_status -> Nullable<Text>,
        theirs_currency -> Nullable<Text>,
        theirs_amount -> Nullable<BigInt>,
        opened_by -> Text,
        opened_at -> Timestamp,
        resolution -> Nullable<Text>,
        closed_by -> Nullable<Text>,
        close_reason -> Nullable<Text>,
        closed_at -> Nullable<Timestamp>,
        sealed_reason -> Nullable<Binary>,
        proposed_by -> Nullable<Text>,
        proposed_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    chargebacks (id) {
        id -> Text,
        provider_id -> Text,
        operation -> Text,
        kind -> Text,
        transaction_id -> BigInt,
        payment_id -> Nullable<Text>,
        currency -> Nullable<Text>,
        amount -> Nullable<BigInt>,
        raised_at -> Nullable<Timestamp>,
        found_by -> Text,
        found_at -> Timestamp,
    }
}

diesel::table! {
    history_unsealed (payment_id, sequence) {
        payment_id -> Text,
        sequence -> BigInt,
    }
}

diesel::table! {
    payer_keys (id) {
        id -> Text,
        account_hash -> Nullable<Text>,
        account -> Nullable<Binary>,
        wrapped_key -> Nullable<Binary>,
        created_at -> Timestamp,
        erased_at -> Nullable<Timestamp>,
        cleaned_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    history_seals (number) {
        number -> BigInt,
        at -> Timestamp,
        first_row -> BigInt,
        row_count -> BigInt,
        root -> Binary,
        previous -> Binary,
        skip -> Binary,
        hash -> Binary,
    }
}

diesel::table! {
    personal_data_erasures (id) {
        id -> Text,
        cause -> Text,
        api_key_id -> Nullable<Text>,
        request_id -> Nullable<Text>,
        payers -> BigInt,
        payments -> BigInt,
        notifications -> BigInt,
        at -> Timestamp,
    }
}

diesel::table! {
    history_leaves (payment_id, sequence) {
        payment_id -> Text,
        sequence -> BigInt,
        seal -> BigInt,
        position -> BigInt,
        hash -> Binary,
    }
}

diesel::table! {
    personal_data_access (id) {
        id -> Text,
        action -> Text,
        api_key_id -> Text,
        request_id -> Nullable<Text>,
        payer_key_id -> Nullable<Text>,
        payment_id -> Nullable<Text>,
        at -> Timestamp,
    }
}

diesel::table! {
    personal_data_access_ended (up_to) {
        up_to -> Text,
        records -> BigInt,
        at -> Timestamp,
    }
}

diesel::table! {
    approvals (id) {
        id -> Text,
        kind -> Text,
        payment_id -> Text,
        currency -> Nullable<Text>,
        amount -> Nullable<BigInt>,
        operation_id -> Nullable<Text>,
        outcome -> Nullable<Text>,
        refund_id -> Nullable<Text>,
        sealed_reason -> Nullable<Binary>,
        requested_by -> Text,
        requester -> Text,
        requested_at -> Timestamp,
        expires_at -> Timestamp,
        state -> Text,
        decided_by -> Nullable<Text>,
        decider -> Nullable<Text>,
        decided_at -> Nullable<Timestamp>,
    }
}

diesel::table! {
    summary_days (day) {
        day -> Text,
        published_at -> Timestamp,
        group_count -> BigInt,
    }
}

diesel::table! {
    summary_groups (day, currency, status, dimension, part) {
        day -> Text,
        currency -> Text,
        status -> Text,
        dimension -> Text,
        part -> Text,
        members -> BigInt,
        amount -> BigInt,
    }
}

diesel::joinable!(transactions -> payments (payment_id));

diesel::allow_tables_to_appear_in_same_query!(
    api_keys,
    approvals,
    chargebacks,
    discrepancies,
    events,
    feed_moves,
    history_leaves,
    history_seals,
    history_unsealed,
    idempotency_keys,
    notifications,
    operations,
    payer_keys,
    payments,
    personal_data_access,
    personal_data_access_ended,
    personal_data_erasures,
    quarantine,
    reconciliations,
    refunds,
    register_marks,
    summary_days,
    summary_groups,
    transactions,
    transition_edges,
    transitions
);
