//! What a database holds, byte for byte.

use super::app::TestApp;
use super::sql::Sql;

/// Everything that the database holds, as upper-case hex: the files of SQLite with write-ahead log, or every row of every
/// table of PostgreSQL.
pub fn raw_bytes(app: &TestApp) -> String {
    let Some(path) = app.database.url.strip_prefix("sqlite://") else { return rows(app) };
    let files = ["", "-wal", "-shm"].map(|suffix| std::fs::read(format!("{path}{suffix}")).unwrap_or_default());
    assert!(!files[0].is_empty());
    hex(&files.concat())
}

/// Everything that the database holds as bytes: the files of SQLite, or every row of every table of PostgreSQL as text and
/// its binary values as they are.
pub fn database_bytes(app: &TestApp) -> Vec<u8> {
    if let Some(path) = app.database.url.strip_prefix("sqlite://") {
        let files = ["", "-wal", "-shm"].map(|suffix| std::fs::read(format!("{path}{suffix}")).unwrap_or_default());
        assert!(!files[0].is_empty());
        return files.concat();
    }
    let mut sql = Sql::open(&app.database.url);
    let mut all = Vec::new();
    for table in tables(&mut sql) {
        let rows = sql.texts(&format!("SELECT t::text AS value FROM {table} t")).join("\n");
        for binary in rows.split("\\x").skip(1) {
            let digits: Vec<u8> = binary
                .chars()
                .map_while(|digit| digit.to_digit(16))
                .filter_map(|digit| u8::try_from(digit).ok())
                .collect();
            all.extend(digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]));
            all.push(b'\n');
        }
        all.extend(rows.as_bytes());
    }
    all
}

fn tables(sql: &mut Sql) -> Vec<String> {
    let tables = sql.texts("SELECT tablename::text AS value FROM pg_tables WHERE schemaname = 'public'");
    assert!(tables.len() > 10);
    tables
}

fn rows(app: &TestApp) -> String {
    let mut sql = Sql::open(&app.database.url);
    let mut all = String::new();
    for table in tables(&mut sql) {
        // Bytes are shown as hex, texts as they are.
        let rows = sql.texts(&format!("SELECT t::text AS value FROM {table} t")).join("\n");
        all.push_str(&rows.to_uppercase());
        all.push_str(&hex(rows.as_bytes()));
    }
    all
}

/// How often these texts are found, plain or in hex.
pub fn secret_hits(app: &TestApp, texts: &[&str]) -> usize {
    let all = raw_bytes(app);
    texts.iter().map(|text| all.matches(&hex(text.as_bytes())).count()).sum()
}

fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]).map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}
