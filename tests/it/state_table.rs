//! The table of moves: the same in the code and in the database, and the database holds to it.

use std::collections::BTreeSet;

use kmic_payments::domain::state::{EDGES, Status};

use crate::support::{Engine, Sql};

crate::on_both!(the_database_holds_the_table_of_the_code, exactly_the_moves_of_the_table_can_be_written);

fn name(status: Option<Status>) -> &'static str {
    status.map_or("none", Status::as_str)
}

async fn the_database_holds_the_table_of_the_code(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    let ours: BTreeSet<String> = EDGES.iter().map(|edge| format!("{} {}", name(edge.from), edge.to)).collect();
    let theirs = sql.texts("SELECT from_status || ' ' || to_status AS value FROM transition_edges");
    assert_eq!(theirs.len(), EDGES.len());
    assert_eq!(theirs.into_iter().collect::<BTreeSet<_>>(), ours);
}

async fn exactly_the_moves_of_the_table_can_be_written(engine: Engine) {
    let (_database, mut sql) = Sql::fresh(engine);
    sql.insert_payment("p", "awaiting_payer");
    let mut sequence = 0;
    for from in std::iter::once(None).chain(Status::ALL.map(Some)) {
        for to in std::iter::once(None).chain(Status::ALL.map(Some)) {
            sequence += 1;
            let written = sql.run(&format!(
                "INSERT INTO transitions (payment_id, sequence, from_status, to_status, cause_type, actor, detail, at) \
                 VALUES ('p', {sequence}, '{}', '{}', 'api', 'key_1', '{{}}', '2026-01-01 00:00:00')",
                name(from),
                name(to)
            ));
            let allowed = EDGES.iter().any(|edge| edge.from == from && Some(edge.to) == to);
            assert_eq!(written.is_ok(), allowed, "{} > {}: {written:?}", name(from), name(to));
        }
    }
}
